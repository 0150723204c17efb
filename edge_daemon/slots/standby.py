"""A slot whose bundle stands by twice while it judges frames (`slots.spare: hot`).

When its worker is lost at a frame, the standby judges that very frame, and a new one is made in the
background. The lane sees one call that took longer; losses are counted. A frame that ends the
standby too is given up at once: no third worker is spent on it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import structlog

from edge_daemon.errors import BundleError, SlotLost
from edge_daemon.host.error_boundary import contained
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.slot import Inference, Loaded, LoadOrder, Slot

_log = structlog.get_logger()

LOAD_TIMEOUT_S = 60.0
LOOK_S = 0.5
"""How often it is looked whether the slot that judges has its standby."""
RETRY_S = 10.0
"""After a standby could not be made."""

Told = Callable[["StandbySlot", str], None]


class StandbySlot:
    """Implements `Slot` with one worker that leads, and at times a second one.

    Args:
        make: a new, empty slot of this name.
        told: hears why the standby had to stand in; on the lane's thread, must not wait.
    """

    def __init__(self, make: Callable[[], ProcessSlot], told: Told) -> None:
        self._make = make
        self._told = told
        self._lock = threading.Lock()
        self._lead = make()
        self._twin: ProcessSlot | None = None
        self._coming: ProcessSlot | None = None
        self._order: LoadOrder | None = None
        self._shape: FrameShape | None = None

    @property
    def name(self) -> str:
        return self._lead.name

    @property
    def pid(self) -> int | None:
        return self._lead.pid

    @property
    def twin_pid(self) -> int | None:
        """The second worker's process id; None while there is none."""
        standby = self._twin
        return standby.pid if standby is not None else None

    @property
    def has_twin(self) -> bool:
        """Whether a second worker could judge the next frame."""
        standby = self._twin
        return standby is not None and not standby.is_lost

    @property
    def is_lost(self) -> bool:
        return self._lead.is_lost and not self.has_twin

    def load(self, order: LoadOrder, timeout_s: float) -> Loaded:
        self._forget()
        loaded = self._lead.load(order, timeout_s)
        self._order = order
        return loaded

    def infer(self, frame: FrameAddress, timeout_s: float) -> Inference:
        self._shape = frame.memory.shape
        return self._judge(lambda slot: slot.infer(frame, timeout_s))

    def infer_file(self, path: Path, timeout_s: float) -> Inference:
        return self._judge(lambda slot: slot.infer_file(path, timeout_s))

    def infer_picture(self, picture: FrameAddress, patience_s: float) -> Inference | None:
        """A picture that takes a worker along is not shown to its standby."""
        try:
            return self._lead.infer_picture(picture, patience_s)
        except SlotLost as lost:
            self._take_over(lost)
            return None

    def decode(self, path: Path, timeout_s: float) -> FrameMemory | None:
        return self._lead.decode(path, timeout_s)

    def promote(self) -> None:
        self._lead.promote()

    def free(self) -> None:
        self._forget()
        self._lead.free()

    def let_go(self) -> None:
        self._forget()
        self._lead.let_go()

    def kill(self) -> None:
        with self._lock:
            every = (self._lead, self._twin, self._coming)
        for slot in every:
            if slot is not None:
                slot.kill()

    def memory_bytes(self) -> int:
        standby = self._twin
        return self._lead.memory_bytes() + (standby.memory_bytes() if standby else 0)

    def close(self) -> None:
        self._forget()
        self._lead.close()

    # ------------------------------------------------------------------ the standby

    def make_twin(self) -> bool:
        """Load the bundle a second time, and warm it; False when that failed.

        Takes as long as a load; on a thread of its own, beside the calls of `Slot`.
        """
        with self._lock:
            order = self._order
            if order is None or self._twin is not None:
                return True
            coming = self._coming = self._make()
        with contained() as attempt:
            coming.load(order, LOAD_TIMEOUT_S)
            self._warm(coming)
        failure = attempt.fault
        with self._lock:
            is_wanted = self._coming is coming
            if is_wanted:
                self._coming = None
                self._twin = None if failure else coming
        if failure or not is_wanted:
            coming.free()
        if failure and is_wanted:
            _log.warning("twin_failed", slot=self.name, error=str(failure))
        return not (failure and is_wanted)

    def part(self) -> None:
        """Do without a standby, and without one that is being made; waits for neither's end."""
        with self._lock:
            standby, self._twin = self._twin, None
            coming, self._coming = self._coming, None
        if coming is not None:
            coming.kill()  # the thread that makes it frees it
        if standby is not None:
            standby.let_go()

    def _warm(self, standby: ProcessSlot) -> None:
        """The first inferences cost many times a later one."""
        if self._shape is None:
            return
        blank = FrameMemory.allocate(self._shape, 1)
        try:
            for _ in range(2):
                standby.infer(FrameAddress(blank, 0), LOAD_TIMEOUT_S)
        finally:
            blank.close()

    def _judge(self, judge: Callable[[ProcessSlot], Inference]) -> Inference:
        try:
            return judge(self._lead)
        except SlotLost as lost:
            self._take_over(lost)
        try:
            return judge(self._lead)
        except SlotLost as second:
            self._forget()
            raise BundleError(
                f"Two workers were lost over one frame. {second.message}", hint=second.hint
            ) from second

    def _forget(self) -> None:
        """Nothing is loaded here any more, so nothing is to be loaded twice."""
        with self._lock:
            self._order = None
        self.part()

    def _take_over(self, lost: SlotLost) -> None:
        """Let the standby lead; raises the loss where there is none."""
        with self._lock:
            standby, self._twin = self._twin, None
            if standby is None or standby.is_lost:
                left = standby
            else:
                left, self._lead = self._lead, standby
        if left is not None:
            left.let_go()
        if left is standby:
            self._forget()
            raise lost
        self._lead.promote()
        self._told(self, lost.message)


class Standbys:
    """Sees to it that the slot that judges frames has its standby, and no other slot has one.

    Args:
        judging: the slot that the pointer names at this moment.
    """

    def __init__(self, slots: Iterable[StandbySlot], judging: Callable[[], Slot | None]) -> None:
        self._slots = tuple(slots)
        self._judging = judging
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="standbys", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Make no more; a load in hand ends with its slot."""
        self._stopping.set()
        for slot in self._slots:
            slot.part()
        if self._thread.is_alive():
            self._thread.join(LOOK_S + 5.0)

    def _run(self) -> None:
        pause_s = LOOK_S
        while not self._stopping.wait(pause_s):
            pause_s = LOOK_S if self._look() else RETRY_S

    def _look(self) -> bool:
        """False when a standby could not be made."""
        judging = self._judging()
        fine = True
        for slot in self._slots:
            if slot is not judging:
                slot.part()
            elif not slot.has_twin:
                slot.part()
                fine = slot.make_twin()
        return fine
