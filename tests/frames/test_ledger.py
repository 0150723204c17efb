"""The ledger balances only when every frame has exactly one outcome, in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.core.judged import Judged
from edge_daemon.core.totals import BOUNDS_MS
from edge_daemon.core.values import (
    Assignment,
    BundleRef,
    Counts,
    Latency,
    Reason,
    Verdict,
)
from edge_daemon.frames.ledger import MODELS_KEPT, Ledger

BOTTLE = BundleRef("bottle", "1.0.0")


def inspected(
    frame: int,
    verdict: Verdict = Verdict.OK,
    *,
    model: BundleRef | None = BOTTLE,
    requires: str | None = None,
    queue_ms: float = 1.0,
    inference_ms: float = 2.0,
) -> Judged:
    return Judged(
        frame=frame,
        captured_utc=0.0,
        captured_at=0.0,
        assignment=Assignment(requires=requires),
        verdict=verdict,
        model=model,
        queue_ms=queue_ms,
        inference_ms=inference_ms,
    )


def uninspected(frame: int, reason: Reason | None, model: BundleRef | None = None) -> Judged:
    return Judged(
        frame=frame,
        captured_utc=0.0,
        captured_at=0.0,
        assignment=Assignment(),
        verdict=Verdict.UNINSPECTED,
        reason=reason,
        model=model,
    )


@given(st.lists(st.sampled_from([*Reason, Verdict.OK, Verdict.NG])))
def test_captured_is_inspected_and_dropped_and_uninspected(
    outcomes: list[Reason | Verdict],
) -> None:
    """Whatever becomes of the frames, the two sides are equal and nothing is objected to."""
    ledger = Ledger()
    for frame, outcome in enumerate(outcomes):
        ledger.record(
            uninspected(frame, outcome)
            if isinstance(outcome, Reason)
            else inspected(frame, outcome)
        )
    counts = ledger.counts()
    drops = sum(isinstance(each, Reason) and each.is_drop for each in outcomes)
    assert counts.balanced
    assert counts.captured == len(outcomes)
    assert counts.dropped == drops
    assert ledger.first_violation is None
    assert ledger.reasons() == {
        reason: outcomes.count(reason) for reason in Reason if reason in outcomes
    }
    verdicts = (model.verdicts for model in ledger.totals().models.values())
    assert sum(sum(each.values()) for each in verdicts) == counts.inspected


@pytest.mark.parametrize(
    ("frames", "balanced", "sentence"),
    [
        ((0, 2), False, "frame 2 came where 1 was due"),
        ((0, 1, 1), False, "frame 1 came where 2 was due"),
        ((1, 0), True, "frame 1 came where 0 was due"),
        ((0, 1, 0, 2), False, "frame 0 came where 2 was due"),
    ],
)
def test_missing_doubled_and_reordered_frames_are_violations(
    frames: tuple[int, ...], balanced: bool, sentence: str
) -> None:
    """One frame out of turn is enough, and the first example is kept."""
    ledger = Ledger()
    for frame in frames:
        ledger.record(inspected(frame))
    assert ledger.first_violation == sentence
    assert ledger.counts().balanced is balanced


@pytest.mark.parametrize(
    ("judged", "words"),
    [
        (inspected(0, requires="can"), "needs can"),
        (inspected(0, model=None), "no model"),
        (uninspected(0, None), "without a reason"),
        (uninspected(0, Reason.CHANGEOVER, BOTTLE), "and judged by"),
    ],
)
def test_a_verdict_that_contradicts_itself_is_a_violation(judged: Judged, words: str) -> None:
    """A product judged by another's model, or a verdict of nobody, never passes silently."""
    ledger = Ledger()
    ledger.record(judged)
    assert words in (ledger.first_violation or "")
    assert ledger.counts().balanced


