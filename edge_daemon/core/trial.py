"""The probation of a version that just became active: evidence in, pass, fail or not yet out.

No evidence is not a pass: a trial without enough frames stays open.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_daemon.core.values import Counts, Latency

MIN_COMPARED = 100
"""Frames on either side before latencies or detections are compared."""

TAIL_EXCESS_MS = 20.0
"""A slower tail alone counts only beyond this: other programs of the box move p99 as well."""


@dataclass(frozen=True)
class Window:
    """Measures of the frames between two moments."""

    counts: Counts = Counts()
    frame_ms: Latency = Latency()  # captured -> verdict
    inference_ms: Latency = Latency()
    failed: int = 0  # frames whose inference raised or gave nonsense
    ng: int = 0
    detections: int = 0


@dataclass(frozen=True)
class TrialLimits:
    """What the probation asks for."""

    frames: int = 300
    seconds: float = 10.0
    latency_ratio: float = 1.5
    max_error_rate: float = 0.0


@dataclass(frozen=True)
class Judgement:
    """How a trial ended, and why, as a sentence."""

    passed: bool
    reason: str


def judge(
    limits: TrialLimits, during: Window, before: Window | None, elapsed_s: float
) -> Judgement | None:
    """The judgement, or None while there is not enough evidence.

    `before`: the same measures under the version of the same name that was active before; None
    where there was none, so that nothing is compared.
    """
    tried = during.counts.inspected + during.failed
    if during.failed and during.failed > limits.max_error_rate * max(tried, limits.frames):
        return Judgement(False, f"{during.failed} of {tried} inferences failed on trial.")
    if tried < limits.frames or elapsed_s < limits.seconds:
        return None
    if before is not None and before.counts.inspected >= MIN_COMPARED:
        worse = _slower(limits, during, before) or _blind(during, before)
        if worse:
            return Judgement(False, worse)
    return Judgement(True, f"{tried} frames in {elapsed_s:.0f} s without a finding.")


def _slower(limits: TrialLimits, during: Window, before: Window) -> str:
    new, old = during.inference_ms, before.inference_ms
    if new.count < MIN_COMPARED or old.count < MIN_COMPARED:
        return ""
    assert new.p50 is not None
    assert old.p50 is not None
    assert new.p99 is not None
    assert old.p99 is not None
    if new.p50 > limits.latency_ratio * old.p50:
        return f"Its median inference takes {new.p50:.1f} ms, before it took {old.p50:.1f} ms."
    if new.p99 > limits.latency_ratio * old.p99 and new.p99 - old.p99 > TAIL_EXCESS_MS:
        return f"Its p99 inference takes {new.p99:.1f} ms, before it took {old.p99:.1f} ms."
    return ""


def _blind(during: Window, before: Window) -> str:
    """It sees nothing at all where the version before it saw plenty."""
    usual = before.detections / before.counts.inspected
    if during.detections == 0 and usual * during.counts.inspected >= MIN_COMPARED:
        return f"It found nothing in {during.counts.inspected} frames; before, {usual:.1f} a frame."
    return ""
