"""Every metric of the contract in one object with narrow methods; none is set for each frame."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from edge_daemon.core.effects import SetSplit
from edge_daemon.core.parts.values import PartOutcome
from edge_daemon.core.roles import Role
from edge_daemon.core.rollout.evidence import Place
from edge_daemon.core.rollout.reading import Reading
from edge_daemon.core.state import Rollout
from edge_daemon.core.totals import BOUNDS_MS, Spread, Totals
from edge_daemon.core.values import BundleRef, Reason
from edge_daemon.host.gpu import GpuMemory

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

OTHERS = "other"
"""The model label of frames that were judged by models of long ago."""

ROLLOUT_OUTCOMES = ("completed", "stopped", "superseded")
"""The candidate is active; it did worse or failed; somebody or something newer ended it."""

_FRAME_LE = (*(str(bound / 1e3) for bound in BOUNDS_MS), "+Inf")
_STAGE_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_AGE_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_PAUSE_S = (0.0001, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0)

COUNTERS = {
    "edge_swaps": ("Requests by their outcome.", ("outcome", "code")),
    "edge_slot_restarts": ("Workers that were lost.", ("reason",)),
    "edge_ng_images": ("Pictures of rejected parts by what became of them.", ("outcome",)),
    "edge_pictures": ("Pictures of parts by what became of them.", ("outcome",)),
    "edge_picture_copies": ("Copies of pictures by what became of them.", ("outcome",)),
    "edge_collected": ("Pictures kept for training, by their reason.", ("reason",)),
    "edge_collect_lost": ("Chosen pictures that were not kept.", ("why",)),
    "edge_parts": ("Parts by verdict.", ("verdict", "reason")),
    "edge_parts_late": ("Parts that were told after their deadline.", ()),
    "edge_rollout_pairs": ("Parts that both models judged.", ("slice", "outcome")),
    "edge_rollouts": ("Rollouts by how they ended.", ("outcome",)),
    "edge_rollout_pictures": ("Pictures of disagreements by outcome.", ("outcome",)),
    "edge_shadow_frames": ("Frames for the candidate.", ("result",)),
    "edge_feedback": ("Words on parts.", ("source", "verdict")),
    "edge_fleet_bytes": ("Bytes of campaigns' bundles by where they came from.", ("from",)),
}
GAUGES = {
    "edge_model_info": ("Bundles in slots.", ("model", "sha256", "slot", "role")),
    "edge_slot_memory_bytes": ("Memory of a slot.", ("slot", "kind")),
    "edge_picture_copies_waiting": ("Pictures that are to be copied.", ()),
    "edge_rollout_info": ("What is tried.", ("rollout", "model", "reference", "stage")),
    "edge_rollout_share": ("Of the parts, those that the candidate judges.", ()),
    "edge_rollout_evidence_log10": ("At its limit it stops.", ("slice", "side")),
    "edge_rollout_bound": ("What is lost at most, as a share.", ("slice", "side")),
    "edge_rollout_coverage": ("Of the drawn parts, those that both models judged.", ("slice",)),
    "edge_rollout_labels_missing": ("Disagreements that nobody has labelled.", ()),
    "edge_rollout_held": ("1: it does not go on before somebody looks.", ()),
    "edge_precision": ("Of the rejected parts that were looked at, the truly bad ones.", ()),
    "edge_drift_evidence_log10": ("That a signal is not as usual.", ("signal",)),
    "edge_camera_up": ("1: frames can come.", ()),
    "edge_mqtt_connected": ("1: the broker is there.", ()),
    "edge_store_up": ("1: the store's folder can be read.", ()),
    "edge_source_up": ("1: this source of bundles can be asked.", ("source",)),
    "edge_outbox_depth": ("Messages that wait for the broker.", ()),
    "edge_certificate_expires_seconds": ("POSIX time at which it ends.", ("file",)),
    "edge_gpu_memory_bytes": ("Memory of the device.", ("kind",)),
    "edge_fleet_phase": ("1: how far it is with a campaign.", ("campaign", "phase")),
    "edge_fleet_fresh_seconds": ("So long it may begin campaigns; NaN: nothing limits it.", ()),
}
HISTOGRAMS = {
    "edge_swap_stage_seconds": ("One stage of a swap.", ("stage",), _STAGE_S),
    "edge_swap_pause_seconds": ("Extra gap between two results.", (), _PAUSE_S),
    "edge_part_age_seconds": ("From trigger or first frame to result.", (), _AGE_S),
}
"""Name -> what it says, its labels, and of a histogram its bounds. Those of frames: `_Frames`."""


@dataclass(frozen=True)
class ModelRole:
    """One resident bundle; `role` is None, and its label empty, while it has none."""

    ref: BundleRef
    sha256: str
    slot: str
    role: Role | None


class _Frames(Collector):
    """The series of the frames: each scrape is made of one value of the ledger's totals."""

    def __init__(self) -> None:
        self.totals = Totals()

    def collect(self) -> Iterator[Metric]:
        totals = self.totals
        captured = CounterMetricFamily("edge_frames_captured", "Frames taken from the camera.")
        captured.add_metric([], totals.counts.captured)
        inspected = CounterMetricFamily(
            "edge_frames_inspected",
            "Frames with a model's verdict.",
            labels=["model", "verdict"],
        )
        inference = HistogramMetricFamily(
            "edge_inference_seconds", "One inference.", labels=["model"]
        )
        for ref, model in totals.models.items():
            name = OTHERS if ref is None else str(ref)
            for verdict, count in model.verdicts.items():
                inspected.add_metric([name, verdict.value], count)
            inference.add_metric([name], *_buckets(model.inference))
        latency = HistogramMetricFamily("edge_frame_latency_seconds", "From capture to verdict.")
        latency.add_metric([], *_buckets(totals.latency))
        yield from (captured, inspected, *self._reasons(totals), inference, latency)

    @staticmethod
    def _reasons(totals: Totals) -> tuple[Metric, Metric]:
        dropped = CounterMetricFamily(
            "edge_frames_dropped", "Frames that no model was offered.", labels=["reason"]
        )
        uninspected = CounterMetricFamily(
            "edge_frames_uninspected", "Frames that no model judged.", labels=["reason"]
        )
        # Every reason begins at zero, so that its first frame counts as an increase.
        for reason in Reason:
            family = dropped if reason.is_drop else uninspected
            family.add_metric([reason.value], totals.reasons.get(reason, 0))
        return dropped, uninspected


