"""What a disk, a power cut or another program left of a file that the station wrote itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.collecting import record
from edge_daemon.collecting.catalogue import Catalogue
from edge_daemon.core.values import BundleRef
from edge_daemon.fleet.freshness.current import parse_remembered
from edge_daemon.fleet.memory import read_kept
from edge_daemon.host.audit import Anchor
from edge_daemon.host.journal import AuditRow, Entry, Journal
from edge_daemon.messaging.messages import ReplyTo
from edge_daemon.models.first_seen import parse_seen
from edge_daemon.sources.pins import Pins
from tests.collecting.album import album

HUGE = 10**400
"""JSON can say it, and no float holds it."""
DAMAGE = [b"", b"\xff\x00", b"[", b"[" * 100_000, b"5", b"[5]", b'"x"', b"1e999"]
INFINITE: dict[str, dict[str, Any]] = {
    "anchor": {"seq": float("inf"), "hash": "ab"},
    "remembered": {"seen": HUGE, "current": None},
    "kept": {
        "envelope": None,
        "heard": {},
        "asked": float("inf"),
        "had": False,
        "from": None,
        "back": False,
        "stamp": None,
    },
    "seen": {"bottle@1.0.0": HUGE},
}
READERS: dict[str, Callable[[bytes], object]] = {
    "anchor": Anchor.parse,
    "remembered": parse_remembered,
    "kept": read_kept,
    "seen": parse_seen,
    "record": lambda content: record.read(content, "20261128T143001123Z-000000001-00"),
}


@pytest.mark.parametrize("content", DAMAGE, ids=lambda content: repr(content[:8]))
@pytest.mark.parametrize("name", READERS)
def test_what_is_damaged_is_a_value_error(name: str, content: bytes) -> None:
    """Whoever reads it sets it aside or begins anew; anything else would end the daemon."""
    with pytest.raises(ValueError):  # noqa: PT011 - the promise is the type
        READERS[name](content)


@pytest.mark.parametrize("content", [*DAMAGE, b'{"topic": 7}', b'{"correlation": "x"}'])
def test_a_damaged_address_leaves_the_fixed_topic(content: bytes) -> None:
    """The answer goes to `response/<verb>` alone, and the station starts."""
    assert ReplyTo.from_json(content) == ReplyTo()


@pytest.mark.parametrize("name", INFINITE)
def test_a_number_that_is_none_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the promise is the type
        READERS[name](json.dumps(INFINITE[name]).encode())


@pytest.mark.parametrize(
    "content", [*DAMAGE, json.dumps(INFINITE["anchor"]).encode()], ids=lambda each: repr(each[:8])
)
def test_a_station_starts_with_any_anchor(tmp_path: Path, content: bytes) -> None:
    """It is set aside, and the trail goes on."""
    journal = Journal.open(tmp_path)
    journal.commit(Entry(audit=(AuditRow(1.0, "event", b"{}"),)))
    journal.anchor()
    journal.close()
    (anchor,) = (each for each in tmp_path.iterdir() if "anchor" in each.name)
    anchor.write_bytes(content)
    journal = Journal.open(tmp_path)
    journal.commit(Entry(audit=(AuditRow(2.0, "event", b"{}"),)))
    assert len(journal.audit_rows()) == 2
    journal.close()


@pytest.mark.parametrize(
    "content", [*DAMAGE, b'{"since_utc": 1' + b"0" * 400 + b"}"], ids=lambda each: repr(each[:8])
)
def test_pictures_and_pins_outlive_what_lies_beside_them(tmp_path: Path, content: bytes) -> None:
    """The pictures are there, their label is not; a source is asked anew."""
    catalogue = album(tmp_path, 1, labelled=1)
    (picture,) = catalogue
    picture.path.with_suffix(".truth.json").write_bytes(content)
    (tmp_path / "status.json").write_bytes(content)
    (again,) = Catalogue(tmp_path)
    assert again.truth is None
    assert Catalogue(tmp_path).since_utc == 0.0
    (tmp_path / "pins").write_bytes(content)
    assert not Pins(tmp_path / "pins").has_come("a", BundleRef("bottle", "1.0.0"))
