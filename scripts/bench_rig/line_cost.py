"""The daemon's way of a frame without camera and broker, with a stamp at every door."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from edge_daemon.core.judged import Judged
from edge_daemon.core.values import BundleRef, Detection, Recipe, StoredBundle
from edge_daemon.frames.images import Pictures
from edge_daemon.frames.lane import Lane
from edge_daemon.frames.ledger import Ledger
from edge_daemon.frames.live import LiveLine, Outlets
from edge_daemon.frames.publisher import Publisher
from edge_daemon.frames.ring import Ring
from edge_daemon.host.clock import SystemClock
from edge_daemon.host.memory import FrameAddress, FrameShape
from edge_daemon.messaging import result_payloads
from edge_daemon.models.bundle import read_manifest
from edge_daemon.models.decoding import Pixels
from edge_daemon.models.engine import ModelFacts, ModelOrder, RawResult
from edge_daemon.slots.active import ActiveSlot, Cutover, Pointer
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ENGINE, ProcessSlot
from edge_daemon.slots.slot import Inference, LoadOrder
from edge_daemon.slots.spare import SparePool

LIGHT = "bench_rig.line_cost:LightEngine"


class LightEngine:
    """An engine that only says how many things it saw: what is left is the daemon's own cost."""

    def warm(self) -> None:
        """Nothing to import."""

    def load(self, order: ModelOrder) -> ModelFacts:
        many = int(json.loads(order.weights.read_text())["detections"])
        box = (10.0, 10.0, 60.0, 60.0)
        self._sight = RawResult(tuple(Detection("bottle", 0.9, box) for _ in range(many)))
        return ModelFacts(("bottle",), "detect")

    def infer(self, pixels: Pixels) -> RawResult:  # noqa: ARG002 - the protocol gives it
        return self._sight

    def gpu_bytes(self) -> int:
        return 0


class TimedSlot(ProcessSlot):
    """Remembers how long the last question took from here."""

    asked_ms = 0.0

    def infer(self, frame: FrameAddress, timeout_s: float) -> Inference:
        began = time.perf_counter()
        inference = super().infer(frame, timeout_s)
        self.asked_ms = (time.perf_counter() - began) * 1e3
        return inference


@dataclass(frozen=True)
class Parts:
    """One frame from its capture to its result's bytes, in milliseconds."""

    whole: float
    begin: float  # a place in the ring
    wake: float  # from the commit until the lane asks
    model: float
    hand_over: float  # to the worker and back
    after: float  # verdict, ledger, pictures, metrics, the result's bytes

    @property
    def around(self) -> float:
        return self.whole + self.begin - self.model


def bundle_order(bundle: Path, imgsz: int | None = None) -> LoadOrder:
    manifest = read_manifest(bundle)
    return LoadOrder(
        manifest.ref, manifest.weights.sha256, bundle, bundle / manifest.weights.file,
        manifest.task, manifest.classes, imgsz or manifest.imgsz, manifest.recipe.confidence,
    )  # fmt: skip


def light_order(folder: Path, detections: int) -> LoadOrder:
    weights = folder / f"light{detections}.json"
    weights.write_text(json.dumps({"detections": detections}))
    ref = BundleRef("light", "1.0.0")
    return LoadOrder(ref, "0" * 64, folder, weights, "detect", ("bottle",), 64, 0.5)


class CostLine:
    """Ring, lane, slots with their workers, ledger, publisher, pictures."""

    def __init__(self, orders: Sequence[LoadOrder], threads: int = 1, viewers: int = 0) -> None:
        self._judged: Judged | None = None
        self._done = threading.Event()
        self._clock = SystemClock()
        self.ring = Ring(8)
        self.slots = [
            self._slot(name, order, threads)
            for name, order in zip("ABCDEFGH", orders, strict=False)
        ]
        self.active_slot = ActiveSlot({slot.name: slot for slot in self.slots}, self.ring.wake)
        self._known = [StoredBundle(order.ref, order.sha256) for order in orders]
        self._publisher = Publisher(self._published)
        self._pictures = Pictures(self.ring)
        outlets = Outlets(
            self._publisher.put, self._pictures.offer, lambda _: None, lambda *_: None
        )
        line = LiveLine(self.ring, Ledger(), self._clock, outlets)
        lane = Lane(self.ring, self.active_slot, line, self._clock.now)
        self._token = 0
        self.point(0)
        self._publisher.start()
        self._pictures.start()
        self._watching = True
        for _ in range(viewers):
            threading.Thread(target=self._watch, daemon=True).start()
        threading.Thread(target=lane.run, daemon=True).start()

    @staticmethod
    def _slot(name: str, order: LoadOrder, threads: int) -> TimedSlot:
        light = order.ref.name == "light"
        options: dict[str, object] = {} if light else {"threads": threads}
        spec = WorkerSpec(LIGHT if light else ENGINE, options, readable=(str(order.folder),))
        slot = TimedSlot(name, SparePool(spec, standing=0))
        slot.load(order, 120.0)
        slot.promote()
        return slot

    def point(self, index: int) -> None:
        """Ask for a cutover to a slot, made at the next frame."""
        self._token += 1
        slot = self.slots[index]
        self.active_slot.ready(slot.name, self._token)
        pointer = Pointer(slot, self._known[index], Recipe(0.5))
        self.active_slot.ask(Cutover(self._token, pointer, ""))

    def _published(self, judged: Judged) -> None:
        result_payloads.result("bench", judged)
        self._judged = judged
        self._done.set()

    def _watch(self) -> None:
        serial = 0
        while self._watching:
            picture = self._pictures.watch(serial, 0.5)
            serial = picture.serial if picture else serial

    def time(self, pixels: Any) -> Parts:
        height, width = pixels.shape[:2]
        began = time.perf_counter()
        lease = self.ring.begin(FrameShape(height, width))
        begin_ms = (time.perf_counter() - began) * 1e3
        lease.pixels[...] = pixels  # a camera writes here itself: not counted
        self._done.clear()
        began = time.perf_counter()
        self.ring.commit(lease, self._clock.now())
        self._done.wait()
        whole_ms = (time.perf_counter() - began) * 1e3
        judged, active = self._judged, self.active_slot.pointer.slot
        assert judged is not None
        assert active is not None
        slot = next(each for each in self.slots if each.name == active.name)
        asked_ms = slot.asked_ms
        return Parts(
            whole_ms, begin_ms, judged.queue_ms, judged.inference_ms,
            asked_ms - judged.inference_ms, whole_ms - judged.queue_ms - asked_ms,
        )  # fmt: skip

    def close(self) -> None:
        self._watching = False
        self._pictures.stop()
        for slot in self.slots:
            slot.close()


def middle(parts: Sequence[Parts]) -> dict[str, float]:
    names = ("whole", "begin", "wake", "model", "hand_over", "after", "around")
    return {name: round(median(getattr(each, name) for each in parts), 4) for name in names}