def test_two_moments_tell_what_happened_between() -> None:
    """Counts and latency of a span hold the frames after its first moment, and no others."""
    ledger = Ledger()
    for frame in range(100):
        ledger.record(inspected(frame, queue_ms=500.0))
    first = ledger.counts()
    assert ledger.latency_between(first, ledger.counts()) == Latency()
    for frame in range(100, 200):
        ledger.record(inspected(frame, queue_ms=float(frame - 100), inference_ms=1.0))
    ledger.record(uninspected(200, Reason.CHANGEOVER))
    last = ledger.counts()
    latency = ledger.latency_between(first, last)
    assert last - first == Counts(captured=101, inspected=100, uninspected=1)
    assert (latency.count, latency.p50, latency.max) == (100, 50.5, 100.0)
    assert latency.p99 == pytest.approx(99.01)
    assert ledger.inference_between(first, last).max == 1.0
    assert ledger.recent(1).p50 == 100.0


def test_a_span_longer_than_the_window_is_told_from_its_last_frames() -> None:
    """Memory is bounded: old latencies go, counts stay exact."""
    ledger = Ledger(window=8)
    for frame in range(20):
        ledger.record(inspected(frame, queue_ms=float(frame), inference_ms=0.0))
    counts = ledger.counts()
    latency = ledger.latency_between(Counts(), counts)
    assert counts.inspected == 20
    assert (latency.count, latency.p50, latency.max) == (8, 15.5, 19.0)


def test_verdicts_are_counted_by_bundle() -> None:
    """Metrics can say how many parts each model version has rejected."""
    ledger, newer = Ledger(), BundleRef("bottle", "1.1.0")
    for frame, (model, verdict) in enumerate(
        [(BOTTLE, Verdict.OK), (BOTTLE, Verdict.NG), (newer, Verdict.OK), (newer, Verdict.OK)]
    ):
        ledger.record(inspected(frame, verdict, model=model))
    models = ledger.totals().models
    assert models[BOTTLE].verdicts == {Verdict.OK: 1, Verdict.NG: 1}
    assert models[newer].verdicts == {Verdict.OK: 2, Verdict.NG: 0}


def test_the_totals_are_of_one_moment_and_their_times_lie_in_their_buckets() -> None:
    """Everything that belongs together comes as one value; a bound belongs to its own bucket."""
    ledger = Ledger()
    for frame, inference_ms in enumerate((2.0, 2.1, 99_999.0)):
        ledger.record(inspected(frame, queue_ms=0.0, inference_ms=inference_ms))
    ledger.record(uninspected(3, Reason.DROPPED_OVERFLOW))
    totals = ledger.totals()
    assert totals.counts == Counts(captured=4, inspected=3, dropped=1)
    assert totals.reasons[Reason.DROPPED_OVERFLOW] == 1
    assert totals.models[BOTTLE].verdicts == {Verdict.OK: 3, Verdict.NG: 0}
    assert totals.models[BOTTLE].inference == totals.latency
    assert totals.latency.frames == (1, 1, *[0] * (len(BOUNDS_MS) - 2), 1)
    assert totals.latency.sum_ms == pytest.approx(100_003.1)


def test_years_of_models_grow_nothing_and_lose_nothing() -> None:
    """Only the models that judged last are told apart; the sum is that of all."""
    ledger = Ledger()
    for frame in range(MODELS_KEPT * 3):
        ledger.record(inspected(frame, model=BundleRef("bottle", str(frame))))
    totals = ledger.totals()
    newest = range(MODELS_KEPT * 2, MODELS_KEPT * 3)
    assert set(totals.models) == {None, *(BundleRef("bottle", str(each)) for each in newest)}
    assert totals.models[None].verdicts[Verdict.OK] == MODELS_KEPT * 2
    assert sum(totals.models[None].inference.frames) == MODELS_KEPT * 2
    verdicts = (model.verdicts for model in totals.models.values())
    assert sum(sum(each.values()) for each in verdicts) == totals.counts.inspected
    assert totals.counts.inspected == MODELS_KEPT * 3
