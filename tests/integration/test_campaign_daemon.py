"""A whole daemon follows a campaign: it swaps in its wave, and remembers what it heard."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge_daemon.core.fleet.campaign import Campaign, canonical
from edge_daemon.core.fleet.report import Phase
from edge_daemon.fleet import messages
from edge_daemon.models.countersigned import sign
from edge_daemon.models.trust import generate_keypair
from tests.sim.campaigns import campaign
from tests.sim.line import RunningDaemon, make_store
from tests.sim.mosquitto import new_mosquitto
from tests.sim.reader import Reader

pytestmark = pytest.mark.broker

DEVICE = "line3-cam1"


def settings(folder: Path) -> dict[str, object]:
    for name in ("ops", "release"):
        if not (folder / f"{name}.key").exists():
            generate_keypair(folder, name)
    keys = [str(folder / f"{name}.pub") for name in ("ops", "release")]
    return {"report_every_s": 10, "trust": {"keys": keys}}


def signed(folder: Path, made: Campaign) -> bytes:
    one = sign(canonical(made), messages.KIND, folder / "ops.key")
    return sign(canonical(made), messages.KIND, folder / "release.key", one)


def made_for(reader: Reader, **changes: object) -> Campaign:
    digests = {each.model: each.sha256 for each in reader.report.stored}
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
        Reader(mill.settings) as reader,
    ):
        mill.start()
        reader.until_stands("bottle@1.0.0", Phase.CONFIRMED)
        made = made_for(reader)
        topic = messages.campaign_topic(made.id)
        reader.say(messages.open_topic(made.id, 0), messages.opened("evaluator", time.time(), {}))
        reader.say(topic, sign(canonical(made), messages.KIND, tmp_path / "ops.key"))
        reader.say(topic, signed(tmp_path, made))
        said = reader.until_stands("bottle@2.0.0", Phase.CONFIRMED)
        assert said.campaign_status is not None
        assert (
            said.campaign_status.campaign,
            said.campaign_status.wave,
            said.campaign_status.opened,
        ) == (made.id, 0, 0)
        assert said.receipt
        mill.stop()
        mill.until_settled()
        mill.check_books()
        mill.start("bottle@2.0.0")
        broker.kill()
        broker.forget()
        broker.start()
        with Reader(mill.settings) as later:
            status = later.until_stands("bottle@2.0.0", Phase.CONFIRMED).campaign_status
        assert status is not None
        assert (status.campaign, status.opened) == (made.id, 0)
