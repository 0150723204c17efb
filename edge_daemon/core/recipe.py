"""The recipe: which rules a frame breaks, and what one recipe passes that another does not."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace

from edge_daemon.core.values import Detection, Recipe, Rule, Size, Verdict
from edge_daemon.core.zones import WHOLE

CERTAIN = 1.0
"""A confidence that a detection does not reach."""


def broken_rules(
    detections: Sequence[Detection], recipe: Recipe, size: Size | None = None
) -> tuple[str, ...]:
    """The ids of the rules that these detections break, in the recipe's order: the causes of ng.

    A confidence or an area that is not a number counts against the part: in doubt it is rejected.
    So does an unknown place, if a rule has a zone and the picture no `size`.
    """
    if not is_judged(detections, recipe):
        return ()
    return tuple(rule.id for rule in recipe.rules if not _holds(rule, detections, size))


def judge(detections: Sequence[Detection], recipe: Recipe, size: Size | None = None) -> Verdict:
    """`ng` when a rule is broken, `empty` where no part is in view, else `ok`."""
    return verdict_of(broken_rules(detections, recipe, size), detections, recipe)


def verdict_of(causes: Sequence[str], detections: Sequence[Detection], recipe: Recipe) -> Verdict:
    """The verdict on a frame whose broken rules are known."""
    if causes:
        return Verdict.NG
    return Verdict.OK if is_judged(detections, recipe) else Verdict.EMPTY


def is_judged(detections: Sequence[Detection], recipe: Recipe) -> bool:
    """Whether there is anything to judge: the recipe's part, if it names one."""
    return recipe.part is None or any(
        detection.label == recipe.part and detection.confidence >= recipe.confidence
        for detection in detections
    )


def has_part_in_view(detections: Sequence[Detection], recipe: Recipe) -> bool:
    """Whether a part was found: of the recipe's class, else anything that no rule forbids."""
    if recipe.part is not None:
        return is_judged(detections, recipe)
    forbidden = recipe.reject
    return any(
        detection.label not in forbidden and detection.confidence >= recipe.confidence
        for detection in detections
    )


def counted(detections: Sequence[Detection], recipe: Recipe) -> tuple[Detection, ...]:
    """Those that count by the recipe as it stands: an engine tells of more, where it is adjustable.

    From the least confidence that a rule for the class asks for on, else from the recipe's own.
    """
    usual, least = recipe.confidence, {recipe.part: recipe.confidence}
    for rule in recipe.rules:
        least[rule.label] = min(rule.confidence, least.get(rule.label, rule.confidence))
    # One whose confidence is not a number counts: against the part, as in the rules.
    return tuple(each for each in detections if not each.confidence < least.get(each.label, usual))


def area_px(detection: Detection) -> float:
    """The area of its mask or its oriented box if there is one, else of its box."""
    if detection.area_px is not None:
        return detection.area_px
    x1, y1, x2, y2 = detection.box
    return (x2 - x1) * (y2 - y1)


def _holds(rule: Rule, detections: Sequence[Detection], size: Size | None) -> bool:
    """What is in doubt counts against the part."""
    sure = doubtful = 0
    for detection in detections:
        if detection.label == rule.label:
            counted = _counts(rule, detection, size)
            sure += counted is True
            doubtful += counted is None
    too_many = rule.at_most is not None and sure + doubtful > rule.at_most
    return sure >= rule.at_least and not too_many


def _counts(rule: Rule, detection: Detection, size: Size | None) -> bool | None:
    """Whether a detection of the rule's class counts for it; None where that is in doubt."""
    if detection.confidence < rule.confidence:
        return False
    area = area_px(detection)
    if area < rule.min_area_px or area > rule.max_area_px:
        return False
    inside = _lies_in(rule, detection, size)
    if inside is False:
        return False
    if inside is None or math.isnan(detection.confidence) or math.isnan(area):
        return None
    return True


def _lies_in(rule: Rule, detection: Detection, size: Size | None) -> bool | None:
    """Whether its centre lies in the rule's zone; None if that is not known."""
    if rule.zone is None:
        return True
    if size is None:
        return None
    x1, y1, x2, y2 = detection.box
    x, y = (x1 + x2) / 2 / size[0], (y1 + y2) / 2 / size[1]
    return None if math.isnan(x + y) else rule.zone.holds(x, y)


# --------------------------------------------------------------------------- one recipe


