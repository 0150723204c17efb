"""The gate passes what is proved good, and refuses everything else by the right name."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.compatibility import Compatibility
from edge_daemon.core.gate import (
    MIN_TIMED,
    Evidence,
    Limits,
    Memory,
    Report,
    Timing,
    WarmUp,
    assess,
    assess_compatibility,
    failing_on_golden,
    found_by_both,
    is_doubtful,
)
from edge_daemon.core.golden import Expectation, ExpectedBox, Golden
from edge_daemon.core.recent import Recent, RecentLimits
from edge_daemon.core.recipe import tuned
from edge_daemon.core.values import Adjustable, Box, Check, Detection, Recipe, Rule
from edge_daemon.errors import Code

MIB = 2**20
CLASSES = ("bottle", "scratch", "dent")
BOX: Box = (10.0, 10.0, 40.0, 40.0)
FAR: Box = (50.0, 50.0, 60.0, 60.0)
SEEN = (Detection("scratch", 0.9, BOX),)


def same(**changes: object) -> Compatibility:
    facts = Compatibility("detect", "detect", CLASSES, CLASSES, CLASSES, frozenset(CLASSES[1:]))
    return replace(facts, **changes)  # type: ignore[arg-type]


def image(found: tuple[Detection, ...], before: tuple[Detection, ...] | None = SEEN) -> Golden:
    return Golden(Expectation("normal", (ExpectedBox("scratch", BOX),)), found, before)


def counted(count: int, made: int, before: int | None = None, part: str = "normal") -> Golden:
    incumbent = None if before is None else SEEN * before
    return Golden(Expectation(part, None, count), SEEN * made, incumbent)


def good(**changes: object) -> Evidence:
    evidence = Evidence(
        compatibility=same(),
        warm_ups=(WarmUp(64, 64, SEEN, True),) * 3,
        golden=(image(SEEN),) * 4,
        recent=Recent(50, 48),
        timing=Timing((10.0,) * 20, (10.0,) * 20),
        memory=(Memory("host", 300 * MIB, 900 * MIB, 512 * MIB),),
    )
    return replace(evidence, **changes)  # type: ignore[arg-type]


def named(report: Report, name: str) -> Check:
    return next(check for check in report.checks if check.name == name)


def test_a_good_bundle_passes_every_check_in_order() -> None:
    """All checks are made, from the cheapest refusal to the dearest, and none is silent."""
    report = assess(good(), Limits())
    assert report.passed
    assert report.code is None
    assert report.message == ""
    assert [check.name for check in report.checks] == [
        "compatibility.task",
        "compatibility.classes",
        "compatibility.incumbent",
        "recipe.weaker",
        "warm_up",
        "golden.recall",
        "golden.precision",
        "golden.escape",
        "golden.false_reject",
        "golden.drop",
        "recent.agreement",
        "recent.count_drift",
        "latency.median",
        "memory.host",
    ]


def test_no_checks_is_no_pass() -> None:
    """An empty report fails: no evidence is not good evidence."""
    assert not Report(()).passed
    assert Report(()).code is Code.GATE_FAILED
    assert Report(()).message


BAD_WARM = (WarmUp(64, 64, SEEN, True), WarmUp(64, 64, SEEN, False))
OUTSIDE = (WarmUp(64, 64, (Detection("dent", 0.9, (10.0, 10.0, 90.0, 40.0)),), True),)
NAN_BOX = (WarmUp(64, 64, (Detection("dent", 0.9, (math.nan, 1.0, 2.0, 2.0)),), True),)
NAN_CONFIDENCE = (WarmUp(64, 64, (Detection("dent", math.nan, BOX),), True),)
INSIDE_OUT = (WarmUp(64, 64, (Detection("dent", 0.9, (40.0, 10.0, 10.0, 40.0)),), True),)
NO_MEMORY = (Memory("gpu", MIB, 511 * MIB, 512 * MIB),)
SLOW = Timing((16.0,) * 20, (10.0,) * 20)

REFUSALS: list[tuple[str, dict[str, object], str, Code]] = [
    (
        "another task",
        {"compatibility": same(engine_task="segment")},
        "compatibility.task",
        Code.INCOMPATIBLE,
    ),
    (
        "a task without boxes",
        {"compatibility": same(engine_task="depth", manifest_task="depth")},
        "compatibility.task",
        Code.INCOMPATIBLE,
    ),
    (
        "classes in another order",
        {"compatibility": same(engine_classes=("scratch", "bottle", "dent"))},
        "compatibility.classes",
        Code.INCOMPATIBLE,
    ),
    (
        "a class too few",
        {"compatibility": same(engine_classes=CLASSES[:2])},
        "compatibility.classes",
        Code.INCOMPATIBLE,
    ),
    (
        "a class too many",
        {"compatibility": same(engine_classes=(*CLASSES, "cap"))},
        "compatibility.classes",
        Code.INCOMPATIBLE,
    ),
    (
        "no classes",
        {"compatibility": same(engine_classes=(), manifest_classes=())},
        "compatibility.classes",
        Code.INCOMPATIBLE,
    ),
    (
        "a rejected class is lost",
        {"compatibility": same(manifest_classes=CLASSES[:2], engine_classes=CLASSES[:2])},
        "compatibility.incumbent",
        Code.INCOMPATIBLE,
    ),
    ("no inference", {"warm_ups": ()}, "warm_up", Code.GATE_FAILED),
    ("not finite", {"warm_ups": BAD_WARM}, "warm_up", Code.GATE_FAILED),
    ("outside the image", {"warm_ups": OUTSIDE}, "warm_up", Code.GATE_FAILED),
    ("a NaN box", {"warm_ups": NAN_BOX}, "warm_up", Code.GATE_FAILED),
    ("a NaN confidence", {"warm_ups": NAN_CONFIDENCE}, "warm_up", Code.GATE_FAILED),
    ("a box inside out", {"warm_ups": INSIDE_OUT}, "warm_up", Code.GATE_FAILED),
    ("blind", {"golden": (image((), None),) * 4}, "golden.recall", Code.GATE_FAILED),
    (
        "the wrong class",
        {"golden": (image((Detection("dent", 0.9, BOX),), None),)},
        "golden.recall",
        Code.GATE_FAILED,
    ),
    (
        "the wrong place",
        {"golden": (image((Detection("scratch", 0.9, FAR),), None),)},
        "golden.recall",
        Code.GATE_FAILED,
    ),
    (
        "fires everywhere",
        {"golden": (image((*SEEN, *[Detection("dent", 0.9, FAR)] * 9)),)},
        "golden.precision",
        Code.GATE_FAILED,
    ),
    ("a wrong count", {"golden": (counted(5, 4),)}, "golden.count", Code.GATE_FAILED),
    (
        "sees parts where none are",
        {"golden": (Golden(Expectation("normal", ()), SEEN),)},
        "golden.count",
        Code.GATE_FAILED,
    ),
    ("slow", {"timing": SLOW}, "latency.median", Code.GATE_FAILED),
    (
        "never timed",
        {"timing": Timing((), (10.0,) * 20)},
        "latency.median",
        Code.GATE_FAILED,
    ),
    (
        "NaN milliseconds",
        {"timing": Timing((math.nan,) * 20, (10.0,) * 20)},
        "latency.median",
        Code.GATE_FAILED,
    ),
    ("too little memory", {"memory": NO_MEMORY}, "memory.gpu", Code.NO_MEMORY),
]


@pytest.mark.parametrize(
    ("changes", "name", "code"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
def test_a_single_fault_is_refused_by_its_own_check(
    changes: dict[str, object], name: str, code: Code
) -> None:
    """Each fault alone fails exactly the check that is about it, with the contract's code."""
    report = assess(good(**changes), Limits())
    assert not report.passed
    assert report.code is code
    assert report.failed[0].name == name
    assert name in report.message


