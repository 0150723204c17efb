"""The recipe: which rules a frame breaks, and what one recipe lets pass that another did not."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edge_daemon.core.values import Detection, Recipe, Rule, Verdict

CERTAIN = 1.0
"""A confidence that a detection does not reach."""


def broken_rules(detections: Sequence[Detection], recipe: Recipe) -> tuple[str, ...]:
    """The ids of the rules that these detections break, in the recipe's order: the causes of ng.

    A confidence or an area that is not a number counts against the part: in doubt it is taken out.
    """
    return tuple(rule.id for rule in recipe.rules if not _holds(rule, detections))


def judge(detections: Sequence[Detection], recipe: Recipe) -> Verdict:
    """`ng` when a rule is broken, else `ok`."""
    return Verdict.NG if broken_rules(detections, recipe) else Verdict.OK


def has_part_in_view(detections: Sequence[Detection], recipe: Recipe) -> bool:
    """Whether anything was found that no rule forbids: a good part, or one with a defect."""
    forbidden = recipe.reject
    return any(
        detection.label not in forbidden and detection.confidence >= recipe.confidence
        for detection in detections
    )


def _holds(rule: Rule, detections: Sequence[Detection]) -> bool:
    sure = doubtful = 0
    for detection in detections:
        if detection.label != rule.label:
            continue
        area = _area_px(detection)
        if detection.confidence < rule.confidence:
            continue
        if area < rule.min_area_px or area > rule.max_area_px:
            continue
        if math.isnan(detection.confidence) or math.isnan(area):
            doubtful += 1
        else:
            sure += 1
    too_many = rule.at_most is not None and sure + doubtful > rule.at_most
    return sure >= rule.at_least and not too_many


def _area_px(detection: Detection) -> float:
    x1, y1, x2, y2 = detection.box
    return (x2 - x1) * (y2 - y1)


# --------------------------------------------------------------------------- comparing recipes


def can_reject(recipe: Recipe) -> bool:
    """Whether any picture at all could come out ng."""
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
    fewer = old.at_most is None or (
        new.at_most is not None
        and new.at_most <= old.at_most
        and new.min_area_px <= old.min_area_px
        and new.max_area_px >= old.max_area_px
    )
    more = old.at_least == 0 or (
        new.at_least >= old.at_least
        and new.min_area_px >= old.min_area_px
        and new.max_area_px <= old.max_area_px
        and not (same_weights and new.confidence < old.confidence)
    )
    return fewer and more


def _softening(new: Recipe, old: Rule) -> str:
    """In words: why no rule of the new recipe stands for this one."""
    same = [rule for rule in new.rules if rule.label == old.label]
    if not same:
        return f"{old.label} is no longer judged"
    rule = same[0]
    if rule.confidence != old.confidence:
        return f"{old.label} counts from {rule.confidence:g} on, not from {old.confidence:g}"
    return f"the rule for {old.label} allows more than before"
