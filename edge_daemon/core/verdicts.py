"""Verdict checks: does the candidate reject what must be rejected, and nothing else?

Boxes may be right and verdicts wrong: a recipe decides which boxes count. So golden images are
judged by the candidate's own recipe and compared with what a person said they are. The recipe is
compared with the one before, and so are verdicts on recent frames. A check without enough evidence
says so; it fails only where the bundle's limits ask for that check.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from edge_daemon.core.golden import Expectation, Golden, slices
from edge_daemon.core.recipe import (
    broken_rules,
    can_reject,
    is_judged,
    judge,
    kept_rules,
    weakened_part,
    weakened_rules,
)
from edge_daemon.core.values import Check, Detection, Recipe, Size, Verdict

MIN_REJECTED = 20
"""Recent frames that the active model calls ng before a share of missed ones means anything."""

ACCEPTABLE = (
    "golden.escape",
    "golden.false_reject",
    "recent.missed",
    "recent.agreement",
    "recent.count_drift",
    "recent.confidence_shift",
    "recipe.weaker",
    "blind",
)
"""Checks that a request may accept by name: they weigh verdicts, which a person may know better.

What proves that the model is the right one and can infer is not among them.
"""

NEVER_REJECTS = "this recipe can never say ng: every part passes"


@dataclass(frozen=True)
class VerdictLimits:
    """Shares, 0..1. `asked` names the limits that the bundle states itself.

    A check that was asked for and has no evidence fails; another one says what is missing.
    """

    max_escape: float = 0.0
    max_false_reject: float = 0.1
    max_missed: float = 0.2
    asked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reference:
    """The version whose place the candidate would take: active, or confirmed last.

    `golden`: what its golden images show, each with the digest of the image where it has one.
    """

    name: str
    recipe: Recipe
    same_weights: bool = False
    golden: tuple[tuple[str | None, Expectation], ...] = ()

    def kept(self, candidate: Recipe) -> Recipe:
        """Its recipe without the rules that the candidate's lacks or softens."""
        pairs = kept_rules(candidate, self.recipe, same_weights=self.same_weights)
        return replace(self.recipe, rules=tuple(old for old, _ in pairs))


@dataclass(frozen=True)
class Missed:
    """Recent frames that the active version calls ng by rules that the candidate still has."""

    rejected: int = 0
    missed: int = 0


@dataclass(frozen=True)
class Picture:
    """A made-up picture that shows no part, and what the candidate found on it."""

    name: str
    detections: tuple[Detection, ...]
    size: Size | None = None


# --------------------------------------------------------------------------- what is expected


def expected_verdict(
    expectation: Expectation, recipe: Recipe, size: Size | None = None
) -> Verdict | None:
    """What a golden image must come out as: as a person said, or as its boxes are judged.

    None where neither is known: a count of objects says nothing of their classes.
    """
    if expectation.verdict is not None:
        return expectation.verdict
    if expectation.expected_count:
        return None
    if _shown_causes(expectation, recipe, size):
        return Verdict.NG
    return Verdict.OK if is_judged(_shown(expectation, size), recipe) else Verdict.EMPTY


def _shown_causes(expectation: Expectation, recipe: Recipe, size: Size | None) -> tuple[str, ...]:
    """The rules that its boxes break. Where a person boxed the defect and not the part, the part
    is there all the same; that something is missing is said of a part that is shown."""
    shown = _shown(expectation, size)
    if is_judged(shown, recipe):
        return broken_rules(shown, recipe, size)
    forbidding = tuple(replace(rule, at_least=0) for rule in recipe.rules)
    return broken_rules(shown, replace(recipe, part=None, rules=forbidding), size)


def _shown(expectation: Expectation, size: Size | None) -> list[Detection]:
    """Its boxes as if a model had found them; a whole picture of unknown size has no end."""
    width, height = size or (math.inf, math.inf)
    whole = (0.0, 0.0, float(width), float(height))
    return [Detection(each.label, 1.0, each.box or whole) for each in expectation.boxes or ()]


