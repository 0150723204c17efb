"""A line at its pace that collects pictures in blocks of random order, and not in the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from bench_rig.shadow_line import BLOCK, SETTLE, busy_slot, captured, ref
from edge_daemon.cli.drill_run import quantile
from edge_daemon.collecting.line import CollectionRules, LineCollector
from edge_daemon.collecting.store import CollectionStore, RetentionLimits
from edge_daemon.core.collecting.quota import shares
from edge_daemon.core.collecting.reasons import Why
from edge_daemon.core.judged import Judged
from edge_daemon.core.values import Recipe, StoredBundle
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.lane import Lane
from edge_daemon.frames.ledger import Ledger
from edge_daemon.frames.live import LiveLine, Outlets
from edge_daemon.frames.ring import Ring
from edge_daemon.host.clock import SystemClock
from edge_daemon.host.memory import FrameShape
from edge_daemon.slots.active import ActiveSlot, Cutover, Pointer


@dataclass
class Collected:
    """Milliseconds: frames while pictures are collected and while not, and what an offer cost."""

    on: list[float] = field(default_factory=list)
    off: list[float] = field(default_factory=list)
    offers: list[float] = field(default_factory=list)
    verdicts: int = 0
    kept: int = 0
    missed: int = 0

    @property
    def figures(self) -> dict[str, float]:
        off, on = quantile(self.off, 0.99) or 0.0, quantile(self.on, 0.99) or 0.0
        return {
            "p50 off ms": quantile(self.off, 0.5) or 0.0,
            "p50 on ms": quantile(self.on, 0.5) or 0.0,
            "p99 off ms": off,
            "p99 on ms": on,
            "p99 on over off": on / off if off else 0.0,
            "lane p50 ms": quantile(self.offers, 0.5) or 0.0,
            "lane p99 ms": quantile(self.offers, 0.99) or 0.0,
            "pictures kept": self.kept,
            "pictures missed": self.missed,
            "verdicts": self.verdicts,
        }


class CollectLine:
    """Ring, lane, a worker, the collector; frames come at a pace."""

    def __init__(self, folder: Path, ms: float, share: float) -> None:
        self._clock, self.ring = SystemClock(), Ring(16)
        self._slot = busy_slot("A", folder, ms)
        active_slot = ActiveSlot({"A": self._slot}, self.ring.wake)
        wanted: Mapping[Why, float] = {Why.AUDIT: share}
        keeping = RetentionLimits(1 << 32, shares(wanted, 0.5))
        store = CollectionStore(folder / "kept", keeping, "bench", lambda: self._clock.now().utc)
        self._collector = LineCollector(self.ring, store, CollectionRules(wanted), "bench", room=4)
        self.measured = Collected()
        self._is_on: dict[int, bool] = {}
        outlets = Outlets(self._published, self._offer, lambda _: None, lambda *_: None)
        line = LiveLine(self.ring, Ledger(), self._clock, outlets)
        lane = Lane(self.ring, active_slot, line, self._clock.now)
        active_slot.ready("A", 1)
        known = StoredBundle(ref("1"), "0" * 64)
        active_slot.ask(Cutover(1, Pointer(self._slot, known, Recipe(0.5)), ""))
        self._thread = threading.Thread(target=lane.run, daemon=True)
        self._collector.start()
        self._thread.start()

    def _offer(self, judged: Judged, captured: Captured) -> None:
        if not self._is_on.get(judged.frame):
            return
        began = time.perf_counter()
        self._collector.offer(judged, captured)
        self.measured.offers.append((time.perf_counter() - began) * 1e3)

    def _published(self, judged: Judged) -> None:
        self.measured.verdicts += 1
        if judged.frame % BLOCK >= SETTLE:
            took_ms = (self._clock.now().at - judged.captured_at) * 1e3
            (self.measured.on if self._is_on[judged.frame] else self.measured.off).append(took_ms)

    def run(self, frames: int, fps: float, shape: FrameShape, random: Random) -> Collected:
        """So many frames, in blocks that collect or do not by the throw of a coin."""
        for number in captured(self.ring, self._clock, shape, frames, fps):
            if number % BLOCK == 0:
                is_on = random.random() < 0.5
            self._is_on[number] = is_on
        self._thread.join(30.0)
        self._collector.stop(10.0)
        tally = self._collector.writer.tally
        self.measured.kept, self.measured.missed = tally.kept, tally.missed
        self._slot.close()
        return self.measured
