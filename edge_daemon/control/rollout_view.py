"""How a rollout stands, as the retained topic `rollout/state` shows it."""

from __future__ import annotations

from edge_daemon.core.candidates import word
from edge_daemon.core.rollout.back import told_table
from edge_daemon.core.rollout.plan import OVERALL, as_mapping
from edge_daemon.core.rollout.progress import Progress, labels
from edge_daemon.core.rollout.reading import Reading, Side, SliceReading
from edge_daemon.core.state import Rollout, State
from edge_daemon.messaging.rollout_payloads import (
    LabelsLine,
    RolloutState,
    SideLine,
    SliceLine,
)
from edge_daemon.messaging.times import iso_utc


def rollout_state(
    rollout: Rollout | None,
    progress: Progress | None,
    reading: Reading | None,
    state: State | None,
) -> RolloutState:
    """All of it; without a rollout nothing is said."""
    if rollout is None or progress is None or reading is None or state is None:
        return RolloutState()
    lines = {one.name: _line(one, is_back=rollout.is_back) for one in reading.slices}
    overall, split = lines[OVERALL], state.split
    is_over_line = split is None and not rollout.is_full
    have, missing = labels(reading)
    return RolloutState(
        rollout=rollout.id,
        model=str(rollout.candidate.ref),
        sha256=rollout.candidate.sha256,
        reference=str(rollout.reference.ref),
        stage=word(rollout.now) if rollout.is_begun else "prepare",
        stage_since=iso_utc(rollout.stage_utc),
        share=split.share if split is not None else 0.0,
        suspended=rollout.is_begun and is_over_line,
        coverage=overall.coverage,
        parts=overall.parts,
        minutes=round(progress.running_s / 60.0, 1),
        table=overall.table,
        slices=lines,
        labels=LabelsLine(have, missing),
        decision=progress.said.decision.value,
        why=progress.said.why,
        missing=progress.said.missing,
        plan=as_mapping(rollout.plan),
        plan_sha256=rollout.digest,
    )


def _line(one: SliceReading, *, is_back: bool) -> SliceLine:
    counts = told_table(one.table) if is_back else one.table
    table = {outcome.value: count for outcome, count in counts.items()}
    coverage = None if one.coverage is None else round(one.coverage, 4)
    return SliceLine(one.parts, table, coverage, _side(one.missed), _side(one.false_rejects))


def _side(side: Side) -> SideLine:
    return SideLine(round(side.log10_e, 3), round(side.limit, 3), round(side.bound, 5), side.units)
