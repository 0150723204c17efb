"""Answers are remembered for repeats: what is cheap to ask pushes out only its own kind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_daemon.errors import StateError
from edge_daemon.host import journal_requests
from edge_daemon.host.journal import Entry, Journal, OutcomeRow, RequestRow
from tests.sim.journals import by_hand

END_OF_NOBODY = OutcomeRow("nobody", "rejected", b"1")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path)
    yield opened
    opened.close()


def answered(number: int, verb: str, status: str) -> Entry:
    end = OutcomeRow(f"r{number}", status, b"1")
    return Entry(accepted=(RequestRow(f"r{number}", verb, 1000.0 + number),), outcomes=(end,))


def test_what_is_cheap_to_ask_pushes_out_its_own_kind_only(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of rejected requests, or of another verb, leaves the answer of a swap alone."""
    monkeypatch.setattr(journal_requests, "DONE_LIMIT", 3)
    monkeypatch.setattr(journal_requests, "REJECTED_LIMIT", 2)
    journal.commit(answered(0, "swap", "succeeded"))
    journal.commit(answered(1, "swap", "rejected"))
    for number in range(2, 50):
        verb, status = (("confirm", "rejected"), ("hold", "succeeded"))[number % 2]
        journal.commit(answered(number, verb, status))
    known = [number for number in range(50) if journal.find_request(f"r{number}")]
    assert known == [0, 1, 45, 46, 47, 48, 49]
    for number in range(50, 60):
        journal.commit(answered(number, "swap", "rejected"))
    known = [number for number in range(50, 60) if journal.find_request(f"r{number}")]
    assert known == [58, 59]
    assert journal.find_request("r0")
    assert not journal.find_request("r1")


def test_how_many_are_kept_is_known_after_a_restart_and_a_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry that was refused counts for nothing."""
    monkeypatch.setattr(journal_requests, "REJECTED_LIMIT", 3)
    for number in range(8):
        journal = Journal.open(tmp_path)
        journal.commit(answered(number, "confirm", "rejected"))
        more = answered(number + 100, "confirm", "rejected")
        with pytest.raises(StateError):
            journal.commit(replace(more, outcomes=(*more.outcomes, END_OF_NOBODY)))
        known = [n for n in range(8) if journal.find_request(f"r{n}")]
        assert known == list(range(max(0, number - 2), number + 1))
        journal.close()


def test_the_oldest_of_a_kind_is_found_without_a_search(tmp_path: Path) -> None:
    """By an index: what is given up at each commit of a flood costs nothing that grows."""
    Journal.open(tmp_path).close()
    plan = by_hand(
        tmp_path,
        "EXPLAIN QUERY PLAN SELECT seq FROM requests WHERE outcome IS NOT NULL"
        " AND verb = 'confirm' AND (status = 'rejected') = 1 ORDER BY seq LIMIT 1",
    )
    [step] = [row[3] for row in plan]  # a second one would sort
    assert "INDEX answered_requests (verb=?" in step
