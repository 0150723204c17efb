"""A daemon and the fleet's metadata: it swaps by what is current, and expiry stops no line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge_daemon.core.fleet.campaign import canonical
from edge_daemon.core.fleet.report import Phase
from edge_daemon.fleet import messages
from edge_daemon.models.countersigned import sign
from tests.integration.test_campaign_daemon import made_for
from tests.sim.fleet_metadata import Publisher
from tests.sim.line import RunningDaemon, make_store
from tests.sim.mosquitto import new_mosquitto
from tests.sim.reader import Reader

pytestmark = pytest.mark.broker
DAY = 86_400.0


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
        Reader(mill.settings) as reader,
    ):
        mill.start()
        reader.until_stands("bottle@1.0.0", Phase.CONFIRMED)
        reader.until_report(lambda said: said.fresh_until is not None, "a fresh word")
        made = made_for(reader)
        envelope = sign(canonical(made), messages.KIND, publisher.keys / "ops.key")
        reader.say(messages.open_topic(made.id, 0), messages.opened("evaluator", time.time(), {}))
        reader.say(messages.campaign_topic(made.id), envelope)
        publisher.start(made)
        assert reader.report.campaign_status is None
        reader.say(messages.TIMESTAMP, publisher.repository.timestamp())
        reader.until_stands("bottle@2.0.0", Phase.CONFIRMED)

        publisher.now = time.time() + 3.0 - DAY
        reader.say(messages.TIMESTAMP, publisher.renew())
        reader.until(lambda: "no fresh word since" in reader.problems, "the problem in health")
        assert mill.ask("rollback")["status"] == "succeeded"
        mill.until_judged_by("bottle@1.0.0")
        mill.stop()
        mill.until_settled()
        mill.check_books()
        reader.forget()
        mill.start("bottle@1.0.0")
        reader.until(lambda: "no fresh word since" in reader.problems, "health after a restart")
