"""Every metric of the contract in one object with narrow methods; the hot path costs microseconds.

Series of models come and go for years, so only the newest models keep theirs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from edge_daemon.core.values import BundleRef, Judged, Reason, Verdict
from edge_daemon.host.gpu import GpuMemory

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

MODELS_KEPT = 16
"""Models whose series stay; the one that judged longest ago goes first."""

_FRAME_S = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 10.0)
_STAGE_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_PAUSE_S = (0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)


@dataclass(frozen=True)
class ModelRole:
    """One resident bundle; `role` is active, prepared or previous."""

    ref: BundleRef
    sha256: str
    slot: str
    role: str


class _ModelSeries:
    """The label look-ups of one model, done once instead of with each frame."""

    def __init__(self, model: str, inspected: Counter, inference: Histogram) -> None:
        self.ok = inspected.labels(model, Verdict.OK.value)
        self.ng = inspected.labels(model, Verdict.NG.value)
        self.inference = inference.labels(model)


class Metrics:
    """The registry; any thread may call any method, and none raises."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second line for each series
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        counter = partial(Counter, registry=self._registry)
        gauge = partial(Gauge, registry=self._registry)
        histogram = partial(Histogram, registry=self._registry)

        self._captured = counter("edge_frames_captured", "Frames taken from the camera.")
        self._inspected = counter(
            "edge_frames_inspected", "Frames with a model's verdict.", ["model", "verdict"]
        )
        dropped = counter("edge_frames_dropped", "Frames that no model was offered.", ["reason"])
        uninspected = counter("edge_frames_uninspected", "Frames that no model judged.", ["reason"])
        # Every reason begins at zero, so that its first frame counts as an increase.
        self._reasons = {
            reason: (dropped if reason.is_drop else uninspected).labels(reason.value)
            for reason in Reason
        }
        self._inference = histogram(
            "edge_inference_seconds", "One inference.", ["model"], buckets=_FRAME_S
        )
        self._latency = histogram(
            "edge_frame_latency_seconds", "From capture to verdict.", buckets=_FRAME_S
        )
        self._models: OrderedDict[BundleRef, _ModelSeries] = OrderedDict()
        self._newest: BundleRef | None = None

        self._swaps = counter("edge_swaps", "Requests by their outcome.", ["outcome", "code"])
        self._stage = histogram(
            "edge_swap_stage_seconds", "One stage of a swap.", ["stage"], buckets=_STAGE_S
        )
        self._pause = histogram(
            "edge_swap_pause_seconds", "Extra gap between two results.", buckets=_PAUSE_S
        )
        self._model_info = gauge(
            "edge_model_info", "Bundles in slots.", ["model", "sha256", "slot", "role"]
        )
        self._restarts = counter("edge_slot_restarts", "Workers that were lost.", ["reason"])
        self._slot_memory = gauge("edge_slot_memory_bytes", "Memory of a slot.", ["slot", "kind"])
        self._camera_up = gauge("edge_camera_up", "1: frames can come.")
        self._mqtt_connected = gauge("edge_mqtt_connected", "1: the broker is there.")
        self._store_up = gauge("edge_store_up", "1: the store's folder can be read.")
        self._outbox_depth = gauge("edge_outbox_depth", "Messages that wait for the broker.")
        self._gpu = gauge("edge_gpu_memory_bytes", "Memory of the device.", ["kind"])

    # ----------------------------------------------------------------------- frames

    def captured(self, frames: int = 1) -> None:
        """Frames that the camera gave and that got a number."""
        self._captured.inc(frames)

    def frame(self, judged: Judged) -> None:
        """The one verdict of one frame. One thread calls this: the lane's."""
        if judged.reason is not None:
            self._reasons[judged.reason].inc()
        if judged.model is None or judged.verdict is Verdict.UNINSPECTED:
            return
        series = self._series(judged.model)
        (series.ng if judged.verdict is Verdict.NG else series.ok).inc()
        series.inference.observe(judged.inference_ms / 1e3)
        self._latency.observe((judged.queue_ms + judged.inference_ms) / 1e3)

    def _series(self, ref: BundleRef) -> _ModelSeries:
        if ref is self._newest:
            return self._models[ref]
        series = self._models.get(ref)
        if series is None:
            series = self._models[ref] = _ModelSeries(str(ref), self._inspected, self._inference)
        self._models.move_to_end(ref)
        self._newest = ref
        if len(self._models) > MODELS_KEPT:
            oldest, _ = self._models.popitem(last=False)
            for verdict in (Verdict.OK, Verdict.NG):
                self._inspected.remove(str(oldest), verdict.value)
            self._inference.remove(str(oldest))
        return series

    # ------------------------------------------------------------------------ swaps

    def swap(self, outcome: str, code: str = "") -> None:
        """A swap, prepare or rollback ended; `code` is empty where it succeeded."""
        self._swaps.labels(outcome, code).inc()

    def stage(self, stage: str, seconds: float) -> None:
        """verify, load, warm or gate took this long."""
        self._stage.labels(stage).observe(seconds)

    def pause(self, seconds: float) -> None:
        """What the cutover added between two results."""
        self._pause.observe(seconds)

    def models(self, resident: Iterable[ModelRole]) -> None:
        """What the slots hold now; what was said before is gone."""
        self._model_info.clear()
        for model in resident:
            self._model_info.labels(str(model.ref), model.sha256, model.slot, model.role).set(1)

    # -------------------------------------------------------------------------- box

    def slot_restarted(self, reason: str) -> None:
        """A worker died, hung or was ended; `reason` is one word."""
        self._restarts.labels(reason).inc()

    def slot_memory(self, slot: str, kind: str, size_bytes: int) -> None:
        """`kind` is host or gpu."""
        self._slot_memory.labels(slot, kind).set(size_bytes)

    def camera(self, up: bool) -> None:
        self._camera_up.set(up)

    def mqtt(self, connected: bool) -> None:
        self._mqtt_connected.set(connected)

    def store(self, up: bool) -> None:
        self._store_up.set(up)

    def outbox(self, depth: int) -> None:
        self._outbox_depth.set(depth)

    def gpu(self, memory: GpuMemory) -> None:
        """What the driver says, of all processes together."""
        for kind, size in (("free", memory.free), ("used", memory.used), ("total", memory.total)):
            self._gpu.labels(kind).set(size)

    def render(self) -> bytes:
        """The text that Prometheus reads; its type is `CONTENT_TYPE`."""
        return generate_latest(self._registry)
