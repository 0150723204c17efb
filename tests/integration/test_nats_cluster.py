"""Three NATS nodes as the broker of a fleet: one is killed, and nothing that was said is lost."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.config import load
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.fleet import messages
from edge_daemon.host.clock import SystemClock
from edge_daemon.messaging.client import Client
from edge_daemon.messaging.messages import Handlers, Incoming
from edge_daemon.messaging.mqtt import Session, SessionSpec
from edge_daemon.messaging.topics import Topics
from tests.sim.brokers import wait_for
from tests.sim.fleet import retained_of, said
from tests.sim.nats import NODES, PROGRAM, Cluster

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(PROGRAM is None, reason="needs nats-server: apt-get install nats-server"),
]

REPORTS = {
    topic: body
    for topic, body in retained_of(*(said(f"cam{n}") for n in range(20))).items()
    if topic.endswith("/fleet")
}
CAMPAIGN, STOP = messages.campaign_topic("c1"), messages.stop_topic("c1", "ops")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, "cam1") as made:
        wait_for(lambda: all(made.is_ready(node) for node in NODES), "the cluster")
        yield made


def settings(folder: Path, cluster: Cluster, node: int, role: str = "ops") -> Path:
    file = folder / f"{role}-at-{node}.yaml"
    file.write_text(
        f"device: {role}\nmqtt: {cluster.settings(node, role)}\n"
        "camera: {source: 'conveyor:'}\nstate_dir: state\n"
        "models: {store: store, trust: {required: false}}\n"
    )
    return file


def kept(folder: Path, cluster: Cluster, node: int) -> dict[str, bytes]:
    """What a new client of this node is told; nothing, where it is not let in now."""
    try:
        with Client.of(settings(folder, cluster, node)) as client:
            return client.all_retained(["fleet/#", "edge/+/fleet"])
    except EdgeDaemonError:
        return {}


def take(folder: Path, cluster: Cluster, node: int, *told: tuple[str, bytes, bool]) -> bool:
    """Whether this node took all of it (topic, payload, retain); said again, it does no harm."""
    try:
        with Client.of(settings(folder, cluster, node)) as client:
            return not any(client.publish(topic, body, retain=keep) for topic, body, keep in told)
    except EdgeDaemonError:
        return False


class Ear:
    """A station at one node, and what it was asked and told; each start is a connection."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.asked: list[bytes] = []
        self.told: set[str] = set()
        self._folder, self._cluster = folder, cluster
        self._session: Session | None = None
        self._online = threading.Event()

    def start(self, node: int) -> None:
        file = load(settings(self._folder, self._cluster, node, "cam1"))
        spec = SessionSpec(file.mqtt, Topics("edge/cam1"), "cam1", (), messages.FILTERS)
        self._session = Session(spec, SystemClock(), random.Random(1))
        self._online.clear()
        self._session.start(Handlers(self._ask, lambda *_: None, self._online.set, self._tell))
        wait_for(self._online.is_set, "the station's subscription")

    def _ask(self, _: str, incoming: Incoming) -> None:
        self.asked.append(incoming.payload)
        incoming.done()

    def _tell(self, incoming: Incoming) -> None:
        self.told.add(incoming.topic)
        incoming.done()

    def stop(self) -> None:
        assert self._session is not None
        self._session.stop()


def test_a_killed_node_takes_nothing_with_it(cluster: Cluster, tmp_path: Path) -> None:
    """Reports and a campaign, a request for a station that was away, and what is said after it.

    While the nodes agree who leads, they take and grant nothing: who asks again gets all.
    """
    wanted = {**REPORTS, CAMPAIGN: b"signed"}
    station = Ear(tmp_path, cluster)
    station.start(1)
    station.stop()
    told = [(topic, body, True) for topic, body in wanted.items()]
    told.append(("edge/cam1/request/swap", b'{"id": "1"}', False))
    wait_for(lambda: take(tmp_path, cluster, 0, *told), "all of it taken")
    wait_for(lambda: kept(tmp_path, cluster, 1) == wanted, "all of it at another node")
    cluster.kill(0)
    wait_for(lambda: kept(tmp_path, cluster, 1) == wanted, "all of it after the kill")
    station.start(2)
    wait_for(lambda: take(tmp_path, cluster, 1, (STOP, b"{}", True)), "the stop taken")
    wait_for(lambda: {CAMPAIGN, STOP} <= station.told, "the campaign and its stop at the station")
    wait_for(lambda: b'{"id": "1"}' in station.asked, "the request that waited")
    station.stop()
    cluster.start(0)
    wait_for(
        lambda: kept(tmp_path, cluster, 0).keys() >= {*wanted, STOP},
        "all of it at the node that came back",
    )
