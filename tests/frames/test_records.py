"""The record of verdicts: by version and product, cut into windows, begun anew by a trial."""

from __future__ import annotations

from edge_daemon.core.judged import Judged
from edge_daemon.core.shares import WINDOW
from edge_daemon.core.values import Assignment, BundleRef, Detection, Verdict
from edge_daemon.frames.records import MOST_RECORDS, MOST_WINDOWS, Records

OLD, NEW = BundleRef("bottle", "1"), BundleRef("bottle", "2")
FOUND = (Detection("bottle", 0.9, (0.0, 0.0, 1.0, 1.0)),)


def judged(
    ref: BundleRef, verdict: Verdict = Verdict.OK, product: str | None = "BTL", *, sees: bool = True
) -> Judged:
    causes = ("scratch",) if verdict is Verdict.NG else ()
    return Judged(
        frame=0,
        captured_utc=0.0,
        captured_at=0.0,
        assignment=Assignment(product=product),
        verdict=verdict,
        model=ref,
        detections=FOUND if sees else (),
        causes=causes,
        part_in_view=sees,
    )


def test_frames_are_counted_with_what_changed_between_them() -> None:
    """Runs of equal frames, also across the edge of a window."""
    records = Records()
    pattern = [Verdict.NG] * (WINDOW + 10) + [Verdict.OK] * 10 + [Verdict.NG] * 5
    for verdict in pattern:
        records.add(judged(NEW, verdict))
    first, second = records.of_trial(NEW).during.every
    assert (first.frames, first.ng.frames, first.ng.changes) == (WINDOW, WINDOW, 1)
    assert (second.frames, second.ng.frames, second.ng.changes) == (25, 15, 2)
    assert second.by_cause["scratch"] == second.ng


def test_frames_without_a_part_are_no_evidence_of_verdicts() -> None:
    """They count among all frames, and as frames that showed nothing."""
    records = Records()
    for sees in (True, False, False):
        records.add(judged(NEW, sees=sees))
    during = records.of_trial(NEW).during
    assert during.every[0].nothing.frames == 2
    assert [window.frames for window in during.with_part] == [1]


def test_a_trial_is_held_against_the_version_that_judged_this_product_last() -> None:
    """Not against another product's frames, nor against what it made itself in an earlier trial."""
    records = Records()
    for _ in range(9):
        records.add(judged(NEW, Verdict.NG))
    for _ in range(7):
        records.add(judged(OLD, Verdict.NG))
    for _ in range(5):
        records.add(judged(OLD, product="OTHER"))
    records.add(judged(BundleRef("can", "1")))
    records.begin(NEW)
    assert records.of_trial(NEW).before_ref is None
    for _ in range(3):
        records.add(judged(NEW))
    trial = records.of_trial(NEW)
    assert trial.before_ref == OLD
    assert (trial.before.every[0].frames, trial.before.every[0].ng.frames) == (7, 7)
    assert trial.during.every[0].frames == 3


def test_a_first_version_has_nothing_before_it() -> None:
    """And a version that has judged nothing yet has no record at all."""
    records = Records()
    assert records.of_trial(NEW).during.every == ()
    records.add(judged(NEW))
    assert records.of_trial(NEW).before_ref is None


def test_records_are_bounded() -> None:
    """The oldest windows and the record that was fed longest ago go first."""
    records = Records()
    for _ in range((MOST_WINDOWS + 2) * WINDOW):
        records.add(judged(OLD))
    records.add(judged(NEW))
    assert len(records.of_trial(NEW).before.every) == MOST_WINDOWS
    for number in range(MOST_RECORDS):
        records.add(judged(BundleRef("other", str(number))))
    assert records.of_trial(NEW).during.every == ()
