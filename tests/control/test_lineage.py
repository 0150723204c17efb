"""From a data set to the parts and back, as far as this station knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.control.lineage import (
    BundleMessage,
    LineageBook,
    dataset_report,
    lineage_report,
    row_of,
)
from edge_daemon.core.lineage import Origin
from edge_daemon.errors import Code, SenderError
from edge_daemon.host.journal import Entry, ReceiptRow
from edge_daemon.host.journal_lineage import ActiveRow, LineageEntry
from edge_daemon.host.journal_parts import PartRow, PartsEntry
from edge_daemon.host.journal_rollouts import RolloutRow, RolloutsEntry
from edge_daemon.models.store import Store
from tests.sim.bundles import make_bundle, noise
from tests.sim.station import BreakableJournal

B1, B2, B3 = "bottle@1.0.0", "bottle@1.1.0", "bottle@1.2.0"
OCI = Origin("oci", "http://r", "line3/bottle", "sha256:9f", alias="stable", seen=1_800_000_100.0)


class Shop:
    """A store and the book that is kept of it."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "store")
        self.journal = BreakableJournal.open(folder)
        self.open_book()

    def open_book(self) -> None:
        self.book = LineageBook(self.journal, self.store.manifest, lambda: 1_800_000_000.0)

    def add(self, ref: str, lineage: dict[str, object] | None, **how: Any) -> None:
        def say(manifest: dict[str, Any]) -> None:
            if lineage is not None:
                manifest["lineage"] = lineage

        make_bundle(self.store.root, ref, edit=say, **how)

    def look(self) -> None:
        self.book.note(self.store.offer().known)

    def audit(self) -> list[dict[str, Any]]:
        return [
            json.loads(link.row.body)
            for link in self.journal.audit_rows()
            if link.row.kind == "bundle"
        ]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.journal.close()


def test_each_bundle_is_written_down_once(shop: Shop) -> None:
    """With a record in the audit trail; also after a restart, and not when it is gone."""
    shop.add(B1, {"dataset": "line3-2026-09", "lr0": 0.01})
    shop.look()
    shop.look()
    shop.open_book()
    shop.look()
    (record,) = shop.audit()
    assert (record["model"], record["source"]) == (B1, None)
    assert record["lineage"] == {"dataset": "line3-2026-09", "lr0": 0.01}
    shop.store.collect(frozenset(), 0)
    shop.store.sweep()
    shop.look()
    report = lineage_report(shop.journal, B1)
    assert (report["datasets"], report["run"], report["source"]) == (["line3-2026-09"], None, None)


def test_what_a_full_disk_did_not_take_is_written_down_later(shop: Shop) -> None:
    """Once, at the next look with room."""
    shop.journal.is_full = True
    shop.add(B1, {"dataset": "line3-2026-09"})
    shop.look()
    assert shop.audit() == []
    shop.journal.is_full = False
    shop.look()
    shop.look()
    assert [record["model"] for record in shop.audit()] == [B1]


def test_a_pulled_bundle_keeps_its_source(shop: Shop) -> None:
    """Whichever of both is first, the source's word or the look at the store."""
    for ref, looks_first in ((B1, False), (B2, True)):
        shop.add(ref, None)
        if looks_first:
            shop.look()
        manifest = shop.store.manifest(shop.store.offer().known[-1].ref)
        shop.book.came(row_of(manifest, OCI.seen, OCI))
        shop.look()
        source = lineage_report(shop.journal, ref)["source"]
        assert source["seen"] == "2027-01-15T08:01:40.000Z"
        assert (source["name"], source["alias"], source["digest"]) == (
            "line3/bottle",
            "stable",
            "sha256:9f",
        )
    assert [each["source"] is None for each in shop.audit()] == [False, True, False]


def test_the_words_of_a_command_are_the_row_again(shop: Shop) -> None:
    """It travels through the control socket."""
    shop.add(B1, {"dataset": "d"})
    shop.look()
    row = row_of(shop.store.manifest(shop.store.offer().known[0].ref), 5.0, OCI)
    assert BundleMessage.of(row).row() == row


