"""The probation of a version that just became active: evidence in; pass, fail or undecided out.

No evidence is not a pass: a trial without enough frames stays open. Verdicts are compared once, at
its end, because looking often would find something by chance. What they could not decide is said.
A moment of slow frames is no finding: the trial goes on for as many frames again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from edge_daemon.core.shares import Shift
from edge_daemon.core.values import Counts, Latency

MIN_COMPARED = 100  # frames on either side before latencies or detections are compared

TAIL_EXCESS_MS = 20.0
"""A slower tail alone counts only beyond this, and only if it is seen twice: other programs of the
box move p99 as well."""


@dataclass(frozen=True)
class Window:
    """Measures of the frames between two moments."""

    counts: Counts = Counts()
    frame_ms: Latency = Latency()  # captured -> verdict
    inference_ms: Latency = Latency()
    failed: int = 0  # frames whose inference raised or gave nonsense
    ng: int = 0
    detections: int = 0


class Response(str, Enum):
    """What to do about a shift of verdicts."""

    FAIL = "fail"
    WARN = "warn"
    OFF = "off"


@dataclass(frozen=True)
class VerdictWatch:
    """What follows when a version rejects less, or more, than the one before it did.

    `alpha`: the share of trials, 0..1, in which a version that judges alike is held to differ.
    """

    alpha: float = 0.001
    low: Response = Response.FAIL
    high: Response = Response.WARN


@dataclass(frozen=True)
class TrialLimits:
    """What the probation requires."""

    frames: int = 300
    seconds: float = 10.0
    latency_ratio: float = 1.5
    max_error_rate: float = 0.0
    verdicts: VerdictWatch = VerdictWatch()


@dataclass(frozen=True)
class Judgement:
    """How a trial ended, and why, as a sentence; `warning` names what fails nothing."""

    passed: bool
    reason: str
    warning: str = ""


@dataclass(frozen=True)
class Doubt:
    """Some frames were slow, perhaps by another program: as many frames again decide."""

    reason: str


def judge(
    limits: TrialLimits,
    during: Window,
    before: Window | None,
    elapsed_s: float,
    again: Window | None = None,
) -> Judgement | Doubt | None:
    """The judgement, or None while there is not enough evidence.

    `before`: the same measures under the version of the same name that was active before; None
    where there was none, so that nothing is compared. `again`: the frames since a doubt.
    """
    tried = during.counts.inspected + during.failed
    if during.failed and during.failed > limits.max_error_rate * max(tried, limits.frames):
        return Judgement(False, f"{during.failed} of {tried} inferences failed on trial.")
    if tried < limits.frames or elapsed_s < limits.seconds:
        return None
    if again is not None and again.counts.inspected < limits.frames:
        return None
    if before is not None and before.counts.inspected >= MIN_COMPARED:
        worse = _slower("median", limits, during, before) or _blind(during, before)
        if worse:
            return Judgement(False, worse)
        tail = _slower("p99", limits, during if again is None else again, before)
        if tail:
            return Doubt(tail) if again is None else Judgement(False, tail)
    return Judgement(True, f"{tried} frames in {elapsed_s:.0f} s without a finding.")


def with_verdicts(passed: Judgement, watch: VerdictWatch, shift: Shift) -> Judgement:
    """The judgement of a trial that passed so far, with the result of the verdict comparison."""
    found = ((watch.low, shift.low), (watch.high, shift.high))
    failing = [each for response, said in found if response is Response.FAIL for each in said]
    if failing:
        return Judgement(False, f"Its verdicts shifted: {'; '.join(failing)}.")
    warning = "; ".join(each for how, said in found if how is Response.WARN for each in said)
    if watch.low is Response.OFF and watch.high is Response.OFF:
        return passed
    reason = f"{passed.reason} Its verdicts: "
    return Judgement(True, reason + (warning or shift.unclear or "as before") + ".", warning)


def _slower(what: str, limits: TrialLimits, during: Window, before: Window) -> str:
    is_tail = what == "p99"
    times = during.inference_ms, before.inference_ms
    new, old = (each.p99 if is_tail else each.p50 for each in times)
    if min(each.count for each in times) < MIN_COMPARED or new is None or old is None:
        return ""
    if new <= limits.latency_ratio * old or (is_tail and new - old <= TAIL_EXCESS_MS):
        return ""
    return f"Its {what} inference takes {new:.1f} ms, before it took {old:.1f} ms."


def _blind(during: Window, before: Window) -> str:
    """Whether it sees nothing at all where the version before saw plenty."""
    usual = before.detections / before.counts.inspected
    if during.detections == 0 and usual * during.counts.inspected >= MIN_COMPARED:
        return f"It found nothing in {during.counts.inspected} frames; before, {usual:.1f} a frame."
    return ""