def test_a_weak_slice_is_not_hidden_by_the_strong_ones() -> None:
    """The floor holds for each slice, not for the average of all images."""
    weak = Golden(Expectation("low_light", (ExpectedBox("scratch", BOX),)), ())
    check = named(assess(good(golden=(*[image(SEEN)] * 99, weak)), Limits()), "golden.recall")
    assert not check.passed
    assert check.measured == 0.0
    assert "slice low_light 0" in check.note


def test_a_drop_on_one_slice_is_refused_though_the_floor_holds() -> None:
    """Worse than the incumbent by more than the allowed drop on one slice fails `golden.drop`."""
    rows = [counted(1, 1 if n < 18 else 2, 1, "low_light") for n in range(20)]
    report = assess(good(golden=tuple(rows)), Limits(min_recall=0.9))
    assert named(report, "golden.count").passed
    assert not named(report, "golden.drop").passed
    assert assess(good(golden=tuple(rows)), Limits(max_slice_drop=0.1)).passed


def test_a_drop_of_exactly_the_limit_is_allowed() -> None:
    """0.95 against 1.0 with a limit of 0.05 passes, whatever binary fractions say."""
    rows = tuple(counted(1, 1 if n < 19 else 2, 1) for n in range(20))
    assert named(assess(good(golden=rows), Limits()), "golden.drop").passed


