"""Whoever changes the past of the audit trail is found out."""

from __future__ import annotations

import dataclasses
import sqlite3
from pathlib import Path

import pytest

from edge_daemon.host import journal_audit
from edge_daemon.host.audit import Anchor, AuditLink, AuditRow, chain, verify
from edge_daemon.host.journal import Entry, Journal


def trail(length: int) -> list[AuditLink]:
    links: list[AuditLink] = []
    last = Anchor()
    for number in range(length):
        link = chain(last, AuditRow(float(number), "swap", b'{"n":%d}' % number))
        last = Anchor(link.seq, link.hash)
        links.append(link)
    return links


def anchor_of(links: list[AuditLink]) -> Anchor:
    return Anchor(links[-1].seq, links[-1].hash)


def test_an_untouched_trail_is_whole() -> None:
    """No fault is reported where there is none, with and without an anchor."""
    links = trail(10)
    assert verify(links) == []
    assert verify(links, [anchor_of(links[:7])]) == []
    assert verify([], [Anchor()]) == []


def edited(links: list[AuditLink]) -> list[AuditLink]:
    row = dataclasses.replace(links[4].row, body=b'{"n":99}')
    return [*links[:4], dataclasses.replace(links[4], row=row), *links[5:]]


def edited_and_hashed_again(links: list[AuditLink]) -> list[AuditLink]:
    again = chain(Anchor(4, links[3].hash), AuditRow(4.0, "swap", b"{}"))
    return [*links[:4], again, *links[5:]]


def deleted(links: list[AuditLink]) -> list[AuditLink]:
    return links[:4] + links[5:]


def reordered(links: list[AuditLink]) -> list[AuditLink]:
    return [*links[:4], links[5], links[4], *links[6:]]


def truncated(links: list[AuditLink]) -> list[AuditLink]:
    return links[:4]


def rewritten(links: list[AuditLink]) -> list[AuditLink]:
    forged: list[AuditLink] = []
    last = Anchor()
    for link in links:
        new = chain(last, dataclasses.replace(link.row, kind="nothing"))
        last = Anchor(new.seq, new.hash)
        forged.append(new)
    return forged


@pytest.mark.parametrize(
    "change", [edited, edited_and_hashed_again, deleted, reordered, truncated, rewritten]
)
def test_every_change_of_the_past_is_found(change: object) -> None:
    """An edit, deletion, new order, cut or a whole new past is named."""
    links = trail(10)
    assert callable(change)
    assert verify(change(links), [anchor_of(links)]) != []


def test_a_cut_before_the_anchor_is_found_after_a_restart(tmp_path: Path) -> None:
    """The anchor written at the end of a run contradicts a trail that lost its last rows."""
    journal = Journal.open(tmp_path)
    journal.commit(Entry(audit=tuple(AuditRow(float(n), "swap") for n in range(5))))
    assert journal.audit_head().seq == 5
    journal.close()
    raw = sqlite3.connect(tmp_path / "journal.db")
    raw.execute("DELETE FROM audit WHERE seq > 3")
    raw.commit()
    raw.close()

    again = Journal.open(tmp_path)
    assert again.audit_faults() == ["Row 5 was there once, but the trail ends at row 3."]
    again.commit(Entry(audit=tuple(AuditRow(float(n), "swap") for n in range(200))))
    again.close()
    later = Journal.open(tmp_path)
    assert later.audit_faults() == ["Row 5 is not what it was when its hash was kept."]
    later.close()


def test_a_long_trail_is_anchored_while_it_grows(tmp_path: Path) -> None:
    """Even a daemon that is killed leaves an anchor not far behind its trail."""
    journal = Journal.open(tmp_path)
    for number in range(journal_audit.ANCHOR_EVERY + 1):
        journal.commit(Entry(audit=(AuditRow(float(number), "swap"),)))
    anchored = Anchor.parse((tmp_path / "audit.anchor").read_bytes())
    assert anchored.seq == journal_audit.ANCHOR_EVERY
    journal.close()
