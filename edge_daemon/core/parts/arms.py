"""A part while a candidate is tried: whose fold is its verdict, and what the other model says.

A part is judged by one model. The candidate's fold counts where its arm is drawn so and it saw
every frame of the part that the incumbent judged; otherwise the incumbent's does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge_daemon.core.parts.fold import Folded, FrameOfPart, fold
from edge_daemon.core.parts.values import PartRules
from edge_daemon.core.recipe import broken_rules, verdict_of
from edge_daemon.core.rollout.values import Arm, Assigned, Opinion, Split
from edge_daemon.core.values import Box, Recipe, Size, Verdict


@dataclass(frozen=True)
class Sides:
    """One frame of a part: the incumbent's view of it, and both opinions where there are any."""

    view: FrameOfPart
    incumbent: Opinion | None = None
    candidate: Opinion | None = None


@dataclass(frozen=True)
class ArmVerdict:
    """A part's verdict, the arm that gave it, and the other model's opinion of all its frames."""

    folded: Folded
    assigned: Assigned
    shadow: Opinion | None = None

    def is_of(self, split: Split) -> bool:
        """Whether the model that judged is that of its arm, as far as that is known."""
        arm = self.assigned.arm
        due = split.candidate.ref if arm is Arm.CANDIDATE else split.reference
        return due is None or self.folded.model in (None, due)


def judge_part(
    sides: Sequence[Sides], rules: PartRules, assigned: Assigned, *, either: bool
) -> ArmVerdict:
    """`sides` in order of capture. Where the candidate is missing, its share was 0."""
    incumbent = fold([each.view for each in sides], rules)
    candidate = _candidates(sides, rules)
    theirs = [each.candidate for each in sides if each.candidate is not None]
    if assigned.arm is Arm.INCUMBENT:
        return ArmVerdict(incumbent, assigned, as_opinion(candidate, theirs))
    if candidate is None or candidate.reason is not None:
        return ArmVerdict(incumbent, assigned.withdrawn)
    folded = candidate
    if either and incumbent.verdict is Verdict.NG:
        causes = tuple(dict.fromkeys((*candidate.causes, *incumbent.causes)))
        folded = replace(candidate, verdict=Verdict.NG, causes=causes)
    ours = [each.incumbent for each in sides if each.incumbent is not None]
    return ArmVerdict(folded, assigned, as_opinion(incumbent, ours))


def _candidates(sides: Sequence[Sides], rules: PartRules) -> Folded | None:
    """The candidate's fold; None where it did not see what the incumbent saw."""
    views = []
    for each in sides:
        if each.view.verdict is Verdict.UNINSPECTED:
            views.append(each.view)
        elif each.candidate is None:
            return None
        else:
            views.append(view_of(each.candidate, each.view.product, trial=each.view.trial))
    return fold(views, rules)


def in_box(opinion: Opinion, box: Box, size: Size | None) -> Opinion:
    """What a model says of one part, where another model says where the part is.

    Its detections count whose centre lies in the box, by its own recipe.
    """
    recipe = opinion.recipe or Recipe()
    members = tuple(each for each in opinion.detections if _is_in(each.box, box))
    causes = broken_rules(members, recipe, size)
    verdict = verdict_of(causes, members, recipe)
    return replace(opinion, verdict=verdict, causes=causes, detections=members)


def _is_in(inner: Box, outer: Box) -> bool:
    x, y = (inner[0] + inner[2]) / 2, (inner[1] + inner[3]) / 2
    return outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]


def view_of(opinion: Opinion, product: str | None, *, trial: bool = False) -> FrameOfPart:
    """One frame's opinion as the fold takes it."""
    return FrameOfPart(
        opinion.verdict,
        opinion.causes,
        None,
        opinion.model,
        opinion.sha256,
        opinion.recipe,
        product,
        trial,
    )


def as_opinion(folded: Folded | None, opinions: Sequence[Opinion]) -> Opinion | None:
    """A fold as an opinion; None where no model vouches for it.

    What it found is that of the first frame that has the fold's verdict; its time is the mean.
    """
    if folded is None or not opinions:
        return None
    if folded.reason is not None or folded.model is None or folded.sha256 is None:
        return None
    chosen = next((each for each in opinions if each.verdict is folded.verdict), opinions[0])
    mean_ms = sum(each.inference_ms for each in opinions) / len(opinions)
    return Opinion(
        folded.model,
        folded.sha256,
        folded.verdict,
        folded.causes,
        chosen.detections,
        folded.recipe,
        mean_ms,
    )
