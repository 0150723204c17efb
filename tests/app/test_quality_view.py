"""Quality in production: what the labels say, with interval, or what is missing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.app.quality_view import people, recalled
from edge_daemon.core.rollout.audit import sampled
from edge_daemon.core.values import Verdict
from edge_daemon.host.journal import Entry
from edge_daemon.host.journal_parts import PartRow, PartsEntry
from edge_daemon.host.journal_rollouts import AuditRow, FeedbackRow, RolloutsEntry
from tests.control.test_rollout_evaluator import Rig
from tests.sim.station import Station

SHARE = 0.2


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with Station(tmp_path) as station:
        yield Rig(station.run())


def told(rig: Rig, first: int, number: int, verdict: str) -> list[int]:
    """Parts of a station that audits; those that are drawn."""
    rows, drawn = [], []
    for part in range(first, first + number):
        body: dict[str, Any] = {"frames": [part]}
        found = sampled(rig.station.boot, part, Verdict(verdict), SHARE)
        if found is not None:
            body["audit"] = {"share": found.share, "draw": found.draw}
            drawn += [part] if found.is_drawn else []
        utc = rig.station.clock.now().utc
        row = (rig.station.boot, part, utc, f"SN-{part}", None, verdict)
        rows.append(PartRow(*row, json.dumps(body).encode()))
    rig.station.journal.commit(Entry(parts=PartsEntry(tuple(rows), b"{}", 10_000, 0.0)))
    return drawn


def test_the_probability_is_on_record_and_recall_follows_from_it(rig: Rig) -> None:
    """20 rejects, all bad; of the drawn passed ones one in ten is bad: so are some 20 of 200."""
    drawn = told(rig, 0, 200, "ok")
    told(rig, 200, 20, "ng")
    bad = len(drawn) // 10
    items = [{"part": n, "verdict": "ng" if i < bad else "ok"} for i, n in enumerate(drawn)]
    rig.say(items=items, source="operator", by="kim")
    rig.say(items=[{"part": n, "verdict": "ng"} for n in range(200, 220)], source="operator")
    kept = rig.station.journal.rollouts
    (word,) = kept.feedback_of(rig.station.boot, drawn[0])
    assert json.loads(word.body) == {"audit": SHARE}
    (row,) = kept.audits()
    assert row == AuditRow(200, 20, len(drawn), bad, 20, 20)
    found = recalled([row])
    assert found is not None
    missed = 200 * bad / len(drawn)
    assert found.value == pytest.approx(20 / (20 + missed))
    assert found.low < found.value < found.high


def test_what_only_a_tester_found_is_no_sample(rig: Rig) -> None:
    """It tells of escapes, and not of how many parts were looked at in vain."""
    drawn = told(rig, 0, 100, "ok")
    rig.say(items=[{"part": drawn[0], "verdict": "ng"}], source="downstream")
    undrawn = next(part for part in range(100) if part not in drawn)
    rig.say(items=[{"part": undrawn, "verdict": "ng"}], source="operator")
    (row,) = rig.station.journal.rollouts.audits()
    assert (row.looked_at, row.missed) == (0, 0)
    assert recalled([row]) is None


def test_a_backlog_of_the_audit_does_not_flatter_recall() -> None:
    """Half of the drawn parts were looked at: each stands for twice as many."""
    whole = recalled([AuditRow(1000, 50, 100, 2, 50, 50)])
    half = recalled([AuditRow(1000, 50, 50, 1, 50, 50)])
    assert whole is not None
    assert half is not None
    assert whole.value == pytest.approx(half.value) == pytest.approx(50 / 70)
    assert half.low < whole.low, "fewer looks say less"


def test_what_the_labels_of_each_person_are_worth(rig: Rig) -> None:
    """By challenge parts, whose truth was said before or after."""
    told(rig, 0, 10, "ok")
    rig.say(items=[{"part": n, "verdict": "ng"} for n in range(10)], source="challenge")
    for by, misses in (("kim", 1), ("lee", 5)):
        items = [{"part": n, "verdict": "ok" if n < misses else "ng"} for n in range(10)]
        rig.say(items=items, source="operator", by=by)
    lines = people(rig.station.journal.rollouts.appraisals())
    assert [(one.name, one.effectiveness, one.miss, one.n) for one in lines] == [
        ("kim", 0.9, 0.1, 10),
        ("lee", 0.5, 0.5, 10),
    ]
    assert [one.false_alarm for one in lines] == [None, None], "no good part was among them"


@pytest.mark.timeout(60)
def test_many_labels_hold_up_nobody_who_asks_for_the_labels_of_challenge_parts(rig: Rig) -> None:
    """The journal is locked meanwhile: 20,000 labels are not compared with one another."""
    rows = tuple(
        FeedbackRow("f", 1e9, "boot", part, "ng", "operator", "kim", "ng") for part in range(20_000)
    )
    truth = FeedbackRow("c", 1e9, "boot", 7, "ok", "challenge", "lab", "ng")
    rig.station.journal.commit(Entry(rollouts=RolloutsEntry(feedback=(*rows, truth))))
    assert rig.station.journal.rollouts.appraisals() == (("kim", "ok", "ng"),)
