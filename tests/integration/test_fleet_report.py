"""A whole daemon tells many stations' readers what it has and judges by."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_daemon.core.fleet.report import Phase
from edge_daemon.messaging.client import Client
from tests.sim.line import ROOT, RunningDaemon, make_store
from tests.sim.mosquitto import new_mosquitto
from tests.sim.reader import Reader

pytestmark = pytest.mark.broker

FLEET = {"site": "hall-2", "group": "line3", "report_every_s": 10}
TOPIC = f"{ROOT}/fleet"


def test_a_report_follows_the_model_and_outlives_the_brokers_memory(tmp_path: Path) -> None:
    """A swap is in it, a broker that has forgotten all has it again, and its end is seen."""
    make_store(tmp_path)
    with (
        new_mosquitto() as broker,
        RunningDaemon(tmp_path, broker, fleet=FLEET) as mill,
        Reader(mill.settings) as reader,
    ):
        mill.start()
        reader.until(lambda: reader.newest(TOPIC), "a report")
        first = reader.report
        assert (first.device, first.site, first.group) == ("line3-cam1", "hall-2", "line3")
        assert mill.ask("swap", model="bottle@2.0.0")["status"] == "succeeded"
        mill.until_event("confirmed", model="bottle@2.0.0")
        then = reader.until_stands("bottle@2.0.0", Phase.CONFIRMED)
        assert (then.boot, then.seq > first.seq) == (first.boot, True)
        assert {each.model for each in then.stored} >= {"bottle@1.0.0", "bottle@2.0.0"}
        assert then.receipt
        assert then.chain is not None
        broker.kill()
        broker.forget()
        broker.start()
        with Reader(mill.settings) as later:
            later.until(lambda: later.newest(TOPIC), "the report again")
            assert later.report.model == "bottle@2.0.0"


def test_without_the_setting_nothing_is_said(tmp_path: Path) -> None:
    """A station that is alone has no such topic."""
    make_store(tmp_path)
    with (
        new_mosquitto() as broker,
        RunningDaemon(tmp_path, broker) as mill,
        Reader(mill.settings) as reader,
    ):
        mill.start()
        reader.until(lambda: reader.newest(f"{ROOT}/health"), "health, in the same second")
        with Client.of(mill.settings) as client:
            assert not client.retained([TOPIC])