# --------------------------------------------------------------------------- golden images


def golden_checks(
    images: Sequence[Golden], recipe: Recipe, limits: VerdictLimits, reference: Reference | None
) -> tuple[Check, ...]:
    """`golden.escape` and `golden.false_reject`, each by its worst slice.

    Where no image shows a defect or none a good part, the check says so, unless there are no
    golden images at all and nobody asked for it.
    """
    rejected = [image for image in images if _expects(image, recipe, Verdict.NG)]
    good = [image for image in images if _expects(image, recipe, Verdict.OK, Verdict.EMPTY)]
    escape = _share(
        Check("golden.escape", True, limit=limits.max_escape),
        rejected,
        lambda image: _escapes(image, recipe),
    ) or _unseen("golden.escape", "max_escape", limits, "a defect")
    lost = _lost_evidence(images, recipe, reference) if reference else ""
    for wrong in filter(None, (_dreamt(images, recipe), lost)):
        escape = replace(escape, passed=False, note=f"{wrong}; {escape.note}")
    false_reject = _share(
        Check("golden.false_reject", True, limit=limits.max_false_reject),
        good,
        lambda image: judge(image.candidate, recipe, image.size) is Verdict.NG,
    ) or _unseen("golden.false_reject", "max_false_reject", limits, "a good part")
    checks = (escape, false_reject)
    return tuple(check for check in checks if images or not check.passed)


def _expects(image: Golden, recipe: Recipe, *verdicts: Verdict) -> bool:
    return expected_verdict(image.expectation, recipe, image.size) in verdicts


def _escapes(image: Golden, recipe: Recipe) -> bool:
    """An ng image that comes out otherwise, or is ng without the causes that a person named."""
    broken = broken_rules(image.candidate, recipe, image.size)
    return not broken or not set(image.expectation.causes) <= set(broken)


def _dreamt(images: Sequence[Golden], recipe: Recipe) -> str:
    """Images that a person says show no part, and that still come out ok."""
    wrong = sum(
        image.expectation.verdict is Verdict.EMPTY
        and judge(image.candidate, recipe, image.size) is Verdict.OK
        for image in images
    )
    return f"{wrong} golden images without a part came out ok" if wrong else ""


def _share(check: Check, images: Sequence[Golden], wrong: Callable[[Golden], bool]) -> Check | None:
    """The check with the share of wrong images in the worst slice; None without an image."""
    if not images:
        return None
    shares, notes = [], []
    for part in slices(images):
        found = [wrong(image) for image in images if image.expectation.slice == part]
        shares.append(sum(found) / len(found))
        notes.append(f"slice {part} {sum(found)} of {len(found)}")
    worst = max(shares)
    assert isinstance(check.limit, float)
    passed = worst <= check.limit + 1e-9
    return replace(check, passed=passed, measured=round(worst, 4), note=", ".join(notes))


def _unseen(name: str, key: str, limits: VerdictLimits, what: str) -> Check:
    note = f"no golden image shows {what}: nothing was compared"
    limit: float = getattr(limits, key)
    if key in limits.asked:
        return Check(name, False, None, limit, f"{note}, and the bundle asks for it")
    return Check(name, True, None, limit, note)


def _lost_evidence(images: Sequence[Golden], recipe: Recipe, reference: Reference) -> str:
    """What the reference's golden images prove and the candidate's do not; empty for nothing."""
    kept = reference.kept(recipe)
    if not kept.rules:
        return ""
    sizes = {image.sha256: image.size for image in images if image.sha256}
    before = [
        (digest, _causes(shown, kept, sizes.get(digest or "")))
        for digest, shown in reference.golden
    ]
    now = [_causes(image.expectation, recipe, image.size) for image in images]
    excused = {i.sha256 for i in images if not _expects(i, recipe, Verdict.NG)} - {None}
    turned = sum(1 for digest, labels in before if labels != set() and digest in excused)
    if turned:
        return f"{turned} golden images are ng in {reference.name} and not here"
    if None in now:
        return ""  # ng of unknown causes: it may be any of them
    missing = {each for _, labels in before for each in labels or ()}
    missing -= {each for labels in now for each in labels or ()}
    if not missing:
        return ""
    shown = ", ".join(sorted(missing))
    return f"no golden image shows what {shown} rejects, as those of {reference.name} do"