def _buckets(spread: Spread) -> tuple[list[tuple[str, float]], float]:
    """Cumulated counts by their upper bound in seconds, and the sum, as Prometheus has them."""
    buckets = list(zip(_FRAME_LE, map(float, accumulate(spread.frames)), strict=True))
    return buckets, spread.sum_ms / 1e3


class Metrics:
    """The registry; any thread may call any method, and none raises."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second line for each series
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self._frames = _Frames()
        self._registry.register(self._frames)
        self._counters = {
            name: Counter(name, *each, registry=self._registry) for name, each in COUNTERS.items()
        }
        self._gauges = {
            name: Gauge(name, *each, registry=self._registry) for name, each in GAUGES.items()
        }
        self._histograms = {
            name: Histogram(name, what, labels, buckets=bounds, registry=self._registry)
            for name, (what, labels, bounds) in HISTOGRAMS.items()
        }
        for outcome in ROLLOUT_OUTCOMES:  # from zero, so that the first one is an increase
            self._counters["edge_rollouts"].labels(outcome)
        self._gauges["edge_fleet_fresh_seconds"].set(math.nan)
        self._fetched: dict[str, int] = {}

    # ------------------------------------------------------------------------ swaps

    def swap(self, outcome: str, code: str = "") -> None:
        """A swap, prepare or rollback ended; `code` is empty where it succeeded."""
        self._counters["edge_swaps"].labels(outcome, code).inc()

    def stage(self, stage: str, seconds: float) -> None:
        """verify, load, warm or gate took this long."""
        self._histograms["edge_swap_stage_seconds"].labels(stage).observe(seconds)

    def pause(self, seconds: float) -> None:
        """What the cutover added between two results."""
        self._histograms["edge_swap_pause_seconds"].observe(seconds)

    def models(self, resident: Iterable[ModelRole]) -> None:
        """The current content of the slots; earlier content is removed."""
        info = self._gauges["edge_model_info"]
        info.clear()
        for model in resident:
            role = model.role.value if model.role else ""
            info.labels(str(model.ref), model.sha256, model.slot, role).set(1)

    # -------------------------------------------------------------------------- box

    def slot_restarted(self, reason: str) -> None:
        """A worker died, hung or was stopped; `reason` is one word."""
        self._counters["edge_slot_restarts"].labels(reason).inc()

    def slot_memory(self, slot: str, kind: str, size_bytes: int) -> None:
        """`kind` is host or gpu."""
        self._gauges["edge_slot_memory_bytes"].labels(slot, kind).set(size_bytes)

    def ng_images(self, outcome: str, pictures: int) -> None:
        """`outcome` is kept, missed (they came too fast), failed or removed (by the quota)."""
        self._counters["edge_ng_images"].labels(outcome).inc(pictures)

    def pictures(self, outcome: str, pictures: int) -> None:
        """The same of `results.pictures`; removed: by the quota or by age."""
        self._counters["edge_pictures"].labels(outcome).inc(pictures)

    def disputed(self, outcome: str, pictures: int) -> None:
        """The same of frames on which a candidate disagrees, while it is tried."""
        self._counters["edge_rollout_pictures"].labels(outcome).inc(pictures)

    def picture_copies(self, outcome: str, copies: int) -> None:
        """`outcome` is copied, failed (tried again later) or given_up."""
        self._counters["edge_picture_copies"].labels(outcome).inc(copies)

    def copies_waiting(self, pictures: int) -> None:
        self._gauges["edge_picture_copies_waiting"].set(pictures)

    def collected(self, reason: str, pictures: int) -> None:
        """Pictures for training; `reason` is the most telling one."""
        self._counters["edge_collected"].labels(reason).inc(pictures)

    def collect_lost(self, why: str, pictures: int) -> None:
        """`why` is missed (they came too fast) or failed; other outcomes are no loss."""
        if why in {"missed", "failed"}:
            self._counters["edge_collect_lost"].labels(why).inc(pictures)

    def parts(self, told: Iterable[PartOutcome]) -> None:
        """Results that are durable now."""
        for part in told:
            reason = part.reason.value if part.reason else ""
            self._counters["edge_parts"].labels(part.verdict.value, reason).inc()
            self._counters["edge_parts_late"].inc(part.late)
            self._histograms["edge_part_age_seconds"].observe(part.age_ms / 1e3)

    def rollout(self, rollout: Rollout, split: SetSplit | None, reading: Reading) -> None:
        """How the rollout stands now."""
        self.no_rollout()
        names = (rollout.id, str(rollout.candidate.ref), str(rollout.reference.ref))
        stage = "shadow_back" if rollout.is_back else rollout.now.mode.value
        self._gauges["edge_rollout_info"].labels(*names, stage).set(1)
        self._gauges["edge_rollout_share"].set(split.share if split is not None else 0.0)
        for one in reading.slices:
            for word, side in (("missed", one.missed), ("false_rejects", one.false_rejects)):
                self._gauges["edge_rollout_evidence_log10"].labels(one.name, word).set(side.log10_e)
                self._gauges["edge_rollout_bound"].labels(one.name, word).set(side.bound)
            if one.coverage is not None:
                self._gauges["edge_rollout_coverage"].labels(one.name).set(one.coverage)
        self._gauges["edge_rollout_labels_missing"].set(reading.overall.missing)
        self._gauges["edge_rollout_held"].set(bool(rollout.asks))

    def no_rollout(self) -> None:
        """Nothing is tried."""
        for word in ("info", "evidence_log10", "bound", "coverage"):
            self._gauges[f"edge_rollout_{word}"].clear()
        for word in ("share", "labels_missing", "held"):
            self._gauges[f"edge_rollout_{word}"].set(0.0)

    def rollout_ended(self, outcome: str) -> None:
        """One of `ROLLOUT_OUTCOMES`."""
        self._counters["edge_rollouts"].labels(outcome).inc()

    def pair(self, place: Place, outcome: str) -> None:
        """One part that both models judged, in each of its slices."""
        for name, _ in place.blocks:
            self._counters["edge_rollout_pairs"].labels(name, outcome).inc()

    def shadow_frames(self, result: str, frames: int = 1) -> None:
        """`result` is compared, skipped (no time) or failed."""
        self._counters["edge_shadow_frames"].labels(result).inc(frames)

    def feedback(self, source: str, verdict: str) -> None:
        """Somebody said what a part is."""
        self._counters["edge_feedback"].labels(source, verdict).inc()

    def precision(self, share: float) -> None:
        """In production, by the last word on each part."""
        self._gauges["edge_precision"].set(share)

    def drift(self, signal: str, log10_evidence: float) -> None:
        """Of the unit that came last."""
        self._gauges["edge_drift_evidence_log10"].labels(signal).set(log10_evidence)

    def fleet(self, campaign: str | None, phase: str, fresh_s: float | None) -> None:
        """How it stands in the newest campaign, if in one; `fresh_s` None: nothing limits it."""
        self._gauges["edge_fleet_phase"].clear()
        if campaign is not None:
            self._gauges["edge_fleet_phase"].labels(campaign, phase).set(1)
        left_s = math.nan if fresh_s is None else max(0.0, fresh_s)
        self._gauges["edge_fleet_fresh_seconds"].set(left_s)

    def fleet_bytes(self, fetched: Mapping[str, int]) -> None:
        """Source -> bytes of the bundle that is fetched; fewer than before: it is another one."""
        for source, count in fetched.items():
            before = self._fetched.get(source, 0)
            more = count - before if count >= before else count
            self._counters["edge_fleet_bytes"].labels(source).inc(more)
        self._fetched = dict(fetched)

    def camera(self, up: bool) -> None:
        self._gauges["edge_camera_up"].set(up)

    def mqtt(self, connected: bool) -> None:
        self._gauges["edge_mqtt_connected"].set(connected)

    def store(self, up: bool) -> None:
        self._gauges["edge_store_up"].set(up)

    def sources(self, up: Mapping[str, bool]) -> None:
        """Address of each source of bundles -> whether it could be asked."""
        for source, is_up in up.items():
            self._gauges["edge_source_up"].labels(source).set(is_up)

    def outbox(self, depth: int) -> None:
        self._gauges["edge_outbox_depth"].set(depth)

    def certificates(self, ends: Mapping[str, float]) -> None:
        """When the files of mqtt.tls end, in POSIX seconds by their keys."""
        for file, end in ends.items():
            self._gauges["edge_certificate_expires_seconds"].labels(file).set(end)

    def gpu(self, memory: GpuMemory) -> None:
        """Memory as the driver reports it, of all processes together."""
        for kind, size in (("free", memory.free), ("used", memory.used), ("total", memory.total)):
            self._gauges["edge_gpu_memory_bytes"].labels(kind).set(size)

    def render(self, totals: Totals | None = None) -> bytes:
        """The text that Prometheus reads; its type is `CONTENT_TYPE`.

        `totals`: of the frames, counted at one moment; None before the first.
        """
        self._frames.totals = totals or Totals()
        return generate_latest(self._registry)
