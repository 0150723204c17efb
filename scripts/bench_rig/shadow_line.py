"""A line at its pace, with a candidate beside it in blocks of random order."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from edge_daemon.cli.drill_run import quantile
from edge_daemon.core.judged import Judged
from edge_daemon.core.rollout.values import Mode, Pair, Split
from edge_daemon.core.values import BundleRef, Detection, Recipe, StoredBundle
from edge_daemon.frames.arms import Arms
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.lane import Lane
from edge_daemon.frames.ledger import Ledger
from edge_daemon.frames.live import LiveLine, Outlets
from edge_daemon.frames.publisher import Publisher
from edge_daemon.frames.ring import Ring
from edge_daemon.frames.shadow import Shadow, ShadowOutlets
from edge_daemon.host.clock import SystemClock
from edge_daemon.host.memory import FrameShape
from edge_daemon.models.decoding import Pixels
from edge_daemon.models.engine import ModelFacts, ModelOrder, RawResult
from edge_daemon.slots.active import ActiveSlot, Cutover, Pointer
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.frame_control import ShadowTally
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.slot import LoadOrder
from edge_daemon.slots.spare import SparePool

BUSY = "bench_rig.shadow_line:BusyEngine"
BLOCK = 30
"""Frames with the candidate, or without it, before the next draw."""
SETTLE = 2
"""Frames at the start of a block that count for neither."""


class BusyEngine:
    """An engine that computes for as long as it is told, and sees one object."""

    def warm(self) -> None:
        """Nothing to import."""

    def load(self, order: ModelOrder) -> ModelFacts:
        self._busy_s = float(json.loads(order.weights.read_text())["ms"]) / 1e3
        return ModelFacts(("bottle",), "detect")

    def infer(self, pixels: Pixels) -> RawResult:
        until = time.perf_counter() + self._busy_s
        while time.perf_counter() < until:
            pixels[::16, ::16].sum()
        return RawResult((Detection("bottle", 0.9, (10.0, 10.0, 60.0, 60.0)),))

    def gpu_bytes(self) -> int:
        return 0


@dataclass
class Measured:
    """Milliseconds: frames with and without the candidate, and what an offer cost the lane."""

    on: list[float] = field(default_factory=list)
    off: list[float] = field(default_factory=list)
    offers: list[float] = field(default_factory=list)
    verdicts: int = 0
    tally: ShadowTally = ShadowTally()
    pairs: int = 0

    @property
    def figures(self) -> dict[str, float]:
        return {
            "verdicts": self.verdicts,
            "compared": self.tally.compared,
            "p99 off ms": quantile(self.off, 0.99) or 0.0,
            "p99 on ms": quantile(self.on, 0.99) or 0.0,
            "lane p99 ms": quantile(self.offers, 0.99) or 0.0,
        }

    def lines(self) -> list[str]:
        rows = []
        for name, values in (("off", self.off), ("on", self.on)):
            p50, p99 = quantile(values, 0.5) or 0.0, quantile(values, 0.99) or 0.0
            rows.append(
                f"live, shadow {name:3}  p50 {p50:7.3f} ms  p99 {p99:7.3f} ms  n {len(values)}"
            )
        off, on = quantile(self.off, 0.99) or 0.0, quantile(self.on, 0.99) or 0.0
        seen = self.tally.compared + self.tally.skipped + self.tally.failed
        rows += [
            f"p99 on over off   {on / off if off else 0.0:.3f} x  {on - off:+.3f} ms",
            f"lane's cost       p50 {quantile(self.offers, 0.5) or 0.0:.4f} ms"
            f"  p99 {quantile(self.offers, 0.99) or 0.0:.4f} ms a frame",
            f"coverage          {self.tally.compared} of {seen} frames compared,"
            f" share asked for {self.tally.share:.2f}, pairs {self.pairs}",
        ]
        return rows


class ShadowLine:
    """Ring, lane, two workers, shadow; frames come at a pace."""

    def __init__(self, folder: Path, ms: float, candidate_ms: float) -> None:
        self._clock, self.ring = SystemClock(), Ring(8)
        self.slots = {
            name: busy_slot(name, folder, busy) for name, busy in (("A", ms), ("B", candidate_ms))
        }
        self.active_slot = ActiveSlot(self.slots, self.ring.wake)
        self.measured = Measured()
        self._is_on: dict[int, bool] = {}
        arms = Arms(self.active_slot, "bench", lambda *_: None)
        outlets = ShadowOutlets(self._paired, arms.lose)
        self.shadow = Shadow(self.ring, self.active_slot, "bench", None, outlets)
        line = LiveLine(
            self.ring,
            Ledger(),
            self._clock,
            Outlets(self._published, self._offer, lambda _: None, lambda *_: None),
        )
        lane = Lane(self.ring, self.active_slot, line, self._clock.now, arms=arms)
        known = StoredBundle(ref("1"), "0" * 64)
        self.active_slot.ready("A", 1)
        self.active_slot.ask(Cutover(1, Pointer(self.slots["A"], known, Recipe(0.5)), ""))
        self._thread = threading.Thread(target=lane.run, daemon=True)
        self._publisher = Publisher(lambda _: self.shadow.pass_on())
        self._publisher.start()
        self.shadow.start()
        self._thread.start()

    def _offer(self, judged: Judged, captured: Captured) -> None:
        began = time.perf_counter()
        self.shadow.offer(judged, captured, is_gap=self.ring.depth == 0)
        ended = time.perf_counter()
        if self._is_on.get(judged.frame):
            self.measured.offers.append((ended - began) * 1e3)

    def _published(self, judged: Judged) -> None:
        self.measured.verdicts += 1
        took_ms = (self._clock.now().at - judged.captured_at) * 1e3
        is_on = self._is_on.get(judged.frame)
        if is_on is not None:
            (self.measured.on if is_on else self.measured.off).append(took_ms)
        self._publisher.put(judged)

    def _paired(self, _: Pair) -> None:
        self.measured.pairs += 1

    def run(self, frames: int, fps: float, shape: FrameShape, random: Random) -> Measured:
        split = Split("bench", "B", StoredBundle(ref("2"), "1" * 64), Recipe(0.5), Mode.SHADOW)
        for number in captured(self.ring, self._clock, shape, frames, fps):
            if number % BLOCK == 0:
                is_on = random.random() < 0.5
                self.active_slot.split(split if is_on else None)
            if number % BLOCK >= SETTLE:
                self._is_on[number] = is_on
        self._thread.join(30.0)
        self._publisher.stop(5.0)
        self.shadow.stop()
        self.measured.tally = self.shadow.tally
        for slot in self.slots.values():
            slot.close()
        return self.measured


def captured(
    ring: Ring, clock: SystemClock, shape: FrameShape, frames: int, fps: float
) -> Iterator[int]:
    """Each frame's number just before it is captured, at its pace; closes the ring at the end."""
    due_at = time.perf_counter()
    for number in range(frames):
        yield number
        due_at += 1.0 / fps
        time.sleep(max(0.0, due_at - time.perf_counter()))
        lease = ring.begin(shape)
        lease.pixels[0, 0] = number % 251
        ring.commit(lease, clock.now())
    ring.close()


def ref(version: str) -> BundleRef:
    """Of the models here."""
    return BundleRef("busy", version)


def busy_slot(name: str, folder: Path, busy_ms: float) -> ProcessSlot:
    """A worker whose model takes so long for a frame; A is the one that judges."""
    weights = folder / f"{name}.json"
    weights.write_text(json.dumps({"ms": busy_ms}))
    spec = WorkerSpec(BUSY, {}, readable=(str(folder),))
    slot = ProcessSlot(name, SparePool(spec, standing=0))
    order = LoadOrder(ref("1"), "0" * 64, folder, weights, "detect", ("bottle",), 64, 0.5)
    slot.load(order, 60.0)
    if name == "A":
        slot.promote()
    return slot
