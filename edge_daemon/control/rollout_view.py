"""How a rollout stands, as the retained topic `rollout/state` shows it; and how one ended."""

from __future__ import annotations

import json
from typing import Any

from edge_daemon.core.candidates import word
from edge_daemon.core.effects import SetSplit
from edge_daemon.core.rollout.margins import margin_of
from edge_daemon.core.rollout.plan import OVERALL, as_mapping, recorded_plan
from edge_daemon.core.rollout.progress import Progress, read_progress
from edge_daemon.core.rollout.reading import Reading, Side, SliceReading
from edge_daemon.core.rollout.shadow_back import told_table
from edge_daemon.core.rollout.values import Plan
from edge_daemon.core.state import Rollout
from edge_daemon.errors import PlanError
from edge_daemon.host.journal_rollouts import RolloutRow
from edge_daemon.messaging.rollout_payloads import (
    LabelsLine,
    RolloutState,
    SideLine,
    SliceLine,
)
from edge_daemon.messaging.times import iso_utc


def rollout_state(
    rollout: Rollout, progress: Progress, reading: Reading, split: SetSplit | None
) -> RolloutState:
    """All of it; `split`: what the line was told last."""
    is_over_line = split is None and not rollout.is_full
    return RolloutState(
        rollout=rollout.id,
        model=str(rollout.candidate.ref),
        sha256=rollout.candidate.sha256,
        reference=str(rollout.reference.ref),
        stage=word(rollout.now) if rollout.is_begun else "prepare",
        stage_number=rollout.stage + 1 if rollout.is_begun else 0,
        stage_since=iso_utc(rollout.stage_utc),
        stage_parts=progress.parts,
        share=split.share if split is not None else 0.0,
        suspended=rollout.is_begun and is_over_line,
        minutes=round(progress.running_s / 60.0, 1),
        decision=progress.said.decision.value,
        why=progress.said.why,
        missing=progress.said.missing,
        plan_sha256=rollout.digest,
        **_evidence(progress, reading, is_back=rollout.is_back),
    )


def ended_state(row: RolloutRow) -> RolloutState | None:
    """The same of one that is over, as the journal has it; None where that is unreadable."""
    try:
        plan, told = json.loads(row.plan), json.loads(row.progress)
        progress = read_progress(recorded_plan(plan["plan"]), row.began_utc, told)
    except (ValueError, KeyError, TypeError, PlanError):
        return None
    return RolloutState(
        rollout=row.id,
        model=row.candidate,
        reference=row.reference,
        stage_number=progress.stage + 1 if progress.entered else 0,
        stage_parts=progress.parts,
        minutes=round(progress.running_s / 60.0, 1),
        why=str(told.get("ended_why", "")),
        **_evidence(progress, progress.reading()),
    )


def _evidence(progress: Progress, reading: Reading, *, is_back: bool = False) -> dict[str, Any]:
    plan, stage = progress.plan, progress.stage
    lines = {one.name: _line(one, plan, stage, is_back=is_back) for one in reading.slices}
    overall = lines[OVERALL]
    return {
        "coverage": overall.coverage,
        "parts": overall.parts,
        "table": overall.table,
        "slices": lines,
        "labels": LabelsLine(reading.overall.labels, reading.overall.missing),
        "plan": as_mapping(plan),
    }


def _line(one: SliceReading, plan: Plan, stage: int, *, is_back: bool) -> SliceLine:
    counts = told_table(one.table) if is_back else one.table
    table = {outcome.value: count for outcome, count in counts.items()}
    coverage = None if one.coverage is None else round(one.coverage, 4)
    missed = _side(one.missed, margin_of(plan, stage, one.name))
    rejects = _side(one.false_rejects, plan.false_reject_margin)
    needed = one.name in {OVERALL, *(rule.name for rule in plan.slices if rule.critical)}
    return SliceLine(one.parts, table, coverage, missed, rejects, needed)


def _side(side: Side, margin: float) -> SideLine:
    evidence, limit = round(side.log10_e, 3), round(side.limit, 3)
    return SideLine(evidence, limit, round(side.bound, 5), side.units, margin)
