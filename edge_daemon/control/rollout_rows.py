"""Rollouts and pairs as the rows that the journal keeps, and back."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from typing import Any

from edge_daemon.core.candidates import BACK, word
from edge_daemon.core.event_names import EventName
from edge_daemon.core.rollout.evidence import Place, read_evidence, read_place
from edge_daemon.core.rollout.plan import as_mapping, recorded_plan
from edge_daemon.core.rollout.progress import Progress, read_progress
from edge_daemon.core.rollout.replay import RuleSnapshot, read_look
from edge_daemon.core.rollout.values import Opinion, Pair
from edge_daemon.core.state import Rollout
from edge_daemon.core.values import Verdict
from edge_daemon.errors import PlanError
from edge_daemon.host.journal_rollouts import LookRow, PairRow, RolloutRow


def rollout_row(rollout: Rollout, progress: Progress) -> RolloutRow:
    """As it stands."""
    plan = {"plan": as_mapping(rollout.plan), "sha256": rollout.digest}
    told = progress.as_mapping()
    told |= {"candidate_sha256": rollout.candidate.sha256, "by": rollout.by}
    return RolloutRow(
        rollout.id,
        rollout.began_utc,
        None,
        str(rollout.candidate.ref),
        str(rollout.reference.ref),
        _json(plan),
        _json(told),
    )


def ended_row(row: RolloutRow, utc: float, event: str, why: str) -> RolloutRow:
    """The same of one that is over: its last event, and why."""
    told = {**json.loads(row.progress), "ended": event, "ended_why": why}
    return replace(row, ended_utc=utc, progress=_json(told))


def word_of(row: RolloutRow) -> str:
    """How it stands in a few words: `shadow`, `share 0.1`, `stopped: …`, `confirmed`."""
    progress = json.loads(row.progress)
    ended = progress.get("ended")
    if ended == EventName.ROLLOUT_COMPLETED.value:
        return "confirmed"
    if ended is not None:
        return f"stopped: {progress.get('ended_why', '')}"
    stages, entered = recorded_plan(json.loads(row.plan)["plan"]).stages, progress["entered"]
    at = entered[-1][0] if entered else -1
    return word(stages[at]) if 0 <= at < len(stages) else "prepare"


def end_of(event: str, *, is_bad: bool) -> str:
    """How metrics name the end of a rollout."""
    if event == EventName.ROLLOUT_COMPLETED.value:
        return "completed"
    return "stopped" if is_bad else "superseded"


def pair_row(pair: Pair, place: Place) -> PairRow:
    """One pair that is worth a look."""
    assigned = pair.assigned
    body = {
        "arm": assigned.arm.value,
        "share": assigned.share,
        "draw": assigned.draw,
        "frames": list(pair.frames),
        "product": pair.product,
        "slices": list(pair.slices),
        "brightness": pair.brightness,
        "incumbent": _opinion(pair.incumbent),
        "candidate": _opinion(pair.candidate),
    }
    truth = None if place.truth is None else place.truth.value
    return PairRow(
        *(pair.rollout, pair.boot, pair.part, pair.id, pair.captured_utc, pair.outcome.value),
        truth,
        _json(place.as_mapping()),
        _json(body),
    )


def earlier_progress(row: RolloutRow, sha256: str) -> Progress | None:
    """How far an earlier rollout came; None where its candidate was another one.

    Raises ValueError where it cannot be read.
    """
    plain = json.loads(row.progress)
    if plain.get("candidate_sha256") != sha256 or row.id.endswith(BACK):
        return None
    try:
        plan = recorded_plan(json.loads(row.plan)["plan"])
    except (KeyError, PlanError) as error:
        raise ValueError(f"its plan cannot be read: {error}") from error
    return read_progress(plan, row.began_utc, plain)


def relabelled(row: RolloutRow, place: Place, truth: Verdict) -> tuple[RolloutRow, Place]:
    """The row of one that is over with one label more, and the pair's place in it.

    Raises ValueError where its evidence cannot be read.
    """
    plain = json.loads(row.progress)
    evidence = read_evidence(plain["evidence"])
    moved = evidence.label(place, truth)
    return replace(row, progress=_json({**plain, "evidence": evidence.as_mapping()})), moved


def look_row(rollout: str, look: RuleSnapshot) -> LookRow:
    """One look, small: most of its counts are those of the look before."""
    return LookRow(rollout, look.utc, zlib.compress(_json(look.as_mapping())))


def look_of(body: bytes) -> RuleSnapshot:
    """The look in a row; raises ValueError for what is none."""
    try:
        return read_look(json.loads(zlib.decompress(body)))
    except zlib.error as error:
        raise ValueError(f"this is no look at a rollout: {error}") from error


def place_of(row: PairRow) -> Place:
    """Where the pair stands in the evidence; raises ValueError for what is no place."""
    return read_place(json.loads(row.place))


def _opinion(said: Opinion) -> dict[str, Any]:
    return {"model": str(said.model), "verdict": said.verdict.value, "causes": list(said.causes)}


def _json(plain: dict[str, Any]) -> bytes:
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
