"""The gate: measured evidence in, a report of checks out. Nothing is measured here.

A bundle passes when there is at least one check and every check passes or was accepted. No evidence
is not a pass, and a value that is not a number passes no comparison. The checks that are cheapest
to fail come first: compatibility, recipe, warm-up, golden images, recent frames, latency, memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

from edge_daemon.core.compatibility import Compatibility, compare
from edge_daemon.core.golden import (
    DetectionSums,
    Golden,
    expected_labels,
    score,
    score_class,
    slices,
)
from edge_daemon.core.recent import Recent, RecentLimits
from edge_daemon.core.recent import compare as compare_recent
from edge_daemon.core.recipe import counted
from edge_daemon.core.values import Check, Detection, Recipe, Size
from edge_daemon.core.verdicts import (
    Missed,
    Picture,
    Reference,
    VerdictLimits,
    blind_check,
    golden_checks,
    missed_check,
    recipe_check,
)
from edge_daemon.core.wording import shortened, shown
from edge_daemon.errors import Code

RULES = 2
"""The number of these rules. A proof of other rules is none: raise it with every change of what is
measured, or of how it is judged."""

MIN_WARM_UPS = 1
DOUBT = 1.5  # beyond this multiple of the latency limit, measure no more
MIN_TIMED = 5  # samples a side for the ratio of medians

_EDGE_PX = 1.0  # rounding in letterbox and back may put a box this far outside the image


@dataclass(frozen=True)
class Limits:
    """What a candidate must reach; shares are 0..1. The bundle gives them, the box may tighten.

    `min_recall` holds for each class and slice, and for the share of right count images;
    `max_slice_drop` is the loss against the incumbent on one slice; `latency_ratio` is
    candidate over incumbent; `recent` is for the frames of this camera.
    """

    min_recall: float = 0.9
    min_precision: float = 0.5
    max_slice_drop: float = 0.05
    latency_ratio: float = 1.5
    recent: RecentLimits = RecentLimits()
    verdicts: VerdictLimits = VerdictLimits()

    def no_looser_than(self, latency_ratio: float) -> Limits:
        """These limits, with the box's latency ratio if that is stricter."""
        return replace(self, latency_ratio=min(self.latency_ratio, latency_ratio))


# --------------------------------------------------------------------------- evidence


@dataclass(frozen=True)
class WarmUp:
    """One warm-up inference on an image of this size in pixels."""

    width: int
    height: int
    detections: tuple[Detection, ...]
    finite: bool

    @property
    def size(self) -> Size:
        return self.width, self.height


@dataclass(frozen=True)
class Timing:
    """Milliseconds of inferences, candidate and active model in turns on the same frames.

    `incumbent_ms` is None when there is no model to compare with, and short when it did not answer.
    """

    candidate_ms: tuple[float, ...]
    incumbent_ms: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Memory:
    """One kind of memory with the candidate loaded and warm, in bytes.

    `headroom_bytes` must stay free; `kind` is `host` or `gpu`.
    """

    kind: str
    used_bytes: int
    free_bytes: int
    headroom_bytes: int


@dataclass(frozen=True)
class Evidence:
    """Everything that was measured. What could not be measured is an empty tuple or None."""

    compatibility: Compatibility
    warm_ups: tuple[WarmUp, ...]
    recipe: Recipe = Recipe()
    reference: Reference | None = None
    nothing: tuple[Picture, ...] = ()
    golden: tuple[Golden, ...] = ()
    recent: Recent | None = None
    missed: Missed | None = None
    timing: Timing | None = None
    memory: tuple[Memory, ...] = ()


# --------------------------------------------------------------------------- report


