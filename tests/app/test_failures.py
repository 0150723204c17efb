"""Inferences that keep failing are told: while they do, and once at each end."""

from __future__ import annotations

import json

import pytest

from edge_daemon.app.failures import LEAST, WINDOW_S, Failures
from edge_daemon.app.status import Failing
from edge_daemon.core.values import Instant
from edge_daemon.errors import BundleError
from tests.sim.device import Device, wait_until
from tests.sim.engine import SimEngine

B1 = "bottle@1.0.0"


class Line:
    """A line on which the model fails as often as the story says."""

    def __init__(self) -> None:
        self.count = 0
        self.told: list[tuple[str, str]] = []
        error = BundleError("The model found class 2 in /srv/x/y, which has no name.")
        self.failures = Failures(
            lambda: self.count, lambda: error, lambda *event: self.told.append(event)
        )

    def second(self, at: float, failed: int = 0) -> Failing | None:
        self.count += failed
        self.failures.look(Instant(at, at))
        return self.failures.now


def test_a_single_failure_is_counted_elsewhere() -> None:
    """One frame that a model fails at is no reason to call anybody."""
    line = Line()
    assert line.second(0, failed=1) is None
    assert line.second(WINDOW_S + 1, failed=1) is None
    assert line.told == []


def test_failures_that_go_on_are_a_problem_and_two_events() -> None:
    """An event when it begins and one when it has ended, however many frames lie between."""
    line = Line()
    for second in range(200):
        failing = line.second(second, failed=LEAST)
        assert failing is not None
        assert "found class 2 in y, which has no name" in failing.why
    assert line.second(200 + WINDOW_S) is None
    assert [kind for kind, _ in line.told] == ["inference_failing", "inference_recovered"]


def test_a_confirmed_model_that_begins_to_fail_shows_in_health(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing replaces the model by itself: people hear of it."""
    with Device(B1) as device:
        device.await_active(B1)
        daemon = device.daemon
        assert daemon is not None
        wait_until(lambda: daemon.control.driver.state.durable.confirmed, "the confirmation")
        monkeypatch.setattr(SimEngine, "infer", _fail)
        wait_until(lambda: "the model failed at" in str(daemon.monitor.problems()), "the problem")
        journal = daemon.resources.journal
        wait_until(
            lambda: any(b'"inference_failing"' in row.payload for row in journal.outbox_peek(1000)),
            "the event",
        )
        lines = [json.loads(line) for line in device.log.read_text().splitlines()]
        (told,) = [line for line in lines if line["event"] == "inference_failing"]
        assert "size mismatch" in told["detail"]


def _fail(*_: object) -> None:
    raise RuntimeError("size mismatch in layer 22")
