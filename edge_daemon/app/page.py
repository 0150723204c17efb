"""The document of the status page: everything that the page shows, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog

from edge_daemon import __version__
from edge_daemon.app.monitor import Monitor
from edge_daemon.app.parts_view import PartsView
from edge_daemon.app.problems import problems
from edge_daemon.app.quality_view import QualityView
from edge_daemon.app.rejects import Rejects
from edge_daemon.app.resources import Resources
from edge_daemon.app.rollout_view import RolloutView
from edge_daemon.app.signs_of_life import judged, rounded
from edge_daemon.app.status import Status
from edge_daemon.app.timeline import Timeline
from edge_daemon.control.lineage import lineage_report
from edge_daemon.core.judged import Judged
from edge_daemon.core.lifecycle import BUSY, Stage
from edge_daemon.core.roles import Role, role
from edge_daemon.core.state import Operation, State
from edge_daemon.core.values import (
    AtFrame,
    AtNextOrder,
    AtTime,
    Latency,
    Verdict,
)
from edge_daemon.errors import SenderError, StateError
from edge_daemon.frames.camera_state import CameraState
from edge_daemon.messaging import payloads
from edge_daemon.messaging.times import iso_utc
from edge_daemon.web.state import (
    BrokerLine,
    CameraLine,
    ComingLine,
    FramesLine,
    HealthLine,
    LatencyLine,
    ModelLine,
    OrderLine,
    PageState,
    SlotLine,
    SwapLine,
    VerdictLine,
    raw,
)

_log = structlog.get_logger(__name__)


class Page:
    """Makes the page's document. `state` is called by one thread at a time."""

    def __init__(
        self,
        resources: Resources,
        monitor: Monitor,
        rejects: Rejects,
        rollout: RolloutView,
        parts: PartsView | None = None,
    ) -> None:
        self.resources = resources
        self.rollout = rollout
        self._quality = QualityView(resources, parts.audited if parts is not None else tuple)
        self._parts = parts
        self._monitor = monitor
        self.rejects = rejects
        self.timeline = Timeline(resources.journal)

    def state(self) -> PageState:
        resources, status = self.resources, self._monitor.now()
        settings, state, journal = resources.settings, status.line.state, status.journal
        slots = slot_lines(state, status.stages, status.box.slot_memory)
        rollout = self.rollout.line()
        return PageState(
            device=settings.device,
            version=__version__,
            boot=resources.boot,
            time=iso_utc(status.line.now.utc),
            started=iso_utc(resources.started.utc),
            health=HealthLine(
                healthy=status.healthy.good, ready=status.ready.good, problems=problems(status)
            ),
            model=raw(payloads.encode(status.model)),
            coming=_coming(state, slots),
            slots=slots,
            order=_order(state),
            models=tuple(
                ModelLine(model=str(known.ref), quarantined=state.quarantine_reason(known.ref))
                for known in state.available
            ),
            camera=_camera(status.line.camera),
            broker=BrokerLine(
                online=status.line.broker_online,
                address=f"{settings.mqtt.host}:{settings.mqtt.port}",
                waiting=journal.waiting,
                lost=status.results_lost,
            ),
            frames=_frames(status),
            latency_ms=_latency(status.frames.latency),
            last=_verdict(status.frames.last),
            swaps=self._swaps(),
            parts=self._parts.lines() if self._parts is not None else None,
            rollout=rollout,
            quality=self._quality.line(always=rollout is not None),
            rejected=self.rejects.lines(),
            keeps_rejected=self.rejects.are_kept,
            commands=settings.http.commands,
            history=self._monitor.history.columns(),
        )

    def lineage(self, ref: str) -> Mapping[str, Any] | None:
        """What a version was trained on and what it judged here; None for an unknown one."""
        try:
            return lineage_report(self.resources.journal, ref)
        except SenderError:
            return None

    def _swaps(self) -> tuple[SwapLine, ...]:
        try:
            return self.timeline.lines()
        except StateError as error:
            _log.warning("timeline_not_read", error=error.message)
            return ()


