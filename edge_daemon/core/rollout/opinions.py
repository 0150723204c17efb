"""What each of two models says of one frame, each by its own recipe alone."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core.judged import Judged
from edge_daemon.core.recipe import broken_rules, has_part_in_view, verdict_of
from edge_daemon.core.rollout.values import Arm, Opinion
from edge_daemon.core.values import (
    Detection,
    Recipe,
    Size,
    StoredBundle,
    Verdict,
)


def opinion(
    known: StoredBundle,
    recipe: Recipe,
    detections: tuple[Detection, ...],
    size: Size | None,
    inference_ms: float,
    faint: tuple[Detection, ...] = (),
) -> Opinion:
    """What this model says, by this recipe, of a frame on which it found this."""
    causes = broken_rules(detections, recipe, size)
    verdict = verdict_of(causes, detections, recipe)
    return Opinion(
        known.ref, known.sha256, verdict, causes, detections, recipe, inference_ms, faint
    )


def counting(judged: Judged) -> Opinion | None:
    """What the model says whose verdict counts, by itself; None where no model judged.

    Where the stricter of two counted, its own verdict follows once more from what it found.
    """
    if judged.model is None or judged.sha256 is None or judged.recipe is None:
        return None
    known = StoredBundle(judged.model, judged.sha256)
    return opinion(
        known, judged.recipe, judged.detections, judged.size, judged.inference_ms, judged.faint
    )


def both(judged: Judged) -> tuple[Opinion | None, Opinion | None]:
    """The incumbent's and the candidate's opinion of a judged frame, as far as it bears them."""
    own = counting(judged)
    if judged.assigned is not None and judged.assigned.arm is Arm.CANDIDATE:
        return judged.shadow, own
    return own, judged.shadow


def given_to_candidate(judged: Judged, candidate: Opinion, *, either: bool) -> Judged:
    """The frame with the candidate's verdict, and the incumbent's beside it.

    `either`: ng where one of both says so, for the causes of both.
    """
    incumbent = counting(judged)
    verdict, causes = candidate.verdict, candidate.causes
    if either and judged.verdict is Verdict.NG:
        verdict, causes = Verdict.NG, tuple(dict.fromkeys((*causes, *judged.causes)))
    recipe = candidate.recipe or Recipe()
    return replace(
        judged,
        verdict=verdict,
        causes=causes,
        model=candidate.model,
        sha256=candidate.sha256,
        recipe=recipe,
        detections=candidate.detections,
        part_in_view=has_part_in_view(candidate.detections, recipe),
        queue_ms=judged.queue_ms + judged.inference_ms,
        inference_ms=candidate.inference_ms,
        shadow=incumbent,
        faint=candidate.faint,
    )
