"""The candidate beside the active model: its slot while a split is on, for one caller at a time.

The lane asks it for the parts whose verdict it gives, the shadow for the others. Once it is left,
no thread asks it any more, and its slot may be freed.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from enum import Enum
from typing import Union

from edge_daemon.core.rollout.opinions import opinion
from edge_daemon.core.rollout.values import Opinion, Split
from edge_daemon.core.values import Size, StoredBundle
from edge_daemon.errors import EdgeDaemonError, SlotLost
from edge_daemon.host.memory import FrameAddress
from edge_daemon.slots.slot import Inference, Slot


class Guard(str, Enum):
    """What ends a candidate at once."""

    RAISED = "raised"
    HUNG = "hung"
    NOT_FINITE = "not_finite"
    LOST = "lost"


@dataclass(frozen=True)
class CandidateFault:
    """Why the candidate gave no opinion."""

    guard: Guard
    why: str


Answer = Union[Inference, CandidateFault, None]
"""None: it was left meanwhile, so that nothing is said of it."""


class CandidateSlot:
    """One loaded candidate; any thread may ask, one after the other.

    `before`: the one of the same slot that was left.
    """

    def __init__(self, slot: Slot, before: CandidateSlot | None = None) -> None:
        self.slot = slot
        # Who still asks the candidate that sat here before is waited for.
        self._asking: threading.Lock = threading.Lock() if before is None else before._asking
        self._left = False

    def leave(self) -> None:
        """No thread asks from now on; one that waits for an answer gets none."""
        self._left = True

    def is_quiet(self, timeout_s: float) -> bool:
        """Whether no thread asks any more, within this time."""
        if not self._asking.acquire(timeout=timeout_s):
            return False
        self._asking.release()
        return True

    def ask(self, frame: FrameAddress, timeout_s: float) -> Answer:
        """What the candidate sees on this frame. Never raises for what a model does."""
        if not self._asking.acquire(timeout=timeout_s):
            return self._unless_left(CandidateFault(Guard.HUNG, "The candidate did not come back."))
        try:
            return None if self._left else self._unless_left(self._infer(frame, timeout_s))
        finally:
            self._asking.release()

    def _infer(self, frame: FrameAddress, timeout_s: float) -> Inference | CandidateFault:
        began_at = time.monotonic()
        try:
            found = self.slot.infer(frame, timeout_s)
        except SlotLost as lost:
            is_late = time.monotonic() - began_at >= timeout_s
            return CandidateFault(Guard.HUNG if is_late else Guard.LOST, str(lost))
        except EdgeDaemonError as error:  # a worker may say anything of the box, too
            return CandidateFault(Guard.RAISED, str(error))
        if not found.finite:
            return CandidateFault(Guard.NOT_FINITE, "The model gave numbers that are not finite.")
        return found

    def _unless_left(self, answer: Inference | CandidateFault) -> Answer:
        return None if self._left else answer


@dataclass(frozen=True)
class RunningSplit:
    """What the lane reads once a frame: the split, and the slot of the candidate."""

    split: Split
    candidate_slot: CandidateSlot
    product: str = field(init=False)
    """What the candidate is for."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "product", self.split.candidate.ref.name)

    def opinion_of(self, found: Inference, size: Size | None) -> Opinion:
        """What the candidate says of a frame on which it found this, by its own recipe."""
        split, ms = self.split, found.inference_ms
        return opinion(split.candidate, split.recipe, found.detections, size, ms, found.faint)

    def is_for(self, active: StoredBundle | None, slot: Slot | None) -> bool:
        """Whether the candidate may judge what this active one judges: never another product."""
        return (
            active is not None
            and active.ref.name == self.product
            and slot is not self.candidate_slot.slot
        )
