"""Signs of life: each is renewed by what happened between two looks, and by nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_daemon.app.signs_of_life import second, signs_of_life
from edge_daemon.app.status import LineStatus
from edge_daemon.core.lifecycle import Phase
from edge_daemon.core.state import Kind, Operation, SlotState, State
from edge_daemon.core.totals import ModelTotals, Spread, Totals
from edge_daemon.core.values import (
    BundleRef,
    Counts,
    Instant,
    Latency,
    Reason,
    StoredBundle,
    Verdict,
)
from edge_daemon.frames.camera_state import CameraPhase
from edge_daemon.host.health import EXCUSED, Signs
from tests.sim.status import ACTIVE, BOTTLE, NOW, ONLINE

LATER = Instant(NOW.at + 1.0, NOW.utc + 1.0)
KNOWN = Signs(NOW.at, frame_at=NOW.at, inference_at=NOW.at)
CAN = StoredBundle(BundleRef("can", "1.0.0"), "cd")


def line(**changes: Any) -> LineStatus:
    return replace(LineStatus(LATER, ACTIVE, ONLINE, broker_online=True), **changes)


def after(**changes: Any) -> Signs:
    """What is known when this happened in the second before."""
    return signs_of_life(KNOWN, line(now=NOW), line(**changes))


def totals(*, ok: int = 0, ng: int = 0, empty: int = 0, **reasons: int) -> Totals:
    inspected = ok + ng + empty
    told = {Reason(name): count for name, count in reasons.items()}
    counts = Counts(inspected + sum(told.values()), inspected, 0, sum(told.values()))
    verdicts = {Verdict.OK: ok, Verdict.NG: ng, Verdict.EMPTY: empty}
    return Totals(counts, told, {BOTTLE.ref: ModelTotals(verdicts, Spread())})


def test_a_second_in_which_nothing_happened_renews_nothing() -> None:
    """The signs grow old, which is what health looks at."""
    quiet = after()
    assert (quiet.frame_at, quiet.inference_at, quiet.excused_at) == (NOW.at, NOW.at, None)


def test_a_verdict_is_a_frame_and_an_inference() -> None:
    """Both at the moment of the look."""
    judged = after(totals=totals(ok=1))
    assert (judged.frame_at, judged.inference_at, judged.excused_at) == (LATER.at, LATER.at, None)


@pytest.mark.parametrize("reason", [each for each in Reason if not each.is_drop], ids=str)
def test_a_frame_without_a_verdict_is_no_inference(reason: Reason) -> None:
    """And it excuses the model where no inference was due for it."""
    missed = after(totals=totals(**{reason.value: 1}))
    assert (missed.frame_at, missed.inference_at) == (LATER.at, NOW.at)
    assert missed.excused_at == (LATER.at if reason in EXCUSED else None)


def test_without_a_model_none_is_due() -> None:
    """A station whose store is empty is not restarted for it."""
    none = after(state=State("boot", (SlotState("A"),)))
    assert (none.has_active, none.excused_at) == (False, LATER.at)


def test_a_camera_that_gives_nothing_says_why() -> None:
    """Its own words where it has some."""
    lost = replace(ONLINE, state=CameraPhase.LOST, error="No route to host.")
    assert after().camera_fault is None
    assert after(camera=lost).camera_fault == "the camera is lost: No route to host."
    silent = replace(lost, error=None)
    assert after(camera=silent).camera_fault == "the camera is lost: no frame yet"


@pytest.mark.parametrize(
    ("state", "changing"),
    [
        (ACTIVE, False),
        (replace(ACTIVE, op=Operation(Kind.SWAP, "s", CAN)), False),
        (
            replace(
                ACTIVE,
                line=replace(ACTIVE.line, requires="can"),
                op=Operation(Kind.CHANGEOVER, "s", CAN),
            ),
            True,
        ),
        (
            replace(
                ACTIVE,
                line=replace(ACTIVE.line, requires="bottle"),
                op=Operation(Kind.SWAP, "s", CAN),
            ),
            False,
        ),
        (State("boot", (SlotState("A"),), op=Operation(Kind.SWAP, "s", CAN)), True),
        (replace(ACTIVE, slots=(SlotState("A", Phase.RESTORING, BOTTLE),)), True),
    ],
    ids=["judging", "swap", "changeover", "swap of another", "first model", "lost worker"],
)
def test_frames_wait_only_where_no_model_may_judge_them(state: State, changing: bool) -> None:
    """A swap beside a model that judges excuses nothing."""
    assert after(state=state).changing_over is changing


def test_a_row_of_the_plots_is_what_that_second_added() -> None:
    """Good ones are those that are neither ng nor empty; latencies as people are shown them."""
    before, now = totals(ok=10, ng=2, empty=1), totals(ok=14, ng=3, empty=3, no_model=2)
    row = second(line(now=NOW, totals=before), line(totals=now), Latency(7, 5.1234, 9.0, 12.0))
    assert (row.at, row.ok, row.ng, row.empty) == (int(LATER.utc), 4, 1, 2)
    assert (row.uninspected, row.dropped) == (2, 0)
    assert (row.p50, row.p99) == (5.12, 9.0)
