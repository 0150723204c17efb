"""A line at its pace while a bundle arrives in blocks of random order, and rests in the others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bench_rig.shadow_line import busy_slot, captured, ref
from edge_daemon.cli.drill_run import quantile
from edge_daemon.core.judged import Judged
from edge_daemon.core.values import Recipe, StoredBundle
from edge_daemon.frames.lane import Lane
from edge_daemon.frames.ledger import Ledger
from edge_daemon.frames.live import LiveLine, Outlets
from edge_daemon.frames.ring import Ring
from edge_daemon.host.clock import SystemClock
from edge_daemon.host.memory import FrameShape
from edge_daemon.slots.active import ActiveSlot, Cutover, Pointer

BLOCK = 90
"""Frames in which it comes or rests, before the next draw."""
SETTLE = 15
"""Frames at the start of a block that count for neither: the courier looks up after 0.2 s."""


@dataclass
class Arrived:
    """Milliseconds from capture to verdict, and what came meanwhile."""

    on: list[float] = field(default_factory=list)
    off: list[float] = field(default_factory=list)
    verdicts: int = 0
    came: int = 0

    @property
    def figures(self) -> dict[str, float]:
        off, on = quantile(self.off, 0.99) or 0.0, quantile(self.on, 0.99) or 0.0
        return {
            "p50 rests ms": quantile(self.off, 0.5) or 0.0,
            "p50 comes ms": quantile(self.on, 0.5) or 0.0,
            "p99 rests ms": off,
            "p99 comes ms": on,
            "p99 comes over rests": on / off if off else 0.0,
            "p99 more ms": on - off,
            "MB came": self.came / 1e6,
            "verdicts": self.verdicts,
        }


class ArrivalLine:
    """Ring, lane and a worker; frames come at a pace. `rest(is_on)` is the courier's."""

    def __init__(self, folder: Path, ms: float, rest: Callable[[bool], None]) -> None:
        self._clock, self._ring, self._rest = SystemClock(), Ring(16), rest
        self._slot = busy_slot("A", folder, ms)
        active_slot = ActiveSlot({"A": self._slot}, self._ring.wake)
        self._measured = Arrived()
        self._is_on: dict[int, bool] = {}
        outlets = Outlets(self._published, lambda *_: None, lambda _: None, lambda *_: None)
        line = LiveLine(self._ring, Ledger(), self._clock, outlets)
        lane = Lane(self._ring, active_slot, line, self._clock.now)
        active_slot.ready("A", 1)
        known = StoredBundle(ref("1"), "0" * 64)
        active_slot.ask(Cutover(1, Pointer(self._slot, known, Recipe(0.5)), ""))
        self._thread = threading.Thread(target=lane.run, daemon=True)
        self._thread.start()

    def _published(self, judged: Judged) -> None:
        self._measured.verdicts += 1
        if judged.frame % BLOCK >= SETTLE:
            took_ms = (self._clock.now().at - judged.captured_at) * 1e3
            into = self._measured.on if self._is_on[judged.frame] else self._measured.off
            into.append(took_ms)

    def run(self, frames: int, fps: float, shape: FrameShape, random: Random) -> Arrived:
        for number in captured(self._ring, self._clock, shape, frames, fps):
            if number % BLOCK == 0:
                is_on = random.random() < 0.5
                self._rest(not is_on)
            self._is_on[number] = is_on
        self._thread.join(30.0)
        self._slot.close()
        return self._measured
