"""What is told of hostile bundles, to whoever asks and to everybody: the cause, and no folder."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.control.reporter import available, stock
from edge_daemon.core.values import BundleRef
from edge_daemon.errors import BoxError, BundleError, SlotLost
from tests.models.test_bad_bundles import CASES
from tests.sim.bundles import make_bundle
from tests.sim.station import Plan, Station
from tests.sim.words import assert_public

B1 = "bottle@1.0.0"
RAW = (
    "\N{CROSS MARK}\N{VARIATION SELECTOR-16} {folder}/scratch/B-6/weights.pt\x1b[31m is torn,"
    " see {folder}/store/bottle \N{ROCKET}." + " And so on." * 100
)


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    folder = tmp_path / "a state folder"
    folder.mkdir()
    with Station(folder, Plan(bundles=(B1,))) as made:
        yield made.run()


def told(document: Any) -> Iterator[str]:
    """Every text of a message."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, (list, dict)):
        inner = document.values() if isinstance(document, dict) else document
        for value in inner:
            yield from told(value)


def test_no_answer_to_a_hostile_bundle_names_a_folder(station: Station) -> None:
    """Each bundle of the table is asked for; answers, events and the store's list are read."""
    for number, (break_it, _) in enumerate(CASES.values()):
        break_it(make_bundle(station.folder / "store", f"part{number}@1.0.0"))
    offer = station.store.offer()
    station.mailbox.put(stock(offer))
    for number in range(len(CASES)):
        outcome = station.ask("swap", model=f"part{number}@1.0.0")
        assert outcome["status"] == "rejected", (list(CASES)[number], outcome)
    shown = available(offer, station.store, station.driver.state)
    assert len(shown.refused) >= len(CASES) - 5  # some are only found when their bytes are read
    for line in shown.refused:
        assert_public(line.message, line.hint)
    assert_nothing_leaked(station)


@pytest.mark.parametrize("kind", [BundleError, BoxError, SlotLost])
def test_whatever_a_load_says_no_folder_leaves_the_box(
    station: Station, kind: type[BundleError | BoxError]
) -> None:
    """The one boundary: where an error becomes the refusal that is told."""
    make_bundle(station.folder / "store", "bottle@2.0.0", golden=1)
    station.mailbox.put(stock(station.store.offer()))
    said = RAW.replace("{folder}", str(station.folder))
    station.script.load_errors[BundleRef.parse("bottle@2.0.0")] = kind(said, hint=said)
    outcome = station.ask("swap", model="bottle@2.0.0")
    assert "weights.pt" in outcome["error"]["message"]
    assert "is torn" in outcome["error"]["message"]
    assert_nothing_leaked(station)


def assert_nothing_leaked(station: Station) -> None:
    heard = [p for p in station.heard() if "/response/" in p.topic or "/event" in p.topic]
    assert heard
    for packet in heard:
        texts = list(told(json.loads(packet.payload)))
        assert_public(*texts)
        assert not [text for text in texts if "a state folder" in text], packet
