"""The monitor: seconds for the plots, whether the line lives, and one value for everybody."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from structlog.testing import capture_logs

from edge_daemon.app.monitor import Monitor
from edge_daemon.app.status import LineStatus, Status
from edge_daemon.core.judged import Judged
from edge_daemon.core.state import Kind, Operation, SlotState, State
from edge_daemon.core.values import (
    Assignment,
    BundleRef,
    Instant,
    Reason,
    StoredBundle,
    Verdict,
)
from edge_daemon.frames.camera_state import (
    CameraPhase,
    CameraState,
)
from edge_daemon.frames.ledger import Ledger
from edge_daemon.host.health import Health, Signs
from edge_daemon.host.metrics import Metrics
from tests.sim.clock import SimClock
from tests.sim.status import ACTIVE, BOTTLE, ONLINE

HUNG_S = 11.0


@dataclass
class Line:
    """A line whose seconds are told one by one."""

    clock: SimClock = field(default_factory=SimClock)
    ledger: Ledger = field(default_factory=Ledger)
    state: State = ACTIVE
    frames: int = 0
    camera: CameraState = ONLINE
    broker_online: bool = True
    answered_at: float | None = None
    looked: list[Instant] = field(default_factory=list)
    told: list[Status] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.monitor = Monitor(
            self, self.ledger, Metrics(), watches=(self,), readers=(self.told.append,)
        )

    def line(self) -> LineStatus:
        return LineStatus(
            self.clock.now(),
            self.state,
            self.camera,
            self.ledger.totals(),
            self.broker_online,
            self.answered_at,
        )

    def status(self, line: LineStatus, signs: Signs) -> Status:
        return Status(line, signs)

    def look(self, now: Instant) -> None:
        self.looked.append(now)

    def second(self, *verdicts: Verdict | Reason, seconds: float = 1.0) -> None:
        for verdict in verdicts:
            self.judge(verdict)
        self.clock.advance(seconds)
        self.monitor.look()

    def judge(self, verdict: Verdict | Reason) -> None:
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
    rows = line.monitor.history.columns()
    assert (rows.ok, rows.ng) == ((2, 0, 0), (1, 0, 0))
    assert (rows.uninspected, rows.dropped) == ((0, 0, 1), (0, 0, 1))
    assert (rows.p50, rows.p99) == ((5.0, None, None), (5.0, None, None))


def test_each_second_is_one_value_for_every_reader() -> None:
    """Made after what is looked at was looked at, at the same moment."""
    line = Line()
    line.second(Verdict.OK)
    line.second(Verdict.NG)
    assert line.looked == [status.line.now for status in line.told]
    assert [status.line.totals.counts.inspected for status in line.told] == [1, 2]
    assert all(status.healthy.good for status in line.told)


def test_a_reader_that_fails_ends_no_monitor() -> None:
    """It is told in the log, and the next second is looked at."""

    def fail(_: Status) -> None:
        raise ValueError("a fault of our own")

    line = Line()
    monitor = Monitor(line, line.ledger, Metrics(), readers=(line.told.append, fail))
    with capture_logs() as logs:
        for _ in range(2):
            monitor.look()
    assert len(line.told) == 2
    assert [log["event"] for log in logs].count("monitor_failed") == 2


def test_frames_without_inference_are_unhealthy_in_the_end() -> None:
    """A model that fails on every frame for long is what `/healthz` is for."""
    line = Line()
    line.second(Verdict.OK)
    line.second(Reason.INFERENCE_FAILED, seconds=HUNG_S)
    assert not line.monitor.health().good
    line.second(Verdict.OK)
    assert line.monitor.health().good


def test_what_is_nobodys_fault_is_healthy() -> None:
    """Frames of an unknown product, frames that wait for their model: no restart."""
    for reason in (Reason.UNKNOWN_PRODUCT, Reason.SUPERSEDED):
        line = Line()
        line.second(reason, seconds=HUNG_S)
        assert line.monitor.health().good
    changing = Line()
    can = StoredBundle(BundleRef("can", "1.0.0"), "cd")
    needs_can = replace(ACTIVE.line, requires="can")
    changing.state = replace(ACTIVE, line=needs_can, op=Operation(Kind.CHANGEOVER, "s", can))
    changing.second(Reason.NO_MODEL, seconds=HUNG_S)
    assert changing.monitor.health().good


def test_a_swap_in_the_making_excuses_nothing() -> None:
    """While the active model should judge, loading another one is no reason for silence."""
    line = Line()
    newer = StoredBundle(BundleRef("bottle", "2.0.0"), "ef")
    line.state = replace(ACTIVE, op=Operation(Kind.SWAP, "s", newer))
    line.second(Reason.INFERENCE_FAILED, seconds=HUNG_S)
    assert not line.monitor.health().good


def test_without_frames_a_probe_that_is_answered_is_a_sign_of_life() -> None:
    """A camera that is away is no reason to restart; a model that says nothing is."""
    line = Line()
    line.second(seconds=HUNG_S)
    assert not line.monitor.health().good
    line.answered_at = line.clock.now().at
    assert line.monitor.health().good


def test_ready_is_all_of_it() -> None:
    """A station without a model is healthy, and not ready."""
    line = Line()
    line.second(Verdict.OK)
    assert line.monitor.ready().good
    line.state = State("boot", (SlotState("A"),))
    line.second()
    assert line.monitor.health() == Health(True, ("no model is active",))
    assert line.monitor.ready() == Health(False, ("no model is active",))


def test_frames_without_a_model_are_no_reason_to_restart() -> None:
    """A camera and an empty store, however long; nor is the model's first second."""
    line = Line(state=State("boot", (SlotState("A"),)))
    line.second(Reason.NO_MODEL, seconds=HUNG_S)
    assert line.monitor.health() == Health(True, ("no model is active",))
    line.state = ACTIVE
    assert line.monitor.health() == Health(good=True)
    line.second(Reason.INFERENCE_FAILED, seconds=HUNG_S)
    assert not line.monitor.health().good


def test_what_is_away_is_said_at_once() -> None:
    """Camera and broker are asked when somebody asks, with the reason that the camera gives."""
    line = Line()
    line.second(Verdict.OK)
    line.camera = replace(line.camera, state=CameraPhase.LOST, error="No route to host.")
    line.broker_online = False
    away = ("the camera is lost: No route to host.", "the broker is away")
    assert line.monitor.ready().reasons == away
    assert line.monitor.problems() == away


def test_who_asks_between_two_seconds_changes_none_of_them() -> None:
    """A scrape in the middle of a second takes nothing from its row."""
    line = Line()
    line.judge(Verdict.OK)
    line.monitor.now()
    assert b"edge_frames_captured_total 1.0" in line.monitor.scrape()
    line.second(Verdict.NG)
    rows = line.monitor.history.columns()
    assert (rows.ok, rows.ng) == ((1,), (1,))
