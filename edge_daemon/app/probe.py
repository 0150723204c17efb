"""While no frame comes, asks the model by an inference whether it would still judge one.

A hung worker must not go unnoticed until the camera is back, and the service manager's watchdog
must not be fed by a timer alone.
"""

from __future__ import annotations

from edge_daemon.app.status import Status
from edge_daemon.core.values import Instant
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.host.clock import Clock
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape
from edge_daemon.slots.active import ActiveSlot, Pointer

SHAPE = FrameShape(480, 640)
EVERY_S = 2.0
"""Time without a frame, or since the last probe, before the next one."""
TIMEOUT_S = 5.0
"""As long as a frame may take on the lane."""


class Probe:
    """Asks the active model through the lane, so that nothing else touches its slot."""

    def __init__(self, active_slot: ActiveSlot, clock: Clock) -> None:
        self._active_slot = active_slot
        self._clock = clock
        self._asked_at = clock.now().at
        self._blank: FrameMemory | None = None
        self._is_closed = False
        self.answered_at: float | None = None
        """When the model answered last, in monotonic seconds."""

    def look(self, now: Instant, frame_at: float | None) -> None:
        """Ask, if no frame came for a while; returns at once. `frame_at`: time of the last one."""
        heard_at = max(self._asked_at, frame_at or 0.0)
        if now.at - heard_at >= EVERY_S and self._active_slot.pointer.slot is not None:
            self._asked_at = now.at
            self._active_slot.offer(self._ask)

    def hear(self, status: Status) -> None:
        self.look(status.line.now, status.signs.frame_at)

    def close(self) -> None:
        """After the lane has ended."""
        self._is_closed = True
        if self._blank is not None:
            self._blank.close()
            self._blank = None

    def _ask(self, pointer: Pointer) -> None:
        """On the lane's thread."""
        slot = pointer.slot
        if slot is None or self._is_closed:
            return
        try:
            if self._blank is None:
                self._blank = FrameMemory.allocate(SHAPE, 1)
            slot.infer(FrameAddress(self._blank, 0), TIMEOUT_S)
        except (EdgeDaemonError, OSError):
            pass  # a lost worker is noticed by the lane, and anything else by the next frame
        else:
            self.answered_at = self._clock.now().at