def slot_lines(
    state: State, stages: Mapping[int, str], memory_bytes: Mapping[str, int]
) -> tuple[SlotLine, ...]:
    """The slots as the page shows them; `stages` are those of the jobs at work, by token."""
    return tuple(
        SlotLine(
            name=slot.name,
            phase=slot.phase.value,
            role=role(state, slot),
            model=str(slot.bundle.ref) if slot.bundle else None,
            sha256=slot.bundle.sha256 if slot.bundle else None,
            stage=stages.get(slot.token) if slot.phase in BUSY else None,
            memory_bytes=memory_bytes.get(slot.name, 0),
        )
        for slot in state.slots
    )


def _coming(state: State, slots: tuple[SlotLine, ...]) -> ComingLine | None:
    """What will judge next: under way, requested, scheduled, prepared, or announced."""
    for op in state.operations:
        if op.target != state.active_bundle:
            return _operation(op, state, slots)
    ready = next((slot for slot in slots if slot.role is Role.PREPARED), None)
    if ready is not None and ready.model is not None:
        return ComingLine(model=ready.model, why=Role.PREPARED.value, stage="ready")
    if state.upcoming:
        order = state.upcoming[0]
        return ComingLine(model=order.name, why="order", stage="announced", when=order.order)
    return None


def _camera(camera: CameraState) -> CameraLine:
    return CameraLine(
        state=str(camera.state),
        since=iso_utc(camera.since.utc),
        source=camera.source,
        width=camera.width,
        height=camera.height,
        fps=camera.fps,
        error=camera.error,
        hint=camera.hint or None,
    )


def _frames(status: Status) -> FramesLine:
    totals = status.line.totals
    counts = totals.counts
    ng, empty = judged(totals, Verdict.NG), judged(totals, Verdict.EMPTY)
    return FramesLine(
        captured=counts.captured,
        inspected=counts.inspected,
        dropped=counts.dropped,
        uninspected=counts.uninspected,
        ok=max(0, counts.inspected - ng - empty),
        ng=ng,
        empty=empty,
        balanced=counts.balanced and status.frames.violation is None,
        reasons={reason.value: count for reason, count in totals.reasons.items() if count},
    )


def _operation(op: Operation, state: State, slots: tuple[SlotLine, ...]) -> ComingLine:
    request = op.request
    if op is state.queued:
        stage = "queued"
    elif op is state.parked:
        stage = "ready"
    elif op.stage is Stage.PREPARING:
        text = str(op.target.ref)
        stage = next((s.stage for s in slots if s.model == text and s.stage), op.stage.value)
    else:
        stage = op.stage.value
    return ComingLine(
        model=str(op.target.ref),
        why=op.kind.value,
        stage=stage,
        when=_when(op),
        by=(request.by or None) if request else None,
        swap_id=op.swap_id,
    )


def _when(op: Operation) -> str | None:
    if isinstance(op.at, AtNextOrder):
        return "next_order"
    if isinstance(op.at, AtTime):
        return iso_utc(op.at.utc)
    if isinstance(op.at, AtFrame):
        return f"frame {op.at.number}"
    return None


def _order(state: State) -> OrderLine:
    durable = state.durable
    return OrderLine(
        product=durable.product,
        job_order=durable.job_order,
        running=durable.running,
        requires=state.line.requires,
        held=durable.held,
        announced=tuple(f"{each.order or 'order'}: {each.name}" for each in state.upcoming),
    )


def _latency(latency: Latency) -> LatencyLine:
    return LatencyLine(
        count=latency.count,
        p50=rounded(latency.p50),
        p99=rounded(latency.p99),
        max=rounded(latency.max),
    )


def _verdict(judged: Judged | None) -> VerdictLine | None:
    if judged is None:
        return None
    return VerdictLine(
        frame=judged.frame,
        time=iso_utc(judged.captured_utc),
        verdict=judged.verdict.value,
        reason=judged.reason.value if judged.reason else None,
        model=str(judged.model) if judged.model else None,
        product=judged.assignment.product,
        labels=tuple(sorted({each.label for each in judged.detections})),
        latency_ms=round(judged.queue_ms + judged.inference_ms, 2),
    )
