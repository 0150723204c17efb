"""The pulse: seconds for the plots, and whether the line lives."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from edge_daemon.app.pulse import Body, Pulse
from edge_daemon.core.state import Kind, Operation, SlotState, State
from edge_daemon.core.values import (
    Assignment,
    BundleRef,
    Instant,
    Judged,
    Known,
    Reason,
    Verdict,
)
from edge_daemon.frames.capture import CameraPhase, CameraState
from edge_daemon.frames.ledger import Ledger
from edge_daemon.host.health import Health
from tests.sim.clock import SimClock

BOTTLE = Known(BundleRef("bottle", "1.0.0"), "ab")
ACTIVE = State("boot", (SlotState("A", bundle=BOTTLE),), active="A")
HUNG_S = 11.0


@dataclass
class Line:
    """A line whose seconds are told one by one."""

    clock: SimClock = field(default_factory=SimClock)
    ledger: Ledger = field(default_factory=Ledger)
    state: State = ACTIVE
    frames: int = 0
    camera: CameraState = CameraState(CameraPhase.ONLINE, Instant(0.0, 0.0))
    broker_online: bool = True

    def __post_init__(self) -> None:
        self.pulse = Pulse(
            Body(
                self.ledger,
                self.clock,
                lambda: self.state,
                lambda: self.camera,
                lambda: self.broker_online,
            )
        )

    def second(self, *verdicts: Verdict | Reason, seconds: float = 1.0) -> None:
        for verdict in verdicts:
            self._judge(verdict)
        self.clock.advance(seconds)
        self.pulse.beat(self.clock.now())

    def _judge(self, verdict: Verdict | Reason) -> None:
        reason = verdict if isinstance(verdict, Reason) else None
        judged = Judged(
            self.frames,
            0.0,
            0.0,
            Assignment(),
            Verdict.UNINSPECTED if reason else Verdict(verdict.value),
            reason,
            None if reason else BOTTLE.ref,
            inference_ms=5.0,
        )
        self.ledger.record(judged)
        self.frames += 1


def test_each_second_has_its_own_row() -> None:
    """Frames by outcome and the latency of that second alone, gaps included."""
    line = Line()
    line.second(Verdict.OK, Verdict.OK, Verdict.NG)
    line.second()
    line.second(Reason.CHANGEOVER, Reason.DROPPED_OVERFLOW)
    rows = line.pulse.history.columns()
    assert (rows.ok, rows.ng) == ((2, 0, 0), (1, 0, 0))
    assert (rows.uninspected, rows.dropped) == ((0, 0, 1), (0, 0, 1))
    assert (rows.p50, rows.p99) == ((5.0, None, None), (5.0, None, None))


def test_frames_without_inference_are_unhealthy_in_the_end() -> None:
    """A model that fails on every frame for long is what `/healthz` is for."""
    line = Line()
    line.second(Verdict.OK)
    line.second(Reason.INFERENCE_FAILED, seconds=HUNG_S)
    assert not line.pulse.health().good
    line.second(Verdict.OK)
    assert line.pulse.health().good


def test_what_is_nobodys_fault_is_healthy() -> None:
    """No frames, frames of an unknown product, frames that wait for their model: no restart."""
    for reasons in ((), (Reason.UNKNOWN_PRODUCT,), (Reason.SUPERSEDED,)):
        line = Line()
        line.second(*reasons, seconds=HUNG_S)
        assert line.pulse.health().good
    changing = Line()
    can = Known(BundleRef("can", "1.0.0"), "cd")
    needs_can = replace(ACTIVE.line, requires="can")
    changing.state = replace(ACTIVE, line=needs_can, op=Operation(Kind.CHANGEOVER, "s", can))
    changing.second(Reason.NO_MODEL, seconds=HUNG_S)
    assert changing.pulse.health().good


def test_a_swap_in_the_making_excuses_nothing() -> None:
    """While the active model should judge, loading another one is no reason for silence."""
    line = Line()
    newer = Known(BundleRef("bottle", "2.0.0"), "ef")
    line.state = replace(ACTIVE, op=Operation(Kind.SWAP, "s", newer))
    line.second(Reason.INFERENCE_FAILED, seconds=HUNG_S)
    assert not line.pulse.health().good


def test_ready_is_all_of_it() -> None:
    """A station without a model is healthy, and not ready."""
    line = Line()
    line.second(Verdict.OK)
    assert line.pulse.ready().good
    line.state = State("boot", (SlotState("A"),))
    line.second()
    assert line.pulse.health() == Health(True, ("no model is active",))
    assert line.pulse.ready() == Health(False, ("no model is active",))


def test_frames_without_a_model_are_no_reason_to_restart() -> None:
    """A camera and an empty store, however long; nor is the model's first second."""
    line = Line(state=State("boot", (SlotState("A"),)))
    line.second(Reason.NO_MODEL, seconds=HUNG_S)
    assert line.pulse.health() == Health(True, ("no model is active",))
    line.state = ACTIVE
    assert line.pulse.health() == Health(good=True)
    line.second(Reason.INFERENCE_FAILED, seconds=HUNG_S)
    assert not line.pulse.health().good


def test_what_is_away_is_said_at_once() -> None:
    """Camera and broker are asked when somebody asks, with the reason that the camera gives."""
    line = Line()
    line.second(Verdict.OK)
    line.camera = replace(line.camera, state=CameraPhase.LOST, error="No route to host.")
    line.broker_online = False
    assert line.pulse.ready().reasons == (
        "the camera is lost: No route to host.",
        "the broker is away",
    )
