"""How recent frames would have been judged with a tuned recipe, before it takes effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from edge_daemon.core.recipe import broken_rules, fault_of_tuning, tuned, verdict_of
from edge_daemon.core.values import BundleRef, Judged, Recipe, Verdict
from edge_daemon.errors import Code, SenderError


def of(
    frames: Sequence[Judged], signed: Recipe, model: BundleRef, changes: Mapping[str, float]
) -> dict[str, Any]:
    """Both counts by verdict and cause, and which frames change; raises SenderError.

    Only detections that the model reported then are considered.
    """
    if fault := fault_of_tuning(signed, changes):
        raise SenderError(
            fault,
            hint="edge-daemon models show tells what may be adjusted.",
            code=Code.PRECONDITION_FAILED,
        )
    before, after = _Tally(), _Tally()
    newly: dict[Verdict, list[int]] = {Verdict.OK: [], Verdict.NG: [], Verdict.EMPTY: []}
    for frame in frames:
        recipe = tuned(frame.recipe or signed, changes)
        causes = broken_rules(frame.detections, recipe, frame.size)
        verdict = verdict_of(causes, frame.detections, recipe)
        before.add(frame.verdict, frame.causes)
        after.add(verdict, causes)
        if verdict is not frame.verdict:
            newly[verdict].append(frame.frame)
    return {
        "model": str(model),
        "frames": len(frames),
        "before": before.told(),
        "after": after.told(),
        "newly": {verdict.value: numbers for verdict, numbers in newly.items()},
    }


class _Tally:
    def __init__(self) -> None:
        self._verdicts: Counter[str] = Counter()
        self._causes: Counter[str] = Counter()

    def add(self, verdict: Verdict, causes: Sequence[str]) -> None:
        self._verdicts[verdict.value] += 1
        self._causes.update(causes)

    def told(self) -> dict[str, Any]:
        words = (Verdict.OK, Verdict.NG, Verdict.EMPTY)
        verdicts = {word.value: self._verdicts[word.value] for word in words}
        return {**verdicts, "causes": dict(self._causes)}
