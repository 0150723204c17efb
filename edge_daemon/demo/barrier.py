"""The light barrier of the drawn line: it says to the daemon that a part is there, and which.

On a line it is a sensor before the camera, read by the PLC that knows the serial number of each
part. Here the results of frames tell when frames are captured, and the belt's pitch the rest.
"""

from __future__ import annotations

import heapq
import json
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from statistics import median

from edge_daemon.demo.conveyor import Conveyor
from edge_daemon.demo.truth import serial_of
from edge_daemon.messaging.times import iso_utc

STATION = 0.45
"""How far across the picture a part is when the barrier sees it: the next frames show it whole."""

EARLY = 0.4
"""In frame intervals: so long before a frame is captured its trigger is sent."""

WINDOW = 2.4
"""In frame intervals: a part's frames, two or three, are captured within it after the trigger."""

STALL = 2.0
"""In frame intervals: a frame that is later than this was drawn on a box that was too busy."""

_AHEAD_S = 1.0  # from the clock to a place that is surely not drawn yet
_MEMORY = 31  # frames whose capture times are remembered
_LOOK_S = 0.02  # between two looks at the clock, so long at most


class Barrier:
    """Fed with the capture times of frames; sends one trigger for each part, when it is there.

    Args:
        conveyor: what is on the belt.
        fps: frames a second.
        send: takes the body of one trigger; called on the barrier's thread.
        utc: POSIX seconds.
    """

    def __init__(
        self,
        conveyor: Conveyor,
        fps: float,
        send: Callable[[bytes], object],
        utc: Callable[[], float] = time.time,
    ) -> None:
        self._conveyor, self._fps = conveyor, fps
        self._send, self._utc = send, utc
        self._starts: deque[float] = deque(maxlen=_MEMORY)
        self._lock = threading.Lock()
        self._place: int | None = None  # the next one that comes to the barrier
        self._held_s = 0.0
        self._waiting: list[tuple[float, str, bytes]] = []  # when to send, serial, body
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="barrier", daemon=True)
        self.sent: list[str] = []
        """Serials of the parts that were announced."""
        self.held: str | None = None
        """The serial of the part whose trigger was held up."""

    def captured(self, index: int, utc: float) -> bool:
        """The conveyor's frame `index` was captured then; gives back whether the line stalled:
        it was drawn so late that its parts stand elsewhere than the barrier's clock says."""
        start = utc - index / self._fps
        with self._lock:
            self._starts.append(start)
            return abs(start - median(self._starts)) > STALL / self._fps

    def hold_up(self, seconds: float) -> None:
        """The next trigger arrives so much later than its part."""
        with self._lock:
            self._held_s = seconds

    def comes_next(self) -> int:
        """The first place on the belt that will come into view, and surely was not drawn yet."""
        with self._lock:
            started = median(self._starts)
        soon = (self._utc() - started + _AHEAD_S) * self._fps
        return self._conveyor.stands_at(math.ceil(soon), 0.0) + 2

    def start(self) -> None:
        """Send triggers from here on."""
        self._thread.start()

    def stop(self) -> None:
        """No part is announced after this; what is held up is sent at once."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        for _, serial, body in sorted(self._waiting):
            self._tell(serial, body)
        self._waiting.clear()

    def look(self) -> None:
        """Send what is due by now."""
        now = self._utc()
        with self._lock:
            if not self._starts:
                return
            started = median(self._starts)
            if self._place is None:
                across = (now - started) * self._fps
                self._place = self._conveyor.stands_at(math.ceil(across), STATION) + 1
            while (at := self._due(self._place, started)) <= now:
                serial = serial_of(self._place)
                body = {"id": serial, "serial": serial, "at": iso_utc(at)}
                heapq.heappush(
                    self._waiting, (at + self._held_s, serial, json.dumps(body).encode())
                )
                if self._held_s:
                    self.held, self._held_s = serial, 0.0
                self._place += 1
        while self._waiting and self._waiting[0][0] <= now:
            _, serial, body_sent = heapq.heappop(self._waiting)
            self._tell(serial, body_sent)

    def _due(self, place: int, started: float) -> float:
        frame = round(self._conveyor.reaches(place, STATION))
        return started + (frame - EARLY) / self._fps

    def _tell(self, serial: str, body: bytes) -> None:
        self.sent.append(serial)
        self._send(body)

    def _run(self) -> None:
        while not self._stopped.wait(min(_LOOK_S, 0.2 / self._fps)):
            self.look()