def test_back_to_the_data_set_and_on_to_the_parts(shop: Shop) -> None:
    """Everything that the journal has of one version."""
    shop.add(B1, {"dataset": "first", "run": "r1"})
    shop.add(B2, {"dataset": "second", "parent": "1.0.0"})
    shop.add(B3, {"parent": "1.1.9"})
    shop.look()
    parts = tuple(
        PartRow("b", n, 100.0 + n, None, None, verdict, b"{}", None, B2)
        for n, verdict in enumerate(("ok", "ng", "ok"))
    )
    receipt = {"swap_id": "s1", "from": B1, "to": B2}
    ended = {"ended": "completed", "ended_why": "ok", "why": ""}
    rollout = RolloutRow("r7", 1.0, 2.0, B2, B1, b"{}", json.dumps(ended).encode())
    shop.journal.commit(
        Entry(
            receipts=(ReceiptRow("s1", 1.0, json.dumps(receipt).encode()),),
            parts=PartsEntry(parts, b"{}", 100, 0.0),
            rollouts=RolloutsEntry(rollout),
            lineage=LineageEntry((), (ActiveRow("b", B2, 90.0, 200.0, 77),), {B2: 77}, 200.0),
        )
    )
    report = lineage_report(shop.journal, B2)
    assert report["ancestors"] == [{"model": B1, "was_here": True, "datasets": ["first"]}]
    judged = report["judged"]
    assert (judged["frames"], judged["parts"], judged["ok"], judged["ng"]) == (77, 3, 2, 1)
    assert (judged["from"], judged["to"]) == (
        "1970-01-01T00:01:40.000Z",
        "1970-01-01T00:03:20.000Z",
    )
    assert [each["frames"] for each in report["active"]] == [77]
    assert [each["swap_id"] for each in report["receipts"]] == ["s1"]
    assert [(each["rollout"], each["how"]) for each in report["rollouts"]] == [("r7", "completed")]
    (gone,) = lineage_report(shop.journal, B3)["ancestors"]
    assert gone == {"model": "bottle@1.1.9", "was_here": False, "datasets": []}


def test_all_versions_that_learned_from_a_data_set(shop: Shop) -> None:
    """Itself or through their parent, whether they are in the store still or not."""
    shop.add(B1, {"dataset": "first"})
    shop.add(B2, {"dataset": "second", "parent": "1.0.0"})
    shop.add(B3, None)
    shop.look()
    row = PartRow("b", 0, 100.0, None, None, "ng", b"{}", None, B1)
    shop.journal.commit(Entry(parts=PartsEntry((row,), b"{}", 1, 0.0)))
    report = dataset_report(shop.journal, "first")
    lines = [(each["model"], each["through"], each["judged"]["ng"]) for each in report["versions"]]
    assert lines == [(B1, None, 1), (B2, B1, 0)]
    assert report["without_dataset"] == 1


def test_what_is_not_known_is_said(shop: Shop) -> None:
    """A version that was never here, a data set that nobody named."""
    with pytest.raises(SenderError, match="never in the store") as unknown:
        lineage_report(shop.journal, B1)
    assert unknown.value.code is Code.UNKNOWN_MODEL
    shop.add(B1, None)
    shop.look()
    with pytest.raises(SenderError, match="trained on 'first'") as unknown:
        dataset_report(shop.journal, "first")
    assert "Of 1 versions 1 do not say" in unknown.value.hint


def test_a_bundle_that_became_another_one_is_written_down_again(shop: Shop, tmp_path: Path) -> None:
    """After the memory of the store was lost; its source is not that of the first one."""
    shop.add(B1, {"dataset": "a"})
    shop.book.came(row_of(shop.store.manifest(shop.store.offer().known[0].ref), 1.0, OCI))
    other = Store(tmp_path / "other")
    make_bundle(other.root, B1, weights=noise("other"))
    book = LineageBook(shop.journal, other.manifest, lambda: 2.0)
    book.note(other.offer().known)
    report = lineage_report(shop.journal, B1)
    assert (report["datasets"], report["source"]) == ([], None)
