"""The reporter: retained state, said once, and again to a broker that has forgotten."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.control.reporter import HEALTH_S, Reporter, Vitals, available
from edge_daemon.core.state import Durable, State
from edge_daemon.core.values import BundleRef, Counts, Instant, Latency
from edge_daemon.host.audit import Anchor
from edge_daemon.messaging.payloads import CameraStatus
from edge_daemon.messaging.topics import Topics
from edge_daemon.models.store import Store
from tests.sim.bundles import make_bundle
from tests.sim.status import INFO

TOPICS = Topics("edge/cam1")
ONLINE = CameraStatus(state="online", since="then", source="conveyor:")


@dataclass
class Carrier:
    said: list[tuple[str, dict[str, Any], bool]] = field(default_factory=list)
    before: Callable[[], None] = lambda: None

    def publish(self, topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> None:
        self.before()
        self.said.append((topic, json.loads(payload), retain))

    def topics(self) -> list[str]:
        return [topic for topic, _, _ in self.said]


class Harness:
    def __init__(self) -> None:
        self.carrier = Carrier()
        self.reporter = Reporter(
            self.carrier,  # type: ignore[arg-type]
            TOPICS,
            INFO,
        )

    def health(self, at: float, *problems: str) -> None:
        vitals = Vitals(Counts(2, 2), Latency(), problems, 0, 0)
        self.reporter.health(vitals, "b", at, Instant(at, at))


@pytest.fixture
def bench() -> Harness:
    return Harness()


def test_the_same_is_not_said_twice(bench: Harness) -> None:
    """A camera that is as it was is no news."""
    bench.reporter.camera(ONLINE)
    bench.reporter.camera(ONLINE)
    assert bench.carrier.topics() == [TOPICS.camera_status]
    assert all(retain for _, _, retain in bench.carrier.said)


def test_a_broker_that_comes_back_is_told_everything(bench: Harness) -> None:
    """Info, model state, and all that was said before."""
    bench.reporter.camera(ONLINE)
    bench.carrier.said.clear()
    bench.reporter.online()
    assert bench.carrier.topics() == [TOPICS.info, TOPICS.model_state, TOPICS.camera_status]


def test_what_is_told_to_a_broker_that_comes_back_overtakes_nothing_newer() -> None:
    """The camera is lost while everything is told again: the broker keeps that it is lost."""
    lost = CameraStatus(state="lost", since="then", source="conveyor:")
    carrier = Carrier()
    reporter = Reporter(carrier, TOPICS, INFO)  # type: ignore[arg-type]
    reporter.camera(ONLINE)
    camera = threading.Thread(target=reporter.camera, args=(lost,))

    def lose_it() -> None:
        carrier.before = lambda: None
        camera.start()
        camera.join(0.2)  # time enough to overtake

    carrier.before = lose_it
    reporter.online()
    camera.join()
    assert [body["state"] for topic, body, _ in carrier.said if topic == TOPICS.camera_status] == [
        "online",
        "online",
        "lost",
    ]


def test_health_comes_now_and_then_and_with_each_change(bench: Harness) -> None:
    """A problem is told at once, and so is its end."""
    bench.health(0.0)
    bench.health(1.0)
    bench.health(2.0, "the camera is lost")
    bench.health(3.0)
    bench.health(3.0 + HEALTH_S)
    states = [body["state"] for _, body, _ in bench.carrier.said]
    assert states == ["good", "degraded", "good", "good"]


def test_health_carries_the_head_of_the_audit_trail(bench: Harness) -> None:
    """Whoever keeps a health message can prove later what the trail was."""
    vitals = Vitals(Counts(), Latency(), (), 0, 0, Anchor(7, "a" * 64))
    bench.reporter.health(vitals, "b", 0.0, Instant(0.0, 0.0))
    assert bench.carrier.said[0][1]["audit"] == {"seq": 7, "hash": "a" * 64}


def test_the_offer_names_what_may_not_be_used(tmp_path: Path) -> None:
    """Quarantined versions with the reason, broken folders with code and next step."""
    make_bundle(tmp_path, "bottle@1.0.0")
    make_bundle(tmp_path, "bottle@2.0.0")
    (tmp_path / "bottle" / "3.0.0").mkdir()
    (tmp_path / "bottle" / "3.0.0" / "model.yaml").write_text("name: [")
    store = Store(tmp_path)
    durable = Durable(quarantined=((BundleRef("bottle", "1.0.0"), "dents"),))
    told = available(store.offer(), store, State("t", (), durable=durable))
    assert [(m.model, m.quarantined) for m in told.models] == [
        ("bottle@1.0.0", "dents"),
        ("bottle@2.0.0", None),
    ]
    assert told.refused[0].code == "invalid_bundle"
    assert "bottle/3.0.0" in told.refused[0].message
