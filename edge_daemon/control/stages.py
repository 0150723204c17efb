"""Measures how long each stage of a proof takes."""

from __future__ import annotations

from collections.abc import Callable

from edge_daemon.host.clock import Clock


class Stages:
    """Times the stages of one job and tells each as it begins."""

    def __init__(self, tell: Callable[[str], None], clock: Clock) -> None:
        self._tell, self._clock = tell, clock
        self._began = clock.now().at
        self.current = ""
        self.ms: dict[str, float] = {}

    def enter(self, stage: str) -> None:
        self.end()
        self.current, self._began = stage, self._clock.now().at
        self._tell(stage)

    def end(self) -> None:
        if self.current:
            self.ms[self.current] = round((self._clock.now().at - self._began) * 1e3, 1)
        self.current = ""
