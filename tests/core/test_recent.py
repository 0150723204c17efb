"""Recent frames: how candidate and active model differ, told always, limited where asked."""

from __future__ import annotations

from edge_daemon.core.recent import Recent, RecentLimits, Sightings, compare
from edge_daemon.core.values import Check, Detection, Recipe

RECIPE = Recipe(0.5)


def found(*confidences: float) -> Sightings:
    boxes = [Detection("x", each, (0.0, 0.0, 1.0, 1.0)) for each in confidences]
    return Sightings().and_in(boxes, RECIPE)


def named(checks: tuple[Check, ...], name: str) -> Check:
    return next(check for check in checks if check.name == name)


def test_differences_are_reported_and_refuse_nothing_by_themselves() -> None:
    """A better model judges some parts otherwise."""
    checks = compare(Recent(4, 1, found(0.9, 0.9, 0.6), found(0.6)), RecentLimits())
    assert all(check.passed for check in checks)
    measured = {check.name: check.measured for check in checks}
    assert measured == {
        "recent.agreement": 0.25,
        "recent.count_drift": 0.5,
        "recent.confidence_shift": 0.2,
    }


def test_each_limit_refuses_what_is_beyond_it() -> None:
    """Where a bundle asks for it, in either direction."""
    recent = Recent(4, 1, found(0.6), found(0.9, 0.9, 0.6))
    for limits, name in (
        (RecentLimits(min_agreement=0.5), "recent.agreement"),
        (RecentLimits(max_count_drift=0.4), "recent.count_drift"),
        (RecentLimits(max_confidence_shift=0.1), "recent.confidence_shift"),
    ):
        failed = [check.name for check in compare(recent, limits) if not check.passed]
        assert failed == [name]


def test_what_a_recipe_does_not_believe_does_not_count() -> None:
    """Detections below its confidence move neither count nor mean."""
    assert found(0.4, 0.8) == Sightings(1, 0.8)


def test_without_detections_there_is_no_mean_to_shift() -> None:
    """An empty line is no collapse of confidence."""
    checks = compare(Recent(3, 3, Sightings(), found(0.9)), RecentLimits(max_confidence_shift=0.0))
    assert [check.name for check in checks] == ["recent.agreement", "recent.count_drift"]


def test_without_frames_only_what_was_asked_for_is_shown() -> None:
    """As not compared, so that nobody takes it for a pass on evidence."""
    assert compare(None, RecentLimits()) == ()
    (check,) = compare(None, RecentLimits(max_count_drift=1.0))
    assert (check.passed, check.measured, check.limit) == (True, None, 1.0)


def test_a_confidence_that_is_no_number_passes_no_limit() -> None:
    """It is shown as what it is, in a word."""
    recent = Recent(1, 1, found(float("nan")), found(0.9))
    check = named(
        compare(recent, RecentLimits(max_confidence_shift=1.0)), "recent.confidence_shift"
    )
    assert (check.passed, check.measured) == (False, "nan")
