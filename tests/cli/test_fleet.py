"""`edge-daemon fleet`: 2,000 stations' retained reports, and whatever else lies beside them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.core.fleet.report import Chain, Phase
from tests.sim.command import command
from tests.sim.fleet import NEW, OLD, digest_of, publish, retained_of, said, settings_file
from tests.sim.mosquitto import Mosquitto, new_mosquitto

pytestmark = pytest.mark.broker

STATIONS = 2000
NAMES = [f"cam{number:04d}" for number in range(STATIONS)]
ODD = {
    "edge/bad1/fleet": b"\xff\x00",
    "edge/bad2/fleet": b'{"device": "bad2"}',
    "edge/liar/fleet": retained_of(said("cam0000"))["edge/cam0000/fleet"],
    "edge/red/fleet": b'{"\x1b[31m": 1}',
    "edge/mute/status": b'{"state":"online"}',
    "edge/cam0001/status": b"not json",
}


def plant() -> dict[str, bytes]:
    """Three are old or away, one is absent, one too many, and strangers write beside them."""
    now = time.time()
    reports = [
        said(name, NEW if number % 4 == 0 else OLD, site=f"hall-{number % 5}", group=f"g{number}")
        for number, name in enumerate(NAMES[:-1])
    ]
    reports[10] = said("cam0010", utc=now - 86_400.0 * 9)
    reports[11] = said("cam0011", NEW, phase=Phase.TRIAL)
    kept = retained_of(*reports, said("extra"))
    kept |= retained_of(said("cam0012"), said("cam0013"), status="offline")
    return {**kept, **ODD}


@pytest.fixture(scope="module")
def broker() -> Iterator[Mosquitto]:
    with new_mosquitto() as made:
        publish(made, plant())
        yield made


@pytest.fixture
def looker(tmp_path: Path, broker: Mosquitto) -> Path:
    (tmp_path / "inventory").write_text("# all of them\n" + "\n".join(NAMES) + "\n")
    return settings_file(tmp_path, broker)


def plain(looker: Path, *words: str, ends: int = 0) -> Any:
    code, said_ = command("fleet", *words, "--json", config=looker)
    assert code == ends, said_[-500:]
    return json.loads(said_)


def test_2000_stations_are_counted_and_the_silent_ones_named(looker: Path) -> None:
    """By model, phase, site and group; a broker of mosquitto's own limits loses none of them."""
    found = plain(looker, "status")
    assert (found["stations"], found["heard"]) == (2000, 1997)
    assert found["models"] == {OLD: 1500, NEW: 500}
    assert found["phases"] == {"confirmed": 1999, "trial": 1}
    assert sum(found["sites"].values()) == 2000
    assert found["silent"] == {
        "cam0010": "its last report is 9 days old",
        "cam0012": "it is offline",
        "cam0013": "it is offline",
    }
    strangers = ("bad1", "bad2", "liar", "red", "mute")
    assert set(found["not_counted"]) == {f"edge/{name}" for name in strangers}
    code, text = command("fleet", "status", config=looker)
    assert code == 0
    assert "2000 stations = 1997 heard + 3 silent." in text
    assert "silent: cam0012: it is offline" in text
    assert "edge/liar: it says that it is cam0000" in text
    assert "\x1b" not in text


def test_the_ledger_adds_up_to_the_inventory(looker: Path) -> None:
    """Who is missing, unknown or silent is named, and the command fails."""
    inventory = ("--inventory", str(looker.parent / "inventory"))
    found = plain(looker, "ledger", *inventory, ends=1)
    assert found["inventory"] == 2000 == 1996 + len(found["silent"]) + len(found["missing"])
    assert found["missing"] == {"cam1999": "it never reported"}
    assert found["unknown"] == ["extra"]
    row = next(each for each in found["stations"] if each["device"] == "cam0011")
    assert (row["sha256"], row["phase"]) == (digest_of(NEW), "trial")
    assert (row["receipt"], row["chain"]) == ("s1", {"seq": 41, "hash": "ab" * 32})


def test_who_judges_by_a_bundle_and_who_has_it(looker: Path) -> None:
    """Both are kept apart, and the digest finds them too."""
    found = plain(looker, "who", NEW)
    assert (len(found), sum(each["judges"] for each in found)) == (2000, 500)


