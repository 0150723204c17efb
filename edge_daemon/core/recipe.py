"""The recipe: what makes a frame ng."""

from __future__ import annotations

from collections.abc import Iterable

from edge_daemon.core.values import Detection, Recipe, Verdict


def judge(detections: Iterable[Detection], recipe: Recipe) -> Verdict:
    """`ng` when any detection of a rejected class reaches the recipe's confidence, else `ok`.

    A confidence that is not a number counts as reached: in doubt the part is taken out.
    """
    for detection in detections:
        below = detection.confidence < recipe.confidence
        if detection.label in recipe.reject and not below:
            return Verdict.NG
    return Verdict.OK
