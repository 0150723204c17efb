"""Verdicts that are wanted reach the broker; the newest one is always known."""

from __future__ import annotations

import json

import pytest

from edge_daemon.app.results import Results
from edge_daemon.config import MqttSettings
from edge_daemon.core.judged import Judged
from edge_daemon.core.values import Assignment, Reason, Verdict
from edge_daemon.host.clock import SystemClock
from edge_daemon.messaging.connection import SessionSpec
from edge_daemon.messaging.messages import Handlers
from edge_daemon.messaging.topics import Topics
from tests.sim.broker import SimBroker, SimSession

TOPICS = Topics("edge/cam1")
FRAMES = (
    Judged(0, 0.0, 0.0, Assignment(), Verdict.OK),
    Judged(1, 0.0, 0.0, Assignment(), Verdict.NG),
    Judged(2, 0.0, 0.0, Assignment(), Verdict.UNINSPECTED, Reason.NO_MODEL),
)


@pytest.mark.parametrize(("publish", "told"), [("all", [0, 1, 2]), ("ng", [1, 2]), ("none", [])])
def test_what_is_told_is_what_the_setting_asks_for(publish: str, told: list[int]) -> None:
    """A frame that nobody judged is never kept back with those that are ok."""
    broker = SimBroker()
    session = SimSession(broker, SessionSpec(MqttSettings(), TOPICS, "cam1"), SystemClock())
    session.start(Handlers(lambda *_: None, lambda *_: None))
    seen = broker.watch(TOPICS.result)
    results = Results(session, TOPICS, "b-1", publish)
    for judged in FRAMES:
        results.judged(judged)
    assert [json.loads(packet.payload)["frame"] for packet in seen] == told
    assert results.last is FRAMES[-1]


def test_a_reload_counts_from_the_next_frame_on() -> None:
    """The setting may change while frames are judged."""
    broker = SimBroker()
    session = SimSession(broker, SessionSpec(MqttSettings(), TOPICS, "cam1"), SystemClock())
    session.start(Handlers(lambda *_: None, lambda *_: None))
    seen = broker.watch(TOPICS.result)
    results = Results(session, TOPICS, "b-1", "none")
    results.judged(FRAMES[0])
    results.publish = "all"
    results.judged(FRAMES[1])
    assert [json.loads(packet.payload)["frame"] for packet in seen] == [1]