@dataclass(frozen=True)
class Report:
    """The checks in order. `code` is why it failed, by the first check that did."""

    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        return bool(self.checks) and not self.failed

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that refuse the bundle: failed, and accepted by nobody."""
        return tuple(check for check in self.checks if not (check.passed or check.accepted))

    @property
    def code(self) -> Code | None:
        if self.passed:
            return None
        first = self.failed[0].name if self.failed else ""
        return _CODES.get(first.split(".")[0], Code.GATE_FAILED)

    @property
    def message(self) -> str:
        """One sentence for the reply; empty when passed."""
        if self.passed:
            return ""
        if not self.failed:
            return "Nothing was checked, so nothing is known of the model."
        first = self.failed[0]
        more = f" ({len(self.failed) - 1} more checks failed)" if len(self.failed) > 1 else ""
        reason = first.note or f"measured {first.measured}, the limit is {first.limit}"
        return f"The check {first.name} failed: {shortened(reason, 320)}{more}."


_CODES = {"compatibility": Code.INCOMPATIBLE, "memory": Code.NO_MEMORY}


def assess(evidence: Evidence, limits: Limits) -> Report:
    """Compare the evidence with the limits."""
    checks = (
        *compare(evidence.compatibility),
        recipe_check(evidence.recipe, evidence.reference),
        _warm_up(evidence.warm_ups, has_golden=bool(evidence.golden)),
        *blind_check(evidence.nothing, evidence.recipe),
        *_golden(evidence.golden, evidence.recipe, limits),
        *golden_checks(evidence.golden, evidence.recipe, limits.verdicts, evidence.reference),
        *_drops(evidence, limits),
        *compare_recent(
            evidence.recent,
            limits.recent,
            has_active=evidence.compatibility.incumbent_classes is not None,
        ),
        *missed_check(evidence.missed, limits.verdicts),
        *_latency(evidence.timing, limits),
        *(_memory(memory) for memory in evidence.memory),
    )
    return Report(tuple(replace(check, note=shortened(check.note)) for check in checks))


def failing_on_golden(
    images: Sequence[Golden], recipe: Recipe, limits: Limits
) -> tuple[Check, ...]:
    """The checks of golden images that fail where this recipe judges what was found on them.

    Verdicts first: they are what people ask about.
    """
    checks = (
        *golden_checks(images, recipe, limits.verdicts, None),
        *_golden(images, recipe, limits),
    )
    return tuple(check for check in checks if not check.passed)


def assess_compatibility(compatibility: Compatibility) -> Report:
    """The first part alone, to refuse before anything is warmed."""
    return Report(compare(compatibility))


def _warm_up(warm_ups: Sequence[WarmUp], has_golden: bool) -> Check:
    note = "" if has_golden else "the bundle brings no golden images: recall was not checked"
    if len(warm_ups) < MIN_WARM_UPS:
        note = "no inference was made"
    elif not all(warm.finite for warm in warm_ups):
        note = "the model gave numbers that are not finite"
    elif not all(_is_sane(detection, warm) for warm in warm_ups for detection in warm.detections):
        note = "a detection lies outside the image or has no valid confidence"
    else:
        return Check("warm_up", True, len(warm_ups), MIN_WARM_UPS, note)
    return Check("warm_up", False, len(warm_ups), MIN_WARM_UPS, note)


def _is_sane(detection: Detection, warm: WarmUp) -> bool:
    x1, y1, x2, y2 = detection.box
    return (
        0.0 <= detection.confidence <= 1.0
        and -_EDGE_PX <= x1 <= x2 <= warm.width + _EDGE_PX
        and -_EDGE_PX <= y1 <= y2 <= warm.height + _EDGE_PX
    )


# --------------------------------------------------------------------------- golden images


def _golden(images: Sequence[Golden], recipe: Recipe, limits: Limits) -> tuple[Check, ...]:
    if not images:
        return ()
    images = _counted(images, recipe)
    by_slice = {name: _tally(images, name) for name in slices(images)}
    by_class = {
        label: _sum(score_class(label, image.expectation, image.candidate) for image in images)
        for label in expected_labels(images)
    }
    recalls = {f"class {label}": tally.recall for label, tally in by_class.items()}
    recalls |= {f"slice {name}": tally.recall for name, tally in by_slice.items()}
    counts = {f"slice {name}": tally.count_accuracy for name, tally in by_slice.items()}
    # A model that finds nothing at all has no precision; its recall says what it is worth.
    total = {"all images": _sum(by_slice.values()).precision}
    return (
        *_floor("golden.recall", recalls, limits.min_recall),
        *_floor("golden.precision", total, limits.min_precision),
        *_floor("golden.count", counts, limits.min_recall),
    )


def _counted(images: Iterable[Golden], recipe: Recipe) -> tuple[Golden, ...]:
    """What the candidate found, as far as it counts by its recipe."""
    return tuple(replace(each, candidate=counted(each.candidate, recipe)) for each in images)


def _tally(images: Sequence[Golden], part: str, *, incumbent: bool = False) -> DetectionSums:
    """What one of both models found on the images of a slice."""
    return _sum(
        score(image.expectation, (image.incumbent or ()) if incumbent else image.candidate)
        for image in images
        if image.expectation.slice == part
    )


def _floor(name: str, measured: dict[str, float | None], limit: float) -> tuple[Check, ...]:
    """A check on the smallest of several shares, which the note lists; none without shares."""
    shares = {where: share for where, share in measured.items() if share is not None}
    if not shares:
        return ()
    worst = min(shares.values())
    note = ", ".join(f"{where} {share:.3g}" for where, share in sorted(shares.items()))
    return (Check(name, worst >= limit, shown(worst), limit, note),)


def _drops(evidence: Evidence, limits: Limits) -> tuple[Check, ...]:
    """The loss against the incumbent; one that could not be asked is named, and blames nobody."""
    golden = _counted(evidence.golden, evidence.recipe)
    compared = [image for image in golden if image.incumbent is not None]
    if not compared:
        if not evidence.golden or evidence.compatibility.incumbent_classes is None:
            return ()
        note = "the active model gave no answer: nothing was compared"
        return (Check("golden.drop", True, None, limits.max_slice_drop, note),)
    drops = {}
    for part in slices(compared):
        new, old = _tally(compared, part), _tally(compared, part, incumbent=True)
        for kind, now, before in (
            ("recall", new.recall, old.recall),
            ("count", new.count_accuracy, old.count_accuracy),
        ):
            if now is not None and before is not None:
                drops[f"slice {part} {kind}"] = before - now
    if not drops:
        return ()
    worst = max(drops.values())
    # 0.95 - 0.9 is a little more than 0.05 in binary; a limit of 0.05 means to allow it.
    passed = worst <= limits.max_slice_drop + 1e-9
    note = ", ".join(f"{where} {-drop:+.3g}" for where, drop in sorted(drops.items()))
    return (Check("golden.drop", passed, shown(worst), limits.max_slice_drop, note),)


def found_by_both(images: Sequence[Golden], recipe: Recipe) -> dict[str, tuple[int, int, int]]:
    """By slice: how many objects there are, and how many the incumbent and the candidate found.

    An image that says only how many it shows is one object, found where the number is right. Empty
    where the incumbent was not asked.
    """
    compared = [image for image in _counted(images, recipe) if image.incumbent is not None]
    found = {}
    for part in slices(compared):
        new, old = _tally(compared, part), _tally(compared, part, incumbent=True)
        objects = new.expected + new.counted
        if objects:
            found[part] = (objects, old.found + old.right, new.found + new.right)
    return found


def _sum(tallies: Iterable[DetectionSums]) -> DetectionSums:
    return sum(tallies, DetectionSums())


# --------------------------------------------------------------------------- measures


def _latency(timing: Timing | None, limits: Limits) -> tuple[Check, ...]:
    if timing is None or timing.incumbent_ms is None:
        mine = timing.candidate_ms if timing else ()
        own = f"{median(mine):.3g} ms" if mine and _are_times(mine) else None
        note = "no incumbent: nothing to compare with"
        return (Check("latency.median", True, own, limits.latency_ratio, note),)
    new, old = timing.candidate_ms, timing.incumbent_ms
    if len(new) < MIN_TIMED or not (_are_times(new) and _are_times(old)):
        note = f"needs {MIN_TIMED} times; has {len(new)}, or unreadable ones"
        return (Check("latency.median", False, None, limits.latency_ratio, note),)
    if len(old) < MIN_TIMED:
        note = "the active model gave no answer: nothing was compared"
        return (Check("latency.median", True, f"{median(new):.3g} ms", limits.latency_ratio, note),)
    new_ms, old_ms, limit = median(new), median(old), limits.latency_ratio
    ratio = new_ms / old_ms if old_ms > 0 else (1.0 if new_ms <= 0 else math.inf)
    note = f"{new_ms:.3g} ms against {old_ms:.3g} ms"
    return (Check("latency.median", new_ms <= limit * old_ms, shown(ratio), limit, note),)


def is_doubtful(timing: Timing, limits: Limits) -> bool:
    """Whether more frames may change the result: too slow, but not by much.

    On a box that is busy for a moment twenty frames are few.
    """
    sides = (timing.candidate_ms, timing.incumbent_ms or ())
    if min(map(len, sides)) < MIN_TIMED or not all(map(_are_times, sides)):
        return False
    new, old = map(median, sides)
    return limits.latency_ratio * old < new <= DOUBT * limits.latency_ratio * old


def _are_times(samples: Sequence[float]) -> bool:
    return all(math.isfinite(sample) and sample >= 0 for sample in samples)


def _memory(memory: Memory) -> Check:
    free, headroom = memory.free_bytes / 2**20, memory.headroom_bytes / 2**20
    note = f"MiB left free; the model takes {memory.used_bytes / 2**20:.0f} MiB"
    passed = memory.free_bytes >= memory.headroom_bytes
    return Check(f"memory.{memory.kind}", passed, shown(free), shown(headroom), note)