def digest(recipe: Recipe) -> str:
    """SHA-256 (hex) of what judges, with its tuning but without the bounds of tuning.

    Default values are left out: a field that is added later changes no digest.
    """
    usual = asdict(Rule("", ""))
    rules = []
    for rule in recipe.rules:
        told = {key: value for key, value in asdict(rule).items() if value != usual[key]}
        if rule.zone is not None:
            told["zone"] = rule.zone.points  # whatever it is called
        rules.append(told)
    judging: dict[str, object] = {"confidence": recipe.confidence, "rules": rules}
    if recipe.part is not None:
        judging["part"] = recipe.part
    text = json.dumps(judging, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def tunable(recipe: Recipe) -> dict[str, float]:
    """Every number of the rules that may be made adjustable, by its name."""
    found: dict[str, float] = {}
    for rule in recipe.rules:
        for field, attribute in _FIELDS.items():
            value = getattr(rule, attribute)
            if value is not None and math.isfinite(value):
                found[f"{rule.id}.{field}"] = value
    return found


_FIELDS = {
    "confidence": "confidence",
    "area_px.min": "min_area_px",
    "area_px.max": "max_area_px",
    "count.min": "at_least",
    "count.max": "at_most",
}


def fault_of_tuning(recipe: Recipe, changes: Mapping[str, float]) -> str:
    """Why the recipe may not be tuned like this, as a sentence; empty if it may."""
    bounds = {each.name: each for each in recipe.adjustable}
    for name, value in changes.items():
        bound = bounds.get(name)
        if bound is None:
            known = ", ".join(sorted(bounds)) or "nothing"
            return f"{name} is not adjustable; this recipe lets you adjust {known}."
        if not bound.low <= value <= bound.high:  # NaN lies within no bounds
            return f"{name} may be {bound.low:g} to {bound.high:g}, not {value:g}."
        if name.endswith((".count.min", ".count.max")) and value != int(value):
            return f"{name} must be a whole number, not {value:g}."
    for rule in tuned(recipe, changes).rules:
        if rule.at_most is not None and rule.at_most < rule.at_least:
            return f"{rule.id} would allow at most {rule.at_most} and ask for {rule.at_least}."
        if rule.max_area_px < rule.min_area_px:
            return f"{rule.id} would count nothing: its largest area lies below its smallest."
    return ""


def tuned(recipe: Recipe, changes: Mapping[str, float]) -> Recipe:
    """The recipe with these numbers; ask `fault_of_tuning` first."""
    return replace(recipe, rules=tuple(_tuned(rule, changes) for rule in recipe.rules))


def _tuned(rule: Rule, changes: Mapping[str, float]) -> Rule:
    most = changes.get(f"{rule.id}.count.max", rule.at_most)
    return replace(
        rule,
        confidence=changes.get(f"{rule.id}.confidence", rule.confidence),
        min_area_px=changes.get(f"{rule.id}.area_px.min", rule.min_area_px),
        max_area_px=changes.get(f"{rule.id}.area_px.max", rule.max_area_px),
        at_least=int(changes.get(f"{rule.id}.count.min", rule.at_least)),
        at_most=None if most is None else int(most),
    )


# --------------------------------------------------------------------------- comparing recipes


def can_reject(recipe: Recipe) -> bool:
    """Whether any picture at all could come out ng."""
    if recipe.part is not None and recipe.confidence >= CERTAIN:
        return False  # no part is ever found
    return any(
        rule.at_least > 0 or (rule.at_most is not None and rule.confidence < CERTAIN)
        for rule in recipe.rules
    )


def kept_rules(
    new: Recipe, old: Recipe, *, same_weights: bool = False
) -> tuple[tuple[Rule, Rule], ...]:
    """Pairs (old rule, new rule) where the new one rejects all that the old one did.

    Confidences are compared for the same weights only: another network has another scale.
    """
    pairs = []
    for rule in old.rules:
        heir = next((each for each in new.rules if _covers(each, rule, same_weights)), None)
        if heir is not None:
            pairs.append((rule, heir))
    return tuple(pairs)


def weakened_rules(
    new: Recipe, old: Recipe, *, same_weights: bool = False
) -> tuple[tuple[Rule, str], ...]:
    """The rules of the old recipe that the new one lacks or softens, each with what changed."""
    kept = {rule.id for rule, _ in kept_rules(new, old, same_weights=same_weights)}
    return tuple((rule, _softening(new, rule)) for rule in old.rules if rule.id not in kept)


def _covers(new: Rule, old: Rule, same_weights: bool) -> bool:
    if new.label != old.label or new.confidence >= CERTAIN > old.confidence:
        return False
    if same_weights and old.at_most is not None and new.confidence > old.confidence:
        return False
    new_zone, old_zone = new.zone or WHOLE, old.zone or WHOLE
    fewer = old.at_most is None or (
        new.at_most is not None
        and new.at_most <= old.at_most
        and new.min_area_px <= old.min_area_px
        and new.max_area_px >= old.max_area_px
        and new_zone.covers(old_zone)
    )
    more = old.at_least == 0 or (
        new.at_least >= old.at_least
        and new.min_area_px >= old.min_area_px
        and new.max_area_px <= old.max_area_px
        and not (same_weights and new.confidence < old.confidence)
        and old_zone.covers(new_zone)
    )
    return fewer and more


def weakened_part(new: Recipe, old: Recipe, *, same_weights: bool) -> str:
    """Which frames the new recipe leaves unjudged, or passes unseen, that the old one did not; in
    words.

    Empty for none. A part that is added or changed leaves frames without it unjudged. One that is
    dropped lets frames that show nothing come out ok, unless a rule asks for it.
    """
    if new.part == old.part:
        if new.part is None or new.confidence <= old.confidence:
            return ""
        if not same_weights and not new.confidence >= CERTAIN:
            return ""
        return f"{new.part} counts as a part from {new.confidence:g} on, not {old.confidence:g}"
    if new.part is not None:
        before = "every frame was" if old.part is None else f"frames with {old.part} were"
        return f"{before} judged; now only frames with {new.part} are"
    if any(rule.label == old.part and rule.at_least > 0 for rule in new.rules):
        return ""
    return f"a frame without {old.part} was empty, and would come out ok"


def _softening(new: Recipe, old: Rule) -> str:
    """Why no rule of the new recipe replaces this one, in words."""
    same = [rule for rule in new.rules if rule.label == old.label]
    if not same:
        return f"{old.label} is no longer judged"
    rule = same[0]
    if rule.confidence != old.confidence:
        return f"{old.label} counts from {rule.confidence:g} on, not from {old.confidence:g}"
    if rule.zone != old.zone:
        return f"the rule for {old.label} looks at another zone"
    return f"the rule for {old.label} allows more than before"
