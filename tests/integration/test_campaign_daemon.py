"""A whole daemon follows a campaign: it swaps in its wave, and remembers what it heard."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge_daemon.core.fleet.campaign import Campaign, canonical
from edge_daemon.core.fleet.report import Phase, Report
from edge_daemon.fleet import messages
from edge_daemon.messaging.client import Client
from edge_daemon.messaging.fleet_payloads import read_report
from edge_daemon.models.countersigned import sign
from edge_daemon.models.trust import generate_keypair
from tests.sim.brokers import wait_for
from tests.sim.campaigns import campaign
from tests.sim.line import ROOT, RunningDaemon, make_store
from tests.sim.mosquitto import new_mosquitto

pytestmark = pytest.mark.broker

TOPIC = f"{ROOT}/fleet"
DEVICE = "line3-cam1"


def settings(folder: Path) -> dict[str, object]:
    for name in ("ops", "release"):
        if not (folder / f"{name}.key").exists():
            generate_keypair(folder, name)
    keys = [str(folder / f"{name}.pub") for name in ("ops", "release")]
    return {"report_every_s": 10, "trust": {"keys": keys}}


def retained(mill: RunningDaemon) -> bytes:
    with Client.of(mill.settings) as client:
        return client.retained([TOPIC]).get(TOPIC, b"")


def reported(mill: RunningDaemon) -> Report:
    return read_report(retained(mill))


def has(mill: RunningDaemon, model: str, phase: Phase) -> bool:
    """Whether the newest report says so."""
    body = retained(mill)
    said = read_report(body) if body else None
    return said is not None and (said.model, said.phase) == (model, phase)


def say(mill: RunningDaemon, topic: str, body: bytes) -> None:
    with Client.of(mill.settings) as client:
        client.publish(topic, body, retain=True)


def signed(folder: Path, made: Campaign) -> bytes:
    one = sign(canonical(made), messages.KIND, folder / "ops.key")
    return sign(canonical(made), messages.KIND, folder / "release.key", one)


def made_for(mill: RunningDaemon, **changes: object) -> Campaign:
    digests = {each.model: each.sha256 for each in reported(mill).stored}
    now = time.time()
    usual = {
        "model": "bottle@2.0.0",
        "sha256": digests["bottle@2.0.0"],
        "from": [digests["bottle@1.0.0"]],
        "canaries": [DEVICE],
        "not_before": now - 10.0,
        "expires": now + 3600.0,
    }
    return campaign(**{**usual, **changes})


def test_a_daemon_swaps_by_a_campaign_and_a_restart_knows_it_still(tmp_path: Path) -> None:
    """One signature is not enough, an open wave is; after a kill it asks for nothing again."""
    make_store(tmp_path)
    with (
        new_mosquitto() as broker,
        RunningDaemon(tmp_path, broker, fleet=settings(tmp_path)) as mill,
    ):
        mill.start()
        wait_for(lambda: has(mill, "bottle@1.0.0", Phase.CONFIRMED), "the first model")
        made = made_for(mill)
        topic = messages.campaign_topic(made.id)
        say(mill, messages.open_topic(made.id, 0), messages.opened("evaluator", time.time(), {}))
        say(mill, topic, sign(canonical(made), messages.KIND, tmp_path / "ops.key"))
        say(mill, topic, signed(tmp_path, made))
        wait_for(lambda: has(mill, "bottle@2.0.0", Phase.CONFIRMED), "the swap")
        said = reported(mill)
        assert said.stand is not None
        assert (said.stand.campaign, said.stand.wave, said.stand.opened) == (made.id, 0, 0)
        assert said.receipt
        mill.stop()
        mill.until_settled()
        mill.check_books()
        mill.start("bottle@2.0.0")
        broker.kill()
        broker.forget()
        broker.start()
        wait_for(lambda: has(mill, "bottle@2.0.0", Phase.CONFIRMED), "the report after a restart")
        stand = reported(mill).stand
        assert stand is not None
        assert (stand.campaign, stand.opened) == (made.id, 0)
