"""The crossing: N slots and one pointer. Control asks for a cutover, the lane performs it.

The lane is the only writer of the pointer and reads it once a frame; swapping it is one
assignment. Nothing here loads, frees or waits.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from edge_daemon.core.rollout.values import Arm, Split
from edge_daemon.core.values import Recipe, StoredBundle
from edge_daemon.slots.candidate_slot import CandidateSlot, RunningSplit
from edge_daemon.slots.slot import Slot
from edge_daemon.slots.turns import Turns

UNPLANNED = 0
"""The token of a cutover that no operation waits for."""


@dataclass(frozen=True)
class Pointer:
    """What judges frames: a slot with its bundle, or nothing (`expecting` says if one comes)."""

    slot: Slot | None = None
    known: StoredBundle | None = None
    recipe: Recipe = Recipe()
    expecting: bool = True

    @property
    def name(self) -> str | None:
        """The bundle's name, which an assignment may require."""
        return self.known.ref.name if self.known else None


@dataclass(frozen=True)
class Cutover:
    """A pointer to be set at a boundary: not before an epoch, not before a frame.

    `may_wait`: a moment, until no part is split by it.
    """

    token: int
    pointer: Pointer
    swap_id: str
    at_epoch: int = 0
    at_frame: int | None = None
    may_wait: bool = False

    def is_due(self, frame: int, epoch: int) -> bool:
        return epoch >= self.at_epoch and (self.at_frame is None or frame >= self.at_frame)


@dataclass(frozen=True)
class Crossed:
    """The lane's word: `frame` is the first that the new pointer judges.

    `pause_ms` is what the line waited for it: from the moment the lane could have judged that
    frame to the moment it could with the new pointer.
    """

    token: int
    frame: int
    at: float
    utc: float
    pause_ms: float


IdleTask = Callable[[Pointer], None]
"""Work for the active slot that may take the time between two frames; it never raises."""