def test_without_an_incumbent_latency_is_told_and_not_judged() -> None:
    """There is nothing to compare with, and the check says so instead of passing in silence."""
    check = named(assess(good(timing=Timing((10.0,) * 5)), Limits()), "latency.median")
    assert check.passed
    assert "no incumbent" in check.note


@pytest.mark.parametrize("answers", [0, 1, MIN_TIMED - 1])
def test_an_incumbent_that_gave_no_answer_is_named_and_blames_nobody(answers: int) -> None:
    """A few times are as good as none: a model that hangs or is lost is being left anyway."""
    timing = Timing((10.0,) * 20, (1.0,) * answers)
    assert not is_doubtful(timing, Limits())
    check = named(assess(good(timing=timing), Limits()), "latency.median")
    assert check.passed
    assert "nothing was compared" in check.note


@pytest.mark.parametrize(
    ("candidate_ms", "incumbent_ms", "doubtful"),
    [(10.0, 10.0, False), (15.0, 10.0, False), (16.0, 10.0, True), (23.0, 10.0, False)],
)
def test_only_what_is_a_little_too_slow_is_looked_at_again(
    candidate_ms: float, incumbent_ms: float, doubtful: bool
) -> None:
    """Within the limit of 1.5 nothing is in doubt, and far beyond it neither."""
    timing = Timing((candidate_ms,) * 20, (incumbent_ms,) * 20)
    assert is_doubtful(timing, Limits(latency_ratio=1.5)) is doubtful
    assert not is_doubtful(Timing((candidate_ms,) * 20), Limits(latency_ratio=1.5))


def test_without_golden_images_the_warm_up_says_what_was_not_checked() -> None:
    """No golden check is made up; the warm-up remains and names the gap."""
    report = assess(good(golden=()), Limits())
    assert not any(check.name.startswith("golden") for check in report.checks)
    assert "no golden images" in named(report, "warm_up").note


def test_harmless_differences_to_the_incumbent_are_named() -> None:
    """A new class, or the loss of one that never made a part ng, passes with a note."""
    classes = ("scratch", "dent", "cap")
    report = assess_compatibility(same(manifest_classes=classes, engine_classes=classes))
    assert report.passed
    note = named(report, "compatibility.incumbent").note
    assert "no longer known: bottle" in note
    assert "new: cap" in note


def test_across_products_classes_may_differ() -> None:
    """Without an incumbent of the same name there is no comparison of classes."""
    assert assess_compatibility(same(incumbent_classes=None)).passed


