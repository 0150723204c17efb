"""What the journal knows of rollouts: the list, one in full, and whether its arms hold."""

from __future__ import annotations

import base64
import json
from typing import Any

from edge_daemon.core.rollout.draw import assign
from edge_daemon.core.rollout.intervals import Interval
from edge_daemon.core.rollout.quality import appraisers
from edge_daemon.core.rollout.values import Outcome, Truth
from edge_daemon.errors import Code, SenderError
from edge_daemon.host.journal import Journal
from edge_daemon.host.journal_rollouts import PairRow, RolloutRow, RolloutTable
from edge_daemon.messaging.times import iso_utc

MOST_ROLLOUTS = 200
MOST_PAIRS = 200
MOST_ASKED = 50
MOST_LOOKS = 200
MOST_FAULTS = 20


def told_rollouts(journal: Journal, rollout: str | None, *, audit: bool) -> dict[str, Any]:
    """What is asked for: the list, newest first, one in full, or its audit; raises SenderError."""
    if rollout is None:
        return {"rollouts": [head_of(row) for row in journal.rollouts.newest(MOST_ROLLOUTS)]}
    return (rollout_audit if audit else rollout_report)(journal, rollout)


def rollout_report(journal: Journal, rollout: str) -> dict[str, Any]:
    """One in full: plan, stages, evidence, and the first pairs that one model rejects; `asked`:
    parts that want a label; `people`: what the labels of each operator are worth, by challenge
    parts.

    Raises SenderError where none is known by this id.
    """
    row = found_row(journal, rollout)
    pairs = [
        {
            "boot": pair.boot,
            "part": pair.part,
            "id": pair.id,
            "time": iso_utc(pair.utc),
            "outcome": pair.outcome,
            "truth": pair.truth,
            **json.loads(pair.body),
        }
        for pair in journal.rollouts.pairs(rollout, MOST_PAIRS, Outcome.NEITHER.value)
    ]
    told = {**head_of(row), **json.loads(row.plan), "progress": json.loads(row.progress)}
    asked = [
        {"boot": pair.boot, "part": pair.part, "id": pair.id, "time": iso_utc(pair.utc)}
        for pair in asked_pairs(journal.rollouts, row, MOST_ASKED)
    ]
    return {**told, "pairs": pairs, "asked": asked, "people": _people(journal)}


def asked_pairs(kept: RolloutTable, row: RolloutRow, limit: int) -> tuple[PairRow, ...]:
    """The newest parts of a rollout of which a person is to say what they are, and has not.

    Those on which both models disagree; of those that both pass, the ones that were drawn for an
    audit, and no others are kept; of those that both reject, all, where the plan does not take the
    incumbent's word. Which is which is not told: who labels must not be led by it.
    """
    truths = json.loads(row.plan).get("plan", {}).get("truth", ())
    by_word = Truth.REFERENCE.value in truths
    outcomes = [each.value for each in Outcome if each is not Outcome.BOTH or not by_word]
    return kept.unlabelled(row.id, tuple(outcomes), limit)


def _people(journal: Journal) -> list[dict[str, Any]]:
    """Each figure is None where no challenge part of its kind was labelled."""
    return [
        {
            "name": name,
            "labels": 0 if found.effectiveness is None else found.effectiveness.n,
            "effectiveness": _value(found.effectiveness),
            "miss": _value(found.miss),
            "false_alarm": _value(found.false_alarm),
        }
        for name, found in appraisers(journal.rollouts.appraisals()).items()
    ]


def _value(found: Interval | None) -> float | None:
    return None if found is None else round(found.value, 5)


def rollout_audit(journal: Journal, rollout: str) -> dict[str, Any]:
    """Each arm computed again from the parts that are kept; `faults` names what does not hold.

    A share may be that of a stage that was entered, or 0: the candidate could not judge.
    """
    row = found_row(journal, rollout)
    shares = {0.0, *(share for _, share, _ in json.loads(row.progress)["entered"])}
    parts = candidates = 0
    faults: list[str] = []
    for boot, body in journal.rollouts.assigned(rollout):
        part = json.loads(body)
        told = part["rollout"]
        parts += 1
        candidates += told["arm"] == "candidate"
        again = assign(rollout, boot, told["unit"], told["share"])
        if (again.arm.value, again.draw) != (told["arm"], told["draw"]):
            faults.append(f"part {part['part']} of boot {boot}: arm or draw is another one")
        elif told["share"] not in shares:
            faults.append(f"part {part['part']} of boot {boot}: no stage has its share")
        del faults[MOST_FAULTS:]
    return {"rollout": rollout, "parts": parts, "candidate": candidates, "faults": faults}


def rollout_looks(journal: Journal, rollout: str, after: int) -> dict[str, Any]:
    """Its plan, and some of what the rule saw: `looks`, in base64, after the one of this number.

    `next`: the number to ask with for those that follow; null after the last one.
    """
    row = found_row(journal, rollout)
    found = journal.rollouts.looks(rollout, MOST_LOOKS, after)
    return {
        **head_of(row),
        "plan": json.loads(row.plan)["plan"],
        "looks": [base64.b64encode(look.body).decode() for look in found],
        "next": found[-1].seq if len(found) == MOST_LOOKS else None,
    }


def found_row(journal: Journal, rollout: str) -> RolloutRow:
    """What is on record of it; raises SenderError where nothing is."""
    row = journal.rollouts.find(rollout)
    if row is None:
        raise SenderError(
            f"No rollout {rollout} is on record.",
            hint="See: edge-daemon rollouts list",
            code=Code.PRECONDITION_FAILED,
        )
    return row


def head_of(row: RolloutRow) -> dict[str, Any]:
    """What a list says of one rollout."""
    progress = json.loads(row.progress)
    return {
        "rollout": row.id,
        "model": row.candidate,
        "reference": row.reference,
        "began": iso_utc(row.began_utc),
        "ended": None if row.ended_utc is None else iso_utc(row.ended_utc),
        "how": progress.get("ended", "running"),
        "why": progress.get("ended_why", progress["why"]),
    }
