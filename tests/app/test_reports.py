"""The topics `health` and `camera/status`: of one status, with the problems the page shows."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from edge_daemon.app.problems import problems
from edge_daemon.app.reports import Reports, camera_status
from edge_daemon.app.status import FramesStatus, JournalStatus
from edge_daemon.control.reporter import HEALTH_S, Reporter
from edge_daemon.core.totals import Totals
from edge_daemon.core.values import Counts, Instant, Latency
from edge_daemon.frames.camera_state import CameraPhase
from edge_daemon.host.audit import Anchor
from edge_daemon.messaging.topics import Topics
from tests.sim.status import INFO, NOW, ONLINE, station


@dataclass
class Broker:
    """Takes all, and keeps it by topic."""

    heard: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        assert retain
        self.heard.setdefault(topic.removeprefix("edge/cam1/"), []).append(json.loads(payload))


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def reports(broker: Broker) -> Reports:
    started = Instant(NOW.at - 60.0, NOW.utc - 60.0)
    return Reports(Reporter(broker, Topics("edge/cam1"), INFO), "b", started)  # type: ignore[arg-type]


def test_health_is_the_status_of_that_second(broker: Broker, reports: Reports) -> None:
    """Counts, latency, outbox, the head of the trail and how long the daemon runs."""
    counts = Counts(captured=5, inspected=3, dropped=1, uninspected=1)
    status = station(
        totals=Totals(counts),
        frames=FramesStatus(latency=Latency(4, 5.0, 9.0, 12.0)),
        journal=JournalStatus(waiting=7, audit=Anchor(41, "ab" * 32)),
        results_lost=2,
    )
    reports.hear(status)
    (health,) = broker.heard["health"]
    assert (health["state"], health["problems"]) == ("good", [])
    assert health["uptime_s"] == 60.0
    assert health["frames"] == {"captured": 5, "inspected": 3, "dropped": 1, "uninspected": 1}
    assert (health["latency_ms"]["p50"], health["latency_ms"]["p99"]) == (5.0, 9.0)
    assert (health["outbox_depth"], health["results_lost"]) == (7, 2)
    assert health["audit"] == {"seq": 41, "hash": "ab" * 32}


def test_a_problem_is_told_at_once_and_in_the_words_of_the_page(
    broker: Broker, reports: Reports
) -> None:
    """A second without news is silent; when the problem is over that is told at once too."""
    bad = station(journal=JournalStatus("The disk is full."))
    for status in (station(), station(), bad, bad, station()):
        reports.hear(status)
    told = broker.heard["health"]
    assert [each["state"] for each in told] == ["good", "degraded", "good"]
    assert (
        told[1]["problems"] == list(problems(bad)) == ["the state is not saved: The disk is full."]
    )


def test_without_news_health_is_told_now_and_then(broker: Broker, reports: Reports) -> None:
    """So that a broker and its readers see that the daemon lives."""
    for seconds in (0.0, HEALTH_S - 1.0, HEALTH_S):
        now = Instant(NOW.at + seconds, NOW.utc + seconds)
        reports.hear(station(now=now))
    assert len(broker.heard["health"]) == 2


def test_the_camera_is_told_when_it_changes(broker: Broker, reports: Reports) -> None:
    """Once, and with its reason."""
    lost = replace(ONLINE, state=CameraPhase.LOST, error="No route to host.")
    for camera in (ONLINE, ONLINE, lost, lost, ONLINE):
        reports.hear(station(camera=camera))
    told = broker.heard["camera/status"]
    assert [(each["state"], each.get("error")) for each in told] == [
        ("online", None),
        ("lost", "No route to host."),
        ("online", None),
    ]


def test_a_rate_that_is_not_known_is_none() -> None:
    """Zero frames a second would be another claim."""
    assert camera_status(replace(ONLINE, fps=None), 0).fps is None
    assert camera_status(replace(ONLINE, fps=29.97), 3).fps == 30
    assert camera_status(ONLINE, 3).previewed == 3