def test_a_permuted_class_list_says_where() -> None:
    """The note shows the first class that stands elsewhere, in both orders."""
    report = assess_compatibility(same(engine_classes=("bottle", "dent", "scratch")))
    assert "class 1 is 'dent' in the weights and 'scratch' in the bundle" in report.message


@pytest.mark.parametrize(("names", "head"), [(CLASSES[:2], 3), (CLASSES, 2), (CLASSES, 80)])
def test_head_and_names_must_be_of_one_length(names: tuple[str, ...], head: int) -> None:
    """A class of the head without a name would raise at the first part that shows it."""
    facts = same(manifest_classes=names, engine_classes=names, head_classes=head)
    report = assess_compatibility(replace(facts, incumbent_classes=None))
    assert report.code is Code.INCOMPATIBLE
    assert f"{head} in the head and {len(names)} names" in report.message
    assert assess_compatibility(same(head_classes=len(CLASSES))).passed
    assert assess_compatibility(same(head_classes=None)).passed


def test_names_that_a_library_made_up_are_no_names() -> None:
    """An export without names gets `class0` to `class998`: what is told is that names are missing,
    in a sentence that somebody can read."""
    made_up = tuple(f"class{number}" for number in range(999))
    report = assess_compatibility(same(engine_classes=made_up, head_classes=3))
    assert "the file has no class names" in report.message
    assert len(report.message) <= 400
    assert all(len(str(check.measured)) <= 400 for check in report.checks)


def test_a_thousand_classes_make_one_sentence() -> None:
    """Lists are cut, and say how much was left out."""
    names = tuple(f"{'part ' * 40}{number}" for number in range(1000))
    report = assess_compatibility(same(manifest_classes=names))
    assert len(report.message) <= 400
    assert "and 996 more" in report.message


def test_a_report_on_hundreds_of_slices_stays_short() -> None:
    """Each note and the message can be read, whatever a bundle brings."""
    images = tuple(counted(1, 0, 1, part=f"a slice with a long name, {n}") for n in range(500))
    report = assess(good(golden=images), Limits())
    assert len(report.message) <= 400
    assert all(len(check.note) <= 400 for check in report.checks)


def test_a_box_may_tighten_the_latency_ratio_but_never_loosen_it() -> None:
    """The stricter of the bundle's and the box's ratio holds."""
    assert Limits(latency_ratio=3.0).no_looser_than(1.5).latency_ratio == 1.5
    assert Limits(latency_ratio=1.2).no_looser_than(1.5).latency_ratio == 1.2


SAMPLES = st.lists(st.floats(allow_nan=True), min_size=0, max_size=8).map(tuple)
SHARES = st.floats(0, 1)
LIMITS = st.builds(
    Limits,
    SHARES,
    SHARES,
    SHARES,
    st.floats(0.1, 10),
    st.builds(RecentLimits, st.none() | SHARES),
)
MADE = st.integers(0, 3)
IMAGES = st.lists(
    st.one_of(
        st.builds(counted, MADE, MADE, st.none() | MADE, st.sampled_from(["day", "night"])),
        st.builds(
            image,
            st.sampled_from([(), SEEN, SEEN * 2]),
            st.sampled_from([None, (), SEEN]),
        ),
    ),
    max_size=6,
).map(tuple)
EVIDENCE = st.builds(
    lambda golden, candidate, incumbent, free, agreeing: good(
        golden=golden,
        timing=Timing(candidate, incumbent),
        memory=(Memory("host", 1, free, 512),),
        recent=Recent(10, agreeing),
    ),
    IMAGES,
    SAMPLES,
    st.none() | SAMPLES,
    st.integers(0, 1024),
    st.integers(0, 10),
)


