"""The glance: everything of the house that the status page shows, put together as one value."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from edge_daemon import __version__
from edge_daemon.app.pulse import Pulse
from edge_daemon.app.rejects import Rejects
from edge_daemon.app.timeline import Timeline
from edge_daemon.config import Settings
from edge_daemon.control import payloads
from edge_daemon.control.mqtt import Session
from edge_daemon.control.payloads import ModelState, iso_utc
from edge_daemon.core.events import Event, StageReached
from edge_daemon.core.lifecycle import BUSY, Stage
from edge_daemon.core.roles import Role, role
from edge_daemon.core.state import Operation, State
from edge_daemon.core.values import (
    AtFrame,
    AtNextOrder,
    AtTime,
    Instant,
    Judged,
    Latency,
    Verdict,
)
from edge_daemon.errors import StateError
from edge_daemon.frames.capture import CameraState
from edge_daemon.frames.ledger import Ledger
from edge_daemon.host.clock import Clock
from edge_daemon.host.health import Standing
from edge_daemon.host.journal import Journal
from edge_daemon.slots.slot import Slot
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


@dataclass(frozen=True)
class Seen:
    """What is looked at."""

    settings: Settings
    boot: str
    started: Instant
    clock: Clock
    ledger: Ledger
    slots: Mapping[str, Slot]
    journal: Journal
    session: Session
    rejects: Rejects
    pulse: Pulse
    camera: Callable[[], CameraState]
    state: Callable[[], State]
    model_state: Callable[[], ModelState]
    standing: Callable[[], Standing]


class Glance:
    """Puts the page's document together. `state` is called by one thread at a time."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._stages: dict[int, str] = {}  # of the jobs on slots, by token; the newest few
        self._last: Judged | None = None
        self.timeline = Timeline(seen.journal)

    # ------------------------------------------------------------------ told by others

    def judged(self, judged: Judged) -> None:
        """The newest frame with its outcome; an assignment, and nothing more."""
        self._last = judged

    def reached(self, event: Event) -> None:
        """How far a job is."""
        if isinstance(event, StageReached):
            self._stages = {
                **{token: self._stages[token] for token in sorted(self._stages)[-15:]},
                event.token: event.stage,
            }

    # ------------------------------------------------------------------ the document

    def state(self) -> PageState:
        """Everything, now."""
        seen, state = self._seen, self._seen.state()
        settings, standing = seen.settings, seen.standing()
        slots = slot_lines(state, self._stages, self._memory)
        return PageState(
            device=settings.device,
            version=__version__,
            boot=seen.boot,
            time=iso_utc(seen.clock.now().utc),
            started=iso_utc(seen.started.utc),
            health=HealthLine(
                healthy=standing.healthy, ready=standing.ready, problems=standing.problems
            ),
            model=raw(payloads.encode(seen.model_state())),
            coming=self._coming(state, slots),
            slots=slots,
            order=_order(state),
            models=tuple(
                ModelLine(model=str(known.ref), quarantined=state.quarantine_reason(known.ref))
                for known in state.available
            ),
            camera=self._camera(),
            broker=BrokerLine(
                online=seen.session.online,
                address=f"{settings.mqtt.host}:{settings.mqtt.port}",
                waiting=seen.journal.outbox_depth(),
                lost=seen.session.lost,
            ),
            frames=self._frames(),
            latency_ms=_latency(seen.ledger.recent()),
            last=_verdict(self._last),
            swaps=self._swaps(),
            rejected=seen.rejects.lines(),
            keeps_rejected=seen.rejects.are_kept,
            commands=settings.http.commands,
            history=seen.pulse.history.columns(),
        )

    def _memory(self, slot: str) -> int:
        return self._seen.slots[slot].memory_bytes()

    def _coming(self, state: State, slots: tuple[SlotLine, ...]) -> ComingLine | None:
        """What will judge next: pursued, asked, waiting for its time, prepared, or announced."""
        for op in (state.op, state.queued, state.parked):
            if op is not None and op.target != state.active_bundle:
                return _operation(op, state, slots)
        ready = next((slot for slot in slots if slot.role is Role.PREPARED), None)
        if ready is not None and ready.model is not None:
            return ComingLine(model=ready.model, why=Role.PREPARED.value, stage="ready")
        if state.upcoming:
            order = state.upcoming[0]
            return ComingLine(model=order.name, why="order", stage="announced", when=order.order)
        return None

    def _camera(self) -> CameraLine:
        camera = self._seen.camera()
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

    def _frames(self) -> FramesLine:
        ledger = self._seen.ledger
        counts, verdicts = ledger.counts(), ledger.verdicts()
        told = dict.fromkeys(Verdict, 0)
        for (_, verdict), count in verdicts.items():
            told[verdict] += count
        ng, empty = told[Verdict.NG], told[Verdict.EMPTY]
        return FramesLine(
            captured=counts.captured,
            inspected=counts.inspected,
            dropped=counts.dropped,
            uninspected=counts.uninspected,
            ok=max(0, counts.inspected - ng - empty),
            ng=ng,
            empty=empty,
            balanced=counts.balanced and not ledger.violations,
            reasons={reason.value: count for reason, count in ledger.reasons().items()},
        )

    def _swaps(self) -> tuple[SwapLine, ...]:
        try:
            return self.timeline.lines()
        except StateError as error:
            _log.warning("timeline_not_read", error=error.message)
            return ()


def slot_lines(
    state: State, stages: Mapping[int, str], memory_bytes: Callable[[str], int]
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
            memory_bytes=memory_bytes(slot.name),
        )
        for slot in state.slots
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
        p50=_rounded(latency.p50),
        p99=_rounded(latency.p99),
        max=_rounded(latency.max),
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


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
