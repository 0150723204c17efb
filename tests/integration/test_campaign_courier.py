"""A whole daemon fetches the bundle of its campaign, swaps to it, and loses nothing with its
courier."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from edge_daemon.core.fleet.report import Phase
from edge_daemon.courier.peers import peer_topic
from edge_daemon.courier.torrent import describe, folder_files
from edge_daemon.fleet import messages
from edge_daemon.models.bundle import read_manifest
from tests.integration.test_campaign_daemon import DEVICE, settings, signed
from tests.sim.campaigns import campaign
from tests.sim.line import RunningDaemon, make_store
from tests.sim.mosquitto import new_mosquitto
from tests.sim.reader import Reader
from tests.sim.swarm_site import certificates
from tests.sim.web_shelf import WebShelf

pytest.importorskip("libtorrent", reason="needs the extra fleet")
pytestmark = pytest.mark.broker


def shelved(folder: Path, ca: Path) -> tuple[Path, dict[str, object]]:
    """The new bundle is at the origin only; what a campaign says of it."""
    store, shelf = folder / "store", folder / "shelf"
    (shelf / "bottle").mkdir(parents=True)
    place = shelf / "bottle" / "2.0.0"
    shutil.move(store / "bottle" / "2.0.0", place)
    torrent = describe("2.0.0", folder_files(place), ca.read_bytes())
    (shelf / "bottle" / "2.0.0.torrent").write_bytes(torrent.content)
    manifest = read_manifest(place)
    now = time.time()
    return shelf, {
        "model": "bottle@2.0.0",
        "sha256": manifest.weights.sha256,
        "from": [read_manifest(store / "bottle" / "1.0.0").weights.sha256],
        "canaries": [DEVICE],
        "not_before": now - 10.0,
        "expires": now + 3600.0,
        "infohash": torrent.infohash,
        "size": torrent.size,
        "manifest_sha256": manifest.sha256,
    }


def test_a_daemon_fetches_a_campaigns_bundle_and_swaps_when_its_wave_opens(tmp_path: Path) -> None:
    make_store(tmp_path)
    plant = certificates(tmp_path / "plant", [DEVICE])
    shelf, words = shelved(tmp_path, plant / "ca.pem")
    share = {
        "interface": "127.0.0.9",
        "port": 0,
        "peers": "none",
        "certificate": str(plant / f"{DEVICE}-swarm.pem"),
        "key": str(plant / f"{DEVICE}-swarm.key"),
        "ca": str(plant / "ca.pem"),
    }
    with WebShelf(shelf).serving() as web, new_mosquitto() as broker:
        fleet = {
            **settings(tmp_path),
            "site": "hall-2",
            "sources": [{"http": web.url}],
            "share": share,
        }
        topic = peer_topic("hall-2", DEVICE)
        with (
            RunningDaemon(tmp_path, broker, fleet=fleet) as mill,
            Reader(mill.settings, topic) as reader,
        ):
            mill.start()
            reader.until_stands("bottle@1.0.0", Phase.CONFIRMED)
            made = campaign(**words)
            reader.say(messages.campaign_topic(made.id), signed(tmp_path, made))
            reader.until_stands("bottle@1.0.0", Phase.HAVE)
            reader.until(
                lambda: json.loads(reader.newest(topic) or b"{}").get("have") == 1.0,
                "its word to the neighbours",
            )
            reader.say(messages.open_topic(made.id, 0), messages.opened("e", time.time(), {}))
            status = reader.until_stands("bottle@2.0.0", Phase.CONFIRMED).campaign_status
            assert status is not None
            assert status.bytes == {"origin": made.size, "peers": 0}
            mill.stop()
            mill.until_settled()
            mill.check_books()
