"""A rollout as a journal keeps it, with pairs, labels and blocks that a test names."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_daemon.core.rollout.blocks import Block
from edge_daemon.core.rollout.compare import arm_of
from edge_daemon.core.rollout.plan import as_mapping, digest, read_plan
from edge_daemon.core.rollout.progress import Progress
from edge_daemon.core.rollout.values import Arm, Outcome
from edge_daemon.core.values import Verdict
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.journal_rollouts import RolloutRow, RolloutsEntry
from tests.sim.rollout_pairs import NEW, OLD, pair

ROLLOUT = "r-1"
PLAN: dict[str, Any] = {
    "slices": {"low_light": {"brightness_below": 60, "critical": True}},
    "stages": [
        {"shadow": 1.0, "until": {"parts": 500, "minutes": 30, "margin": 0.2}},
        {"share": 0.1, "either": "reject", "until": {"parts": 500, "minutes": 60, "margin": 0.1}},
        {"compare": {"rotate_s": 60, "burn_in_s": 5, "pairs": 8}},
        {"full": True},
    ],
}
SEEN = [
    (Outcome.NEITHER, None, 400),
    (Outcome.BOTH, Verdict.NG, 60),
    (Outcome.ONLY_CANDIDATE, Verdict.NG, 6),
    (Outcome.ONLY_CANDIDATE, Verdict.OK, 2),
    (Outcome.ONLY_INCUMBENT, None, 1),
]
BEGAN = 1_780_000_000.0


def progress(
    seen: Sequence[tuple[Outcome, Verdict | None, int]] = SEEN, blocks: int = 16
) -> Progress:
    """In its compare stage; the candidate needs 2 ms less and 1 W more than the incumbent."""
    made = Progress(read_plan(PLAN), BEGAN)
    made.enter(0, 0.0, BEGAN)
    part = 0
    for outcome, truth, count in seen:
        for _ in range(count):
            part += 1
            place = made.add(pair(outcome, part, *(("low_light",) if part % 4 == 0 else ())))
            if truth is not None:
                made.evidence.label(place, truth)
    if blocks:
        made.enter(2, 0.0, BEGAN + 3600.0)
        made.blocks[2] = [block(number) for number in range(blocks)]
    return made


def block(number: int) -> Block:
    """Each a bit slower than the one before: the box warms up."""
    arm = arm_of(ROLLOUT, number)
    is_candidate = arm is Arm.CANDIDATE
    latency = 20.0 + 0.1 * number - 2.0 * is_candidate
    values = {
        "latency_p50_ms": latency,
        "latency_p99_ms": 1.5 * latency,
        "capacity_fps": 1e3 / latency,
        "headroom": 1e3 / latency / 30.0,
        "looks_share": 1.0,
        "power_package_0_w": 14.0 + 0.05 * number + is_candidate,
    }
    return Block(number, arm, BEGAN + 60.0 * number, 55.0, 1650, 1650, values)


def keep(state: Path, made: Progress, **ended: str) -> None:
    """Write it into the journal of this state folder; `ended`: its last event, and why."""
    state.mkdir(parents=True, exist_ok=True)
    journal = Journal.open(state)
    try:
        journal.commit(Entry(rollouts=RolloutsEntry(row(made, **ended))))
    finally:
        journal.close()


def row(made: Progress, **ended: str) -> RolloutRow:
    plan = {"plan": as_mapping(made.plan), "sha256": digest(made.plan)}
    told = {**made.as_mapping(), "candidate_sha256": "1" * 64, "by": "kim", **ended}
    return RolloutRow(
        *(ROLLOUT, BEGAN, BEGAN + 9e3 if ended else None, str(NEW), str(OLD)),
        *(json.dumps(plan).encode(), json.dumps(told).encode()),
    )
