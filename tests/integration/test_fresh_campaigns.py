"""A daemon and the fleet's metadata: it swaps by what is current, and expiry stops no line."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from edge_daemon.core.fleet.campaign import canonical
from edge_daemon.core.fleet.report import Phase
from edge_daemon.fleet import messages
from edge_daemon.messaging.client import Client
from edge_daemon.models.countersigned import sign
from tests.integration.test_campaign_daemon import has, made_for, reported, say
from tests.sim.brokers import wait_for
from tests.sim.fleet_metadata import Publisher
from tests.sim.line import ROOT, RunningDaemon, make_store
from tests.sim.mosquitto import new_mosquitto

pytestmark = pytest.mark.broker
DAY = 86_400.0


def problems(mill: RunningDaemon) -> str:
    topic = f"{ROOT}/health"
    with Client.of(mill.settings) as client:
        body = client.retained([topic]).get(topic, b"{}")
    return str(json.loads(body).get("problems", ""))


def test_a_daemon_swaps_by_fresh_metadata_and_goes_on_without(tmp_path: Path) -> None:
    """No keys but those of the metadata; then it expires, and way back and restart still work."""
    make_store(tmp_path)
    publisher = Publisher(tmp_path / "publisher")
    publisher.now = time.time()
    publisher.renew()
    trust = {"root": str(publisher.root), "metadata": str(publisher.metadata)}
    with (
        new_mosquitto() as broker,
        RunningDaemon(tmp_path, broker, fleet={"report_every_s": 10, "trust": trust}) as mill,
    ):
        mill.start()
        wait_for(lambda: has(mill, "bottle@1.0.0", Phase.CONFIRMED), "the first model")
        wait_for(lambda: reported(mill).fresh_until is not None, "a fresh word")
        made = made_for(mill)
        envelope = sign(canonical(made), messages.KIND, publisher.keys / "ops.key")
        say(mill, messages.open_topic(made.id, 0), messages.opened("evaluator", time.time(), {}))
        say(mill, messages.campaign_topic(made.id), envelope)
        publisher.start(made)
        assert reported(mill).stand is None
        say(mill, messages.TIMESTAMP, publisher.repository.timestamp())
        wait_for(lambda: has(mill, "bottle@2.0.0", Phase.CONFIRMED), "the swap")

        publisher.now = time.time() + 3.0 - DAY
        say(mill, messages.TIMESTAMP, publisher.renew())
        wait_for(lambda: "no fresh word since" in problems(mill), "the problem in health")
        assert mill.ask("rollback")["status"] == "succeeded"
        mill.until_judged_by("bottle@1.0.0")
        mill.stop()
        mill.until_settled()
        mill.check_books()
        mill.start("bottle@1.0.0")
        wait_for(lambda: "no fresh word since" in problems(mill), "health after a restart")
