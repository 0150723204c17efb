"""How long each stage of a proof takes."""

from __future__ import annotations

import time
from collections.abc import Callable


class Stages:
    """Times the stages of one job and tells each as it begins."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._began = time.monotonic()
        self._stage = ""
        self.ms: dict[str, float] = {}

    @property
    def current(self) -> str:
        return self._stage

    def enter(self, stage: str) -> None:
        self.end()
        self._stage, self._began = stage, time.monotonic()
        self._tell(stage)

    def end(self) -> None:
        if self._stage:
            self.ms[self._stage] = round((time.monotonic() - self._began) * 1e3, 1)
        self._stage = ""
