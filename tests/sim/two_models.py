"""A line with an active model and a candidate beside it, driven by the test frame by frame.

What is on a frame is the value of its pixels, as bits: whether a part is in view, whether the
incumbent finds a dent on it, whether the candidate finds a scratch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from edge_daemon.core.judged import Judged
from edge_daemon.core.rollout.values import Assigned, Mode, SliceRule, Split, UnitKind
from edge_daemon.core.values import (
    Assignment,
    BundleRef,
    Detection,
    Recipe,
    StoredBundle,
)
from edge_daemon.errors import BundleError, EdgeDaemonError, SlotLost
from edge_daemon.frames.arms import Arms
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.lane import Lane
from edge_daemon.frames.ring import Ring
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape, Pixels
from edge_daemon.slots.active import ActiveSlot, Crossed, Cutover, Pointer
from edge_daemon.slots.slot import LoadOrder
from tests.sim.clock import SimClock
from tests.sim.slot import Script, SimSlot

INCUMBENT, CANDIDATE = BundleRef("bottle", "1"), BundleRef("bottle", "2")
OK, NG_INCUMBENT, NG_CANDIDATE, NG_BOTH = 1, 3, 5, 7
SHAPE = FrameShape(8, 8)
OLD_RECIPE = Recipe.rejecting(0.5, "dent")
NEW_RECIPE = Recipe.rejecting(0.5, "scratch")
PART_BOX = (1.0, 1.0, 7.0, 7.0)


def look(order: LoadOrder, pixels: Pixels) -> tuple[Detection, ...]:
    """A part where the first bit is set; a fault by the bit of the model that sees it."""
    value = int(pixels[0, 0, 0])
    found = [Detection("part", 0.9, PART_BOX)] if value & 1 else []
    if order.ref == CANDIDATE and value & 4:
        found.append(Detection("scratch", 0.9, (3.0, 3.0, 5.0, 5.0)))
    if order.ref != CANDIDATE and value & 2:
        found.append(Detection("dent", 0.9, (3.0, 3.0, 5.0, 5.0)))
    return tuple(found)


class VerdictsOnly:
    """The rest of a lane's listener, which minds nothing but verdicts."""

    def crossed(self, crossed: Crossed) -> None: ...

    def lost(self, token: int, why: str) -> None: ...

    def failed(self, error: EdgeDaemonError) -> None: ...

    def waits(self) -> None: ...


class Two(VerdictsOnly):
    """The lane's listener; the incumbent sits in A, the candidate in B.

    Args:
        assigned_of: the arm of a frame's part, where parts are more than frames.
        told: called with each verdict, while its pixels are held.
    """

    def __init__(
        self,
        assigned_of: Callable[[int], Assigned | None] | None = None,
        told: Callable[[Judged, Captured], None] = lambda judged, captured: None,
        *,
        timeout_s: float = 0.05,
    ) -> None:
        self.clock, self.ring = SimClock(), Ring(16)
        self.script = Script(detect=look, inference_ms=1.0)
        self.slots = {name: SimSlot(name, script=self.script) for name in "AB"}
        self.active_slot = ActiveSlot(self.slots, self.ring.wake)
        self.verdicts: list[Judged] = []
        self.losses: list[tuple[str, str, str]] = []
        self.told_splits: list[Split | None] = []
        self.active_slot.on_split = self.told_splits.append
        self.timeout_s = timeout_s
        self.captured = 0
        self._told = told
        self.arms = Arms(
            self.active_slot, "boot", self.candidate_lost, assigned_of, infer_timeout_s=timeout_s
        )
        self.lane = Lane(self.ring, self.active_slot, self, self.clock.now, arms=self.arms)
        self._load("A", INCUMBENT)
        self._load("B", CANDIDATE)
        self.active_slot.pointer = self.pointer("A", INCUMBENT)

    # ------------------------------------------------------------------ the listener

    def judged(self, judged: Judged, captured: Captured) -> None:
        self.verdicts.append(judged)
        self._told(judged, captured)

    def candidate_lost(self, rollout: str, guard: str, why: str) -> None:
        self.losses.append((rollout, guard, why))

    # ------------------------------------------------------------------ the story

    def _load(self, slot: str, ref: BundleRef) -> None:
        order = LoadOrder(ref, str(ref), Path(), Path(), "detect", ("part",), 32, 0.2)
        self.slots[slot].load(order, 1.0)
        self.active_slot.ready(slot, 1)

    def pointer(self, slot: str, ref: BundleRef) -> Pointer:
        recipe = NEW_RECIPE if ref == CANDIDATE else OLD_RECIPE
        return Pointer(self.slots[slot], StoredBundle(ref, str(ref)), recipe)

    def split(
        self,
        *,
        share: float,
        mode: Mode = Mode.SHARE,
        unit: UnitKind = UnitKind.PART,
        either: bool = True,
        rollout: str = "r-1",
        slices: tuple[SliceRule, ...] = (),
        recipe: Recipe = NEW_RECIPE,
        coverage: float = 1.0,
    ) -> None:
        if self.slots["B"].order is None:
            self.script.infer_faults.clear()
            self._load("B", CANDIDATE)
        candidate = StoredBundle(CANDIDATE, str(CANDIDATE))
        self.active_slot.split(
            Split(
                *(rollout, "B", candidate, recipe, mode, unit, share),
                either=either,
                slices=slices,
                reference=INCUMBENT,
                coverage=coverage,
            )
        )

    @property
    def is_over(self) -> bool:
        """Whether the candidate of the last rollout failed."""
        return bool(self.losses) and self.active_slot.beside is None

    def end(self) -> None:
        self.active_slot.split(None)

    def die(self, guard: str) -> None:
        """The candidate fails at its next frame, and is good again after it."""
        errors = {"raised": BundleError("A layer raised."), "lost": SlotLost("It was killed.")}
        self._load("B", CANDIDATE)
        self.script.fail_infer(CANDIDATE, errors[guard], times=1)

    def swap_incumbent(self) -> None:
        """A cutover from the incumbent to itself: a boundary as any other."""
        self.active_slot.ask(Cutover(5, self.pointer("A", INCUMBENT), "swap"))

    def order(self, job_order: str) -> None:
        epoch = self.ring.assignment.epoch + 1
        self.ring.stamp_from(Assignment(epoch, "P", job_order), self.ring.next_number)

    def capture(self, value: int) -> None:
        now = self.clock.advance(0.01)
        lease = self.ring.begin(SHAPE)
        lease.pixels.fill(value)
        self.ring.commit(lease, now)
        self.captured += 1

    def film(self, values: Iterable[int]) -> None:
        """Each frame is captured and judged, in this thread."""
        for value in values:
            self.capture(value)
            while len(self.verdicts) < self.captured:
                self.lane.turn()

    def asked(self, ref: BundleRef) -> int:
        """How often this model looked at a frame."""
        return sum(each == ref for _, each in self.script.called("infer"))

    def address(self) -> FrameAddress:
        """A frame that is not of the line."""
        return FrameAddress(FrameMemory.allocate(SHAPE, 1), 0)
