"""A proof is what the gate measured of one bundle on this box, kept for the bundle's next load.

Under the same conditions the same bytes see the same in the same picture. So a bundle that passed
the gate before needs only a spot proof: on some of its golden images, its detections must be those
on record. They stand for all of them, and each verdict check is then made anew on all detections.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edge_daemon.core.golden import Expectation
from edge_daemon.core.recipe import broken_rules, judge
from edge_daemon.core.values import Check, Detection, Recipe, Size
from edge_daemon.core.verdicts import Picture, expected_verdict

BOX_TOLERANCE_PX = 1.0
CONFIDENCE_TOLERANCE = 0.01
AREA_TOLERANCE = 0.02  # share of the larger one
"""Another number of threads adds in another order, which changes the last digits only."""

Detections = tuple[Detection, ...]


@dataclass(frozen=True)
class Proof:
    """One gate that a bundle passed, with nothing accepted.

    `bundle`: the digest of its manifest. `conditions`: what the result depends on, as text by
    name. `golden`: what was found on each golden image, in the manifest's order. `nothing`: the
    same on the pictures without a part, which are as large as the camera's frames.
    """

    bundle: str
    conditions: Mapping[str, str]
    proven_utc: float
    golden: tuple[Detections, ...]
    nothing: tuple[Picture, ...]
    checks: tuple[Check, ...]


def changed(then: Mapping[str, str], now: Mapping[str, str]) -> tuple[str, ...]:
    """The names of the conditions that differ, sorted; new and missing ones too."""
    return tuple(sorted(name for name in {*then, *now} if then.get(name) != now.get(name)))


def spots(
    images: Sequence[tuple[Expectation, Size | None]], recipe: Recipe, start: int = 0
) -> tuple[int, ...]:
    """Which golden images to check: few that show every slice, and every expected verdict.

    `start`: the index to begin at, so that another load checks other images.
    """
    kinds = [
        frozenset({("slice", each.slice), ("verdict", expected_verdict(each, recipe, size))})
        for each, size in images
    ]
    order = [*range(start, len(images)), *range(start)]
    unseen: set[tuple[str, object]] = set().union(*kinds)
    chosen: list[int] = []
    while unseen:  # the one that shows most of what is left; the first of several
        best = max(order, key=lambda index: len(kinds[index] & unseen))
        chosen.append(best)
        unseen -= kinds[best]
    return tuple(sorted(chosen))


def difference(recorded: Detections, found: Detections, recipe: Recipe, size: Size | None) -> str:
    """How the detections in a picture differ from those on record, in words; empty if equal."""
    causes = [broken_rules(each, recipe, size) for each in (recorded, found)]
    verdicts = [judge(each, recipe, size) for each in (recorded, found)]
    if causes[0] != causes[1] or verdicts[0] is not verdicts[1]:
        return f"the verdict is {verdicts[1].value} and was {verdicts[0].value}"
    if len(recorded) != len(found):
        return f"{len(found)} detections and {len(recorded)} on record"
    left = list(found)
    for each in recorded:
        same = next((other for other in left if _is_same(each, other)), None)
        if same is None:
            return f"no {each.label} where one is on record"
        left.remove(same)
    return ""


def spot_check(differences: Iterable[tuple[str, str]], looked_at: int, images: int) -> Check:
    """The check `spot`: how many golden images were seen otherwise than on record; none may be.

    `differences`: the name of an image, and how it differs.
    """
    wrong = [f"{name}: {why}" for name, why in differences]
    note = "; ".join(wrong) or f"{looked_at} of {images} golden images were seen as on record"
    return Check("spot", looked_at > 0 and not wrong, len(wrong), 0, note)


def _is_same(a: Detection, b: Detection) -> bool:
    return (
        a.label == b.label
        and abs(a.confidence - b.confidence) <= CONFIDENCE_TOLERANCE
        and all(abs(p - q) <= BOX_TOLERANCE_PX for p, q in zip(a.box, b.box, strict=True))
        and _is_same_area(a.area_px, b.area_px)
    )


def _is_same_area(a: float | None, b: float | None) -> bool:
    if a is None or b is None:
        return a is b
    return math.isclose(a, b, rel_tol=AREA_TOLERANCE)