def _causes(expectation: Expectation, recipe: Recipe, size: Size | None) -> set[str] | None:
    """The classes whose rules a golden image breaks; None for an ng image of unknown causes."""
    if expected_verdict(expectation, recipe, size) is not Verdict.NG:
        return set()
    if expectation.verdict is not None:
        if not expectation.causes:
            return None
        return {rule.label for rule in recipe.rules if rule.id in expectation.causes}
    broken = _shown_causes(expectation, recipe, size)
    return {rule.label for rule in recipe.rules if rule.id in broken}


# --------------------------------------------------------------------------- the recipe itself


def recipe_check(recipe: Recipe, reference: Reference | None) -> Check:
    """`recipe.weaker`: what the version before rejects and this one would let pass."""
    warning = "" if can_reject(recipe) else NEVER_REJECTS
    if reference is None:
        note = warning or "no version of this name to compare with"
        return Check("recipe.weaker", True, 0, 0, note)
    weaker = weakened_rules(recipe, reference.recipe, same_weights=reference.same_weights)
    changes = [f"{reference.name} rejects more: {why}" for _, why in weaker]
    if part := weakened_part(recipe, reference.recipe, same_weights=reference.same_weights):
        changes.append(f"{reference.name} judges more: {part}")
    note = "; ".join((*changes, *([warning] if warning else [])))
    return Check("recipe.weaker", not changes, len(changes), 0, note)


# --------------------------------------------------------------------------- recent frames


def missed_check(missed: Missed | None, limits: VerdictLimits) -> tuple[Check, ...]:
    """`recent.missed`; `missed` is None where no version of this name judges now."""
    if missed is None:
        return ()
    limit = limits.max_missed
    if missed.rejected < MIN_REJECTED:
        note = (
            f"the active version called {missed.rejected} recent frames ng, and a comparison"
            f" needs {MIN_REJECTED}: nothing was compared"
        )
        return (Check("recent.missed", "max_missed" not in limits.asked, None, limit, note),)
    share = missed.missed / missed.rejected
    note = f"{missed.missed} of {missed.rejected} frames that are ng now would pass"
    return (Check("recent.missed", share <= limit + 1e-9, round(share, 4), limit, note),)


# --------------------------------------------------------------------------- pictures of nothing


def needs_a_part(recipe: Recipe) -> bool:
    """Whether a picture without a part must not come out ok."""
    return recipe.part is not None or any(rule.at_least > 0 for rule in recipe.rules)


def blind_check(pictures: Iterable[Picture], recipe: Recipe) -> tuple[Check, ...]:
    """`blind`: a recipe that requires something must not pass pictures that show nothing."""
    if not needs_a_part(recipe):
        return ()
    judged = {each.name: judge(each.detections, recipe, each.size) for each in pictures}
    passed = [name for name, verdict in judged.items() if verdict is Verdict.OK]
    note = f"{', '.join(passed)} came out ok" if passed else ""
    if not judged:
        note = "no picture was judged"
    return (Check("blind", bool(judged) and not passed, len(passed), 0, note),)


# --------------------------------------------------------------------------- acceptance


def accept(checks: Iterable[Check], names: Iterable[str], why: str) -> tuple[Check, ...]:
    """The checks; those of these names are accepted if they failed."""
    chosen = set(names) & set(ACCEPTABLE)
    return tuple(
        replace(check, accepted=True, note="; ".join(filter(None, (check.note, why))))
        if check.name in chosen and not check.passed
        else check
        for check in checks
    )


def is_acceptable(checks: Iterable[Check]) -> bool:
    """Whether a person could accept all that failed, so that nothing is proven bad."""
    failed = [check.name for check in checks if not (check.passed or check.accepted)]
    return bool(failed) and set(failed) <= set(ACCEPTABLE)
