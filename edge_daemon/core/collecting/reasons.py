"""Why a part is worth a picture for the next training."""

from __future__ import annotations

from collections.abc import Iterator, Set
from enum import Enum

from edge_daemon.core.judged import Judged
from edge_daemon.core.recipe import counted
from edge_daemon.core.rollout.opinions import both
from edge_daemon.core.rollout.values import Opinion
from edge_daemon.core.values import Detection, Recipe, Verdict


class Why(str, Enum):
    """The reasons, the most telling first: a picture is filed under the first that holds."""

    OVERRULED = "overruled"  # a person said that the verdict is wrong
    DISAGREEMENT = "disagreement"  # two models judge it differently
    NOTHING_FOUND = "nothing_found"  # a part should be there, and no model finds anything
    DRIFT = "drift"  # what the line shows is no longer what it was
    NEAR_THRESHOLD = "near_threshold"  # something was found that just does not count
    NG = "ng"
    AUDIT = "audit"  # drawn from all parts

    def __str__(self) -> str:
        return self.value

    @property
    def rank(self) -> int:
        """0 for the most telling."""
        return _RANKS[self]


_RANKS = {why: rank for rank, why in enumerate(Why)}

RARE = frozenset({Why.OVERRULED, Why.DISAGREEMENT, Why.NOTHING_FOUND, Why.DRIFT})
"""What comes seldom and teaches most: part of the quota is kept for it."""


def reasons_of(judged: Judged, *, is_expected: bool = False, drifts: bool = False) -> set[Why]:
    """The reasons that one judged frame gives; none without a model's verdict.

    `is_expected`: a part should be in view, whatever the models find. `drifts`: an alarm stands.
    """
    if judged.verdict is Verdict.UNINSPECTED:
        return set()
    own, other = both(judged) if judged.shadow is not None else (_alone(judged), None)
    opinions = [each for each in (own, other) if each is not None]
    found = {Why.AUDIT}
    if judged.verdict is Verdict.NG:
        found.add(Why.NG)
    if own is not None and other is not None and own.verdict is not other.verdict:
        found.add(Why.DISAGREEMENT)
    if any(True for each in opinions for _ in near_misses(each)):
        found.add(Why.NEAR_THRESHOLD)
    if is_expected and not any(_finds_something(each) for each in opinions):
        found.add(Why.NOTHING_FOUND)
    if drifts:
        found.add(Why.DRIFT)
    return found


# Looked up once, for the lane: before Python 3.12 each look into an enum is a call.
_UNINSPECTED, _NG = Verdict.UNINSPECTED, Verdict.NG
_IF_DRIFTING, _IF_NG, _ALWAYS, _IF_NEAR = Why.DRIFT, Why.NG, Why.AUDIT, Why.NEAR_THRESHOLD


def holds_one_of(judged: Judged, wanted: Set[Why], *, drifts: bool = False) -> bool:
    """Whether `reasons_of` gives any of `wanted`; of most frames that is found out quickly."""
    verdict = judged.verdict
    if verdict is _UNINSPECTED:
        return False
    if _ALWAYS in wanted or (verdict is _NG and _IF_NG in wanted):
        return True
    if drifts and _IF_DRIFTING in wanted:
        return True
    if judged.shadow is None and _IF_NEAR not in wanted:
        return False
    return not wanted.isdisjoint(reasons_of(judged, drifts=drifts))


def _alone(judged: Judged) -> Opinion | None:
    """What the only model says that was asked: its verdict is known, and not made anew."""
    if judged.model is None or judged.sha256 is None:
        return None
    return Opinion(
        judged.model,
        judged.sha256,
        judged.verdict,
        judged.causes,
        judged.detections,
        judged.recipe,
        faint=judged.faint,
    )


def near_misses(said: Opinion) -> Iterator[Detection]:
    """What was found of a class that matters, and does not count for its confidence alone."""
    recipe = said.recipe
    if recipe is None:
        return
    matter = {recipe.part, *(rule.label for rule in recipe.rules)}
    yield from (each for each in said.faint if each.label in matter)
    kept = counted(said.detections, recipe)  # an engine tells of more where a rule is adjustable
    if len(kept) < len(said.detections):
        yield from (each for each in said.detections if each.label in matter and each not in kept)


def floor_of(recipe: Recipe, asked: float | None) -> float:
    """The confidence down to which a model is to report; as asked, or half of the recipe's least.

    Never above the recipe's least, so that no verdict depends on it.
    """
    least = recipe.lowest_confidence
    return min(least, least / 2 if asked is None else asked)


def _finds_something(said: Opinion) -> bool:
    recipe = said.recipe
    return bool(said.detections if recipe is None else counted(said.detections, recipe))