class ActiveSlot:
    """The slots by name, the pointer, the cutover that is asked for, each slot's token."""

    def __init__(self, slots: Mapping[str, Slot], wake: Callable[[], None]) -> None:
        self.slots = dict(slots)
        self.pointer = Pointer()
        self._wake = wake
        self._lock = threading.Lock()
        self._asked: Cutover | None = None
        self._tuned: tuple[StoredBundle, Recipe] | None = None
        self._errands: deque[IdleTask] = deque()
        self._tokens: dict[str, int] = {}
        self._candidate_slots: dict[str, CandidateSlot] = {}  # the last candidate of each slot
        self._lost = ""  # the rollout whose candidate failed: it gets no split any more
        self.beside: RunningSplit | None = None
        """The split that is on; read by the lane once a frame."""
        self.turns = Turns()
        """Whose turn it is, where the split compares both in blocks of time."""
        self.on_split: Callable[[Split | None], None] = lambda _: None
        """Told of each change by whoever makes it, and must not wait; set before the first."""

    # ------------------------------------------------------------------ control's side

    def ask(self, cutover: Cutover) -> None:
        """Let the lane cross at the boundary described; a newer asking replaces an older one."""
        with self._lock:
            self._asked = cutover
        self._wake()

    def retune(self, known: StoredBundle, recipe: Recipe) -> None:
        """Let this bundle judge by this recipe, from a frame boundary on, wherever it judges."""
        with self._lock:
            asked = self._asked
            if asked is not None and asked.pointer.known == known:
                self._asked = replace(asked, pointer=replace(asked.pointer, recipe=recipe))
            self._tuned = known, recipe
        self._wake()

    def split(self, split: Split | None) -> None:
        """From the next frame on the candidate judges beside the active model; None: no more.

        A rollout whose candidate failed gets none: its share stays 0 whatever is asked for.
        """
        with self._lock:
            if split is not None and split.rollout == self._lost:
                return
            before = self.beside
            if split is None:
                self.beside = None
            elif before is not None and before.split.slot == split.slot:
                self.beside = RunningSplit(split, before.candidate_slot)
            else:
                candidate_slot = CandidateSlot(
                    self.slots[split.slot], self._candidate_slots.get(split.slot)
                )
                self._candidate_slots[split.slot] = candidate_slot
                self.beside = RunningSplit(split, candidate_slot)
            if before is not None and (
                self.beside is None or self.beside.candidate_slot is not before.candidate_slot
            ):
                before.candidate_slot.leave()
            self.on_split(split)

    def drop(self, beside: RunningSplit) -> bool:
        """The candidate failed: its share is 0 from now on. False where its split was over."""
        with self._lock:
            if self.beside is None or self.beside.candidate_slot is not beside.candidate_slot:
                return False
            self.beside = None
            self._lost = beside.split.rollout
            beside.candidate_slot.leave()
            self.on_split(None)
            return True

    def vacate(self, slot: str, timeout_s: float) -> bool:
        """Whether no candidate in this slot is asked any more, so that it may be freed.

        Ends a split that is still on there; waits for an inference that was begun.
        """
        beside = self.beside
        if beside is not None and beside.split.slot == slot:
            self.split(None)
        candidate_slot = self._candidate_slots.get(slot)
        return candidate_slot is None or candidate_slot.is_quiet(timeout_s)

    def withdraw(self, token: int) -> bool:
        """True when the lane had not crossed yet, and will not; False when it did."""
        with self._lock:
            if self._asked is None or self._asked.token != token:
                return False
            self._asked = None
            return True

    def send(self, idle_task: IdleTask) -> None:
        """Let the lane run this once, when no frame waits or enough went first; in turn."""
        self._errands.append(idle_task)
        self._wake()

    def take_back(self, idle_task: IdleTask) -> None:
        """It need not be run any more; the lane may have begun it all the same."""
        with suppress(ValueError):
            self._errands.remove(idle_task)

    def offer(self, idle_task: IdleTask) -> bool:
        """As `send`, for what matters less than an idle task that waits; False where one does."""
        if self._errands:
            return False
        self.send(idle_task)
        return True

    def ready(self, slot: str, token: int) -> None:
        """The slot holds a bundle that was proven; `token` tells this load from earlier ones."""
        self._tokens[slot] = token
        self._wake()

    def memory_of(self, arm: Arm) -> int:
        """Resident bytes of what judges, or of the candidate beside it; 0 where there is none."""
        beside, slot = self.beside, self.pointer.slot
        if arm is Arm.CANDIDATE:
            slot = None if beside is None else beside.candidate_slot.slot
        return 0 if slot is None else slot.memory_bytes()

    # ------------------------------------------------------------------ the lane's side

    def token_of(self, slot: Slot) -> int:
        """The token of what a slot holds; 0 when it never held anything."""
        return self._tokens.get(slot.name, 0)

    @property
    def has_errand(self) -> bool:
        return bool(self._errands)

    def take_idle_task(self) -> IdleTask | None:
        """The idle task that has waited longest, once."""
        try:
            return self._errands.popleft()
        except IndexError:  # taken back since the lane looked
            return None

    @property
    def has_tuned(self) -> bool:
        """Whether a recipe was changed since the last look; one attribute read on every frame."""
        return self._tuned is not None

    def take_tuned(self) -> Pointer | None:
        """The pointer with another recipe, once, where it was retuned."""
        with self._lock:
            if self._tuned is None:
                return None
            (known, recipe), self._tuned = self._tuned, None
        return replace(self.pointer, recipe=recipe) if self.pointer.known == known else None

    def patient(self, frame: int, epoch: int) -> int | None:
        """The token of a cutover that is due before this frame, and may wait a moment."""
        cutover = self._asked  # one attribute read on every frame
        if cutover is None or not cutover.may_wait or not cutover.is_due(frame, epoch):
            return None
        return cutover.token

    def take_due(self, frame: int, epoch: int) -> Cutover | None:
        """The cutover that is due before this frame, taken so that it cannot be withdrawn."""
        if self._asked is None:  # one attribute read on every frame; the lock only when asked
            return None
        with self._lock:
            cutover = self._asked
            if cutover is None or not cutover.is_due(frame, epoch):
                return None
            self._asked = None
            return cutover
