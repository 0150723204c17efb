"""Who listens to a capture, and remembers."""

from __future__ import annotations

import queue
from typing import Any

from edge_daemon.core.picture import Flaw, Spell
from edge_daemon.errors import CameraError
from edge_daemon.host.memory import FrameShape

GENEROUS_S = 60.0


class Reports:
    """A listener that remembers what it was told, in order."""

    def __init__(self) -> None:
        self.told: queue.Queue[tuple[str, Any]] = queue.Queue()

    def camera_up(self, shape: FrameShape, fps: float | None) -> None:
        self.told.put(("up", shape))

    def camera_lost(self, error: CameraError) -> None:
        self.told.put(("lost", error))

    def camera_ended(self) -> None:
        self.told.put(("ended", None))

    def picture_bad(self, flaw: Flaw) -> None:
        self.told.put(("bad", flaw))

    def picture_good(self, spell: Spell) -> None:
        self.told.put(("good", spell))

    def next(self) -> tuple[str, Any]:
        return self.told.get(timeout=GENEROUS_S)
