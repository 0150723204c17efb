"""How recent frames would have been judged with a tuned recipe, before it takes effect."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from edge_daemon.control.loader import GateProof
from edge_daemon.core.judged import Judged
from edge_daemon.core.recipe import broken_rules, fault_of_tuning, tunable, tuned, verdict_of
from edge_daemon.core.tuning import fault_on_golden
from edge_daemon.core.values import Verdict
from edge_daemon.errors import Code, SenderError

_NOTHING: Mapping[str, float] = {}


def of(
    frames: Sequence[Judged],
    proof: GateProof,
    changes: Mapping[str, float],
    held: Mapping[str, float] = _NOTHING,
) -> dict[str, Any]:
    """Both counts by verdict and cause, and which frames change; raises SenderError.

    `held`: how it is tuned already. `adjustable`: what may be moved, from where, and how far.
    `golden`: why the golden images refuse these values, as a sentence; empty where they do not. The
    detections are those that the model reported then: what it never reported is not found now.
    """
    signed = proof.recipe
    if fault := fault_of_tuning(signed, changes):
        raise SenderError(
            fault,
            hint="edge-daemon models show tells what may be adjusted.",
            code=Code.PRECONDITION_FAILED,
        )
    now = tunable(tuned(signed, held))
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
        "model": str(proof.known.ref),
        "frames": len(frames),
        "before": before.told(),
        "after": after.told(),
        "golden": fault_on_golden(signed, {**held, **changes}, proof.golden, proof.limits),
        "adjustable": [
            {"name": each.name, "value": now[each.name], "low": each.low, "high": each.high}
            for each in signed.adjustable
            if each.name in now
        ],
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
