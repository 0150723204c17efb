"""The frames of one part become its verdict. No evidence is not ok; two models give no verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.values import Fold, PartReason, PartRules
from edge_daemon.core.values import BundleRef, Reason, Recipe, Verdict


@dataclass(frozen=True)
class FrameOfPart:
    """What one frame says of one part."""

    verdict: Verdict
    causes: tuple[str, ...] = ()
    reason: Reason | None = None
    model: BundleRef | None = None
    sha256: str | None = None
    recipe: Recipe | None = None
    product: str | None = None
    trial: bool = False

    @classmethod
    def of(
        cls, judged: Judged, verdict: Verdict, causes: tuple[str, ...], *, trial: bool
    ) -> FrameOfPart:
        """A part's own verdict, by the model that judged the frame."""
        return cls(
            verdict,
            causes,
            judged.reason,
            judged.model,
            judged.sha256,
            judged.recipe,
            judged.assignment.product,
            trial,
        )


@dataclass(frozen=True)
class Folded:
    """A part's verdict, and who gave it."""

    verdict: Verdict
    reason: PartReason | None = None
    causes: tuple[str, ...] = ()
    model: BundleRef | None = None
    sha256: str | None = None
    recipe: Recipe | None = None
    trial: bool = False


def fold(views: Sequence[FrameOfPart], rules: PartRules) -> Folded:
    """`views` in order of capture, one for each frame of the part."""
    inspected = [view for view in views if view.verdict is not Verdict.UNINSPECTED]
    if len(inspected) < rules.min_frames or not inspected:
        missing = next((view.reason for view in views if view.reason is not None), None)
        return unjudged(PartReason.NO_FRAME if missing is None else PartReason(missing.value))
    first = inspected[0]
    if any(_judge_of(view) != _judge_of(first) for view in inspected):
        return unjudged(PartReason.CHANGEOVER)
    verdict = _verdict(inspected, rules.verdict)
    causes: tuple[str, ...] = ()
    if verdict is Verdict.NG:  # each once, as they were first met
        causes = tuple(dict.fromkeys(cause for view in inspected for cause in view.causes))
    trial = any(view.trial for view in inspected)
    return Folded(verdict, None, causes, first.model, first.sha256, first.recipe, trial)


def unjudged(reason: PartReason) -> Folded:
    """No model vouches for this part."""
    return Folded(Verdict.UNINSPECTED, reason)


def _judge_of(view: FrameOfPart) -> tuple[object, ...]:
    return view.model, view.sha256, view.recipe, view.product


def _verdict(inspected: Sequence[FrameOfPart], by: Fold | int) -> Verdict:
    ng = sum(view.verdict is Verdict.NG for view in inspected)
    ok = sum(view.verdict is Verdict.OK for view in inspected)
    if not ng and not ok:
        return Verdict.EMPTY
    if by is Fold.MAJORITY:
        is_ng = ng >= ok and ng > 0
    else:
        is_ng = ng >= (1 if isinstance(by, Fold) else by)
    return Verdict.NG if is_ng else Verdict.OK
