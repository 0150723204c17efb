"""A whole daemon tells many stations' readers what it has and judges by."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.core.fleet.report import Phase, Report
from edge_daemon.messaging.client import Client
from edge_daemon.messaging.fleet_payloads import read_report
from tests.sim.brokers import wait_for
from tests.sim.line import ROOT, RunningDaemon, make_store
from tests.sim.mosquitto import new_mosquitto

pytestmark = pytest.mark.broker

FLEET = {"site": "hall-2", "group": "line3", "report_every_s": 10}
TOPIC = f"{ROOT}/fleet"


def retained(mill: RunningDaemon, topic: str = TOPIC) -> bytes:
    with Client.of(mill.settings) as client:
        return client.retained([topic]).get(topic, b"")


def reported(mill: RunningDaemon) -> Report:
    return read_report(retained(mill))


def test_a_report_follows_the_model_and_outlives_the_brokers_memory(tmp_path: Path) -> None:
    """A swap is in it, a broker that has forgotten all has it again, and its end is seen."""
    make_store(tmp_path)
    with new_mosquitto() as broker, RunningDaemon(tmp_path, broker, fleet=FLEET) as mill:
        mill.start()
        wait_for(lambda: retained(mill), "a report")
        first = reported(mill)
        assert (first.device, first.site, first.group) == ("line3-cam1", "hall-2", "line3")
        assert mill.ask("swap", model="bottle@2.0.0")["status"] == "succeeded"
        mill.until_event("confirmed", model="bottle@2.0.0")
        wait_for(lambda: reported(mill).model == "bottle@2.0.0", "the new model in the report")
        wait_for(lambda: reported(mill).phase is Phase.CONFIRMED, "the end of its trial")
        then = reported(mill)
        assert (then.boot, then.seq > first.seq) == (first.boot, True)
        assert {each.model for each in then.stored} >= {"bottle@1.0.0", "bottle@2.0.0"}
        assert then.receipt
        assert then.chain is not None
        broker.kill()
        broker.forget()
        broker.start()
        wait_for(lambda: retained(mill), "the report again")
        assert reported(mill).model == "bottle@2.0.0"


def test_without_the_setting_nothing_is_said(tmp_path: Path) -> None:
    """A station that is alone has no such topic."""
    make_store(tmp_path)
    with new_mosquitto() as broker, RunningDaemon(tmp_path, broker) as mill:
        mill.start()
        wait_for(lambda: retained(mill, f"{ROOT}/health"), "health, which comes in the same second")
        assert not retained(mill)
