"""The parts that one frame shows, each with what was found on it, judged apart from the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_daemon.core.recipe import broken_rules
from edge_daemon.core.values import Box, Detection, Recipe, Size, Verdict
from edge_daemon.core.zones import Zone

MOST_OBJECTS = 256  # parts of one frame; of more, the surest are taken


@dataclass(frozen=True)
class Shown:
    """One part in one frame; box in pixels."""

    box: Box
    confidence: float
    verdict: Verdict
    causes: tuple[str, ...] = ()


def shown(detections: Sequence[Detection], recipe: Recipe, size: Size) -> tuple[Shown, ...]:
    """Every object of the recipe's part, judged on itself and on what lies in its box.

    A detection belongs to the smallest box that holds its centre; one that lies in none belongs to
    no part. The order is that of the boxes, whatever that of the detections.
    """
    parts = sorted(
        (
            each
            for each in detections
            if each.label == recipe.part and each.confidence >= recipe.confidence
        ),
        key=lambda each: (-each.confidence, each.box),
    )[:MOST_OBJECTS]
    parts.sort(key=lambda each: (_area(each.box), each.box))
    boxes = [each.box for each in parts]
    own = [[each] for each in parts]
    for detection in detections:
        if detection.label != recipe.part:
            holder = _holder(detection.box, boxes)
            if holder is not None:
                own[holder].append(detection)
    found = []
    for part, members in zip(parts, own, strict=True):
        causes = broken_rules(members, recipe, size)
        verdict = Verdict.NG if causes else Verdict.OK
        found.append(Shown(part.box, part.confidence, verdict, causes))
    return tuple(sorted(found, key=lambda each: each.box))


def zone_of(recipe: Recipe) -> Zone | None:
    """The one zone in which all rules of the recipe look at what a part may hold.

    None where they look at the whole picture, or at different zones. A part that never was in a
    rule's zone would come out ok without having been looked at.
    """
    zones = [rule.zone for rule in recipe.rules if rule.label != recipe.part]
    return zones[0] if zones and all(zone == zones[0] for zone in zones) else None


def is_zoned(recipe: Recipe) -> bool:
    """Whether a rule looks at a part of the picture only."""
    return any(rule.zone for rule in recipe.rules if rule.label != recipe.part)


def _holder(box: Box, smallest_first: Sequence[Box]) -> int | None:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    for index, (x1, y1, x2, y2) in enumerate(smallest_first):
        if x1 <= x <= x2 and y1 <= y <= y2:
            return index
    return None


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