def test_a_small_plant_for_people(tmp_path: Path) -> None:
    """Exactly the inventory: the ledger's command is done; one more in it, and it fails."""
    with new_mosquitto() as broker:
        publish(broker, retained_of(said("a"), said("b", NEW, sha256="f" * 64, stored=())))
        looker = settings_file(tmp_path, broker)
        inventory = tmp_path / "inventory"
        inventory.write_text("a # line 3\n\nb\n")
        words = ("fleet", "ledger", "--inventory", str(inventory))
        code, text = command(*words, config=looker)
        assert (code, "= 2 heard + 0 silent + 0 missing; 0 more" in text) == (0, True)
        assert sum(line.startswith(("a ", "b ")) for line in text.splitlines()) == 2
        inventory.write_text("a\nc\n")
        code, text = command(*words, config=looker)
        assert code == 1
        assert "2 in the inventory = 1 heard + 0 silent + 1 missing; 1 more" in text
        assert "missing: c: it never reported" in text
        assert "unknown: b" in text
        code, text = command("fleet", "who", NEW, config=looker)
        told = "Stations that have bottle@1.4.0: 2; that judge by it: 1."
        assert (code, told in text) == (0, True)
        code, text = command("fleet", "who", "bottle@9.9.9", config=looker)
        assert (code, text.strip()) == (0, "No station that reports has bottle@9.9.9.")
        assert "More than one digest is called bottle@1.4.0" in text


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"a\nb\na\n", ":3: the inventory names a again: it stands in line 1"),
        (b"a\nb c\n", ":2: the inventory has no station's name but 'b c'"),
        (b"# nothing\n", "names no station"),
        (b"\xff\xfea\n", "UTF-16"),
        (None, "cannot be read"),
    ],
)
def test_a_bad_inventory_is_refused_with_its_line(
    tmp_path: Path, broker: Mosquitto, content: bytes | None, problem: str
) -> None:
    """Before anything is asked."""
    looker, inventory = settings_file(tmp_path, broker), tmp_path / "inventory"
    if content is not None:
        inventory.write_bytes(content)
    code, text = command("fleet", "ledger", "--inventory", str(inventory), config=looker)
    assert (code, problem in text) == (78, True), text


def test_stations_in_a_namespace_of_ones_own(tmp_path: Path) -> None:
    """`fleet.roots` says where they are."""
    with new_mosquitto() as broker:
        body = retained_of(said("cam1"))["edge/cam1/fleet"]
        publish(broker, {"acme/munich/line3/_vision/fleet": body})
        looker = settings_file(tmp_path, broker, "fleet: {roots: [acme/+/+/_vision]}\n")
        assert plain(looker, "status")["stations"] == 1


def test_nobody_at_the_broker_is_one_sentence(tmp_path: Path, broker: Mosquitto) -> None:
    """As every command says it."""
    looker = settings_file(tmp_path, Mosquitto(tmp_path))
    code, text = command("fleet", "status", config=looker)
    assert (code, "No broker answers" in text) == (69, True)


def test_a_trail_that_was_written_anew_is_found_from_far(tmp_path: Path) -> None:
    """A ledger is saved; later one trail grew, and one is shorter."""
    with new_mosquitto() as broker:
        publish(broker, retained_of(*(said(name, receipt=None) for name in "ab")))
        looker, kept = settings_file(tmp_path, broker), tmp_path / "ledger.json"
        kept.write_text(command("fleet", "ledger", "--json", config=looker)[1])
        words = ("fleet", "verify", "--kept", str(kept))
        code, text = command(*words, config=looker)
        assert (code, "2 trails: 2 as they were, 0 longer" in text) == (0, True)
        later = (
            said("a", receipt=None, chain=Chain(50, "cd" * 32)),
            said("b", receipt=None, chain=Chain(3, "cd" * 32)),
        )
        publish(broker, retained_of(*later))
        code, text = command(*words, config=looker)
        assert code == 1
        assert "b: its trail had 41 rows and has 3 now." in text
        assert f"audit verify --head 41:{'ab' * 32}" in text
        kept.write_text('{"stations": [{"device": "a", "chain": {"seq": "x", "hash": 1}}]}')
        code, text = command(*words, config=looker)
        assert (code, "is no saved ledger" in text) == (2, True)


def test_a_receipt_that_a_station_does_not_show_is_named(tmp_path: Path) -> None:
    """Without a saved ledger the reports of now are what receipts are held against."""
    with new_mosquitto() as broker:
        publish(broker, retained_of(said("a", receipt=None), said("b")))
        looker = settings_file(tmp_path, broker)
        code, text = command("fleet", "verify", config=looker)
        assert code == 1
        assert "b: it reports no row of its trail that holds the receipt s1." in text
        assert "2 receipts: 0 as reported" in text
        assert "1 missing; 1 have none to show." in text
        code, text = command("fleet", "verify", "--json", config=looker)
        told = json.loads(text)
        assert (code, told["trails"]) == (1, [])
        assert [each["receipt"] for each in told["receipts"]] == ["none", "missing"]