@settings(max_examples=500)  # little of this evidence passes
@given(EVIDENCE, LIMITS, LIMITS)
def test_a_stricter_limit_never_lets_more_pass(
    evidence: Evidence, limits: Limits, other: Limits
) -> None:
    """What fails under some limits fails under any that are stricter in every respect."""
    asked = (limits.recent.min_agreement, other.recent.min_agreement)
    stricter = Limits(
        max(limits.min_recall, other.min_recall),
        max(limits.min_precision, other.min_precision),
        min(limits.max_slice_drop, other.max_slice_drop),
        min(limits.latency_ratio, other.latency_ratio),
        RecentLimits(max((each for each in asked if each is not None), default=None)),
    )
    if assess(evidence, stricter).passed:
        assert assess(evidence, limits).passed


@given(EVIDENCE, LIMITS)
def test_every_report_can_be_published(evidence: Evidence, limits: Limits) -> None:
    """Whatever was measured, the checks are valid JSON: no NaN, no infinity."""
    report = assess(evidence, limits)
    json.dumps([asdict(check) for check in report.checks], allow_nan=False)
    assert report.passed == (report.code is None) == (report.message == "")


@given(SAMPLES, SAMPLES.filter(bool), LIMITS)
def test_unreadable_times_never_pass(
    candidate: tuple[float, ...], incumbent: tuple[float, ...], limits: Limits
) -> None:
    """A NaN, an infinite or a negative duration on either side passes no latency check."""
    readable = all(math.isfinite(ms) and ms >= 0 for ms in (*candidate, *incumbent))
    report = assess(good(timing=Timing(candidate, incumbent)), limits)
    if not readable:
        assert not named(report, "latency.median").passed


ADJUSTABLE = Recipe(
    0.4,
    (Rule("scratch", "scratch", 0.4, at_most=0),),
    adjustable=(Adjustable("scratch.confidence", 0.1, 0.6),),
)
FAINT = tuple(Detection("scratch", 0.2, FAR) for _ in range(4))
"""What an engine tells of, since a tuning might let it count."""


def test_what_only_a_tuning_would_count_is_no_false_alarm() -> None:
    """Precision, recall, counts and the drop are of what counts by the signed values."""
    shown = [image(SEEN + FAINT)] * 4 + [counted(1, 1)]
    shown[-1] = replace(shown[-1], candidate=SEEN + FAINT)
    report = assess(good(recipe=ADJUSTABLE, golden=tuple(shown)), Limits())
    assert report.passed
    assert named(report, "golden.precision").measured == 1.0
    assert named(report, "golden.count").measured == 1.0


def test_what_does_not_count_is_not_found() -> None:
    """A defect that the signed values do not let count is missed, though the engine told of it."""
    faint = (Detection("scratch", 0.2, BOX),)
    report = assess(good(recipe=ADJUSTABLE, golden=(image(faint),) * 4), Limits())
    names = {check.name for check in report.failed}
    assert names == {"golden.recall", "golden.escape", "golden.drop"}
    assert named(report, "golden.recall").measured == 0.0


def test_the_values_that_will_judge_are_held_to_the_same_limits() -> None:
    """Tuned down, faint marks are false alarms; tuned up, a defect escapes."""
    golden = (image((Detection("scratch", 0.5, BOX), *FAINT)),) * 4
    assert failing_on_golden(golden, ADJUSTABLE, Limits()) == ()
    for value, name in ((0.15, "golden.precision"), (0.55, "golden.escape")):
        tuning = tuned(ADJUSTABLE, {"scratch.confidence": value})
        assert name in {check.name for check in failing_on_golden(golden, tuning, Limits())}
    assert failing_on_golden((), tuned(ADJUSTABLE, {"scratch.confidence": 0.6}), Limits()) == ()


def test_what_both_found_is_counted_by_slice() -> None:
    """An image with boxes has so many objects, one with a count is one; none without both."""
    images = (
        image(SEEN),
        image(()),
        image((), before=()),
        counted(2, made=2, before=1, part="low_light"),
        counted(1, made=1, part="dark"),  # the incumbent was not asked
    )
    assert found_by_both(images, Recipe()) == {"low_light": (1, 0, 1), "normal": (3, 2, 1)}
    assert found_by_both((), Recipe()) == {}
