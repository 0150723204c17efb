"""Shares of verdicts before and after a cutover: a shift that chance explains, or one it does not?

Frames that follow each other mostly show the same part, so that a thousand frames are far fewer
observations. Two corrections, the larger one counts: the effective sample size of a two-state
Markov chain, from how often consecutive frames differ (Geyer 1992); and the variance between
windows as long as a trial, where the record holds enough of them, which sees batches and idle
times as well. What is left is compared by Fisher's exact test, one-sided, so that the uncertainty
of the record counts too. With m comparisons each is made at alpha / m (Bonferroni): a version that
judges as the one before is held to have shifted in at most alpha of all trials.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

WINDOW = 300  # frames of one window: as many as a trial has by default
MIN_WINDOWS = 8  # windows in the record before the variance between them is taken for known
MIN_CHANGES = 8  # changes from one frame to the next before they tell how long runs are
USUAL_RUN = 30.0  # frames per observation while they do not: a part is in view for about a second
CAUTION = 1.25  # on the chain's factor, itself an estimate: keeps false alarms below alpha


@dataclass(frozen=True)
class Count:
    """How many frames had a property, and how often a frame differed from the one before it."""

    frames: int = 0
    changes: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.frames + other.frames, self.changes + other.changes)


@dataclass(frozen=True)
class Shares:
    """Consecutive frames of one version and product: how many there are, and how they came out.

    `by_cause` names rules. A frame counts as often as it breaks different rules.
    """

    frames: int = 0
    ng: Count = Count()
    nothing: Count = Count()  # nothing was found at all
    by_cause: Mapping[str, Count] = field(default_factory=dict)
    empty: Count = Count()  # no part in view, where the recipe says what a part is


@dataclass(frozen=True)
class Record:
    """Windows of at most `WINDOW` frames, oldest first; of all frames, and of those with a part.

    Where a version finds parts as well as defects, only frames with a part in view tell how it
    judges parts: an empty belt is no reason to condemn a model.
    """

    every: tuple[Shares, ...] = ()
    with_part: tuple[Shares, ...] = ()


@dataclass(frozen=True)
class Shift:
    """What differs beyond chance, as sentences, and what could not be decided."""

    low: tuple[str, ...] = ()
    high: tuple[str, ...] = ()
    unclear: str = ""


_Pick = Callable[[Shares], Count]


def compare(
    before: Record,
    during: Record,
    causes: Sequence[tuple[str, str]],
    *,
    whole: bool,
    alpha: float,
    same_part: bool = False,
) -> Shift:
    """Hold the frames of a trial against the record of the version before.

    Args:
        before: what the version before made of this product.
        during: what the version on trial made of it.
        causes: rules that both recipes have, by their ids before and now.
        whole: every rule of the version before is among them, so that all ng may be compared.
        alpha: false alarms of all comparisons together, 0..1.
        same_part: both recipes say alike what a part is, so that `empty` may be compared.
    """
    parts = any(window.frames for window in before.with_part)
    old, new = (each.with_part if parts else each.every for each in (before, during))
    unit = "frames with a part" if parts else "frames"
    asked: list[tuple[str, _Pick, _Pick]] = []
    if whole:
        asked.append(("ng", lambda each: each.ng, lambda each: each.ng))
    for was, now in causes:
        asked.append((f"ng for {now}", _cause(was), _cause(now)))
    level = alpha / (2 * (len(asked) + 1 + same_part))
    low, high = [], []
    for what, pick_old, pick_new in asked:
        pair = _Pair(old, new, pick_old, pick_new)
        sentence = f"{pair.shown_new} {unit} were {what}; before, {pair.shown_old}"
        if pair.tail(low=True) < level:
            low.append(sentence)
        elif pair.tail(low=False) < level:
            high.append(sentence)
    nothing = _Pair(before.every, during.every, lambda each: each.nothing)
    if nothing.tail(low=False) < level:
        shown = f"{nothing.shown_new} frames showed nothing at all; before, {nothing.shown_old}"
        high.append(shown)
    if same_part:
        empty = _Pair(before.every, during.every, lambda each: each.empty)
        shown = f"{empty.shown_new} frames were empty; before, {empty.shown_old}"
        if empty.tail(low=True) < level:
            (low if _is_varied(before.every) else high).append(shown)
        elif empty.tail(low=False) < level:
            high.append(shown)
    return Shift(tuple(low), tuple(high), _unclear(old, new, unit, asked, level))


def _unclear(
    old: Sequence[Shares],
    new: Sequence[Shares],
    unit: str,
    asked: Sequence[tuple[str, _Pick, _Pick]],
    level: float,
) -> str:
    """Whether even a version that rejects nothing any more could not have been noticed."""
    if sum(window.frames for window in old) < WINDOW:
        few = f"the version before judged fewer than {WINDOW} {unit} of this product"
        return f"{few}: verdicts were not compared"
    if not sum(window.frames for window in new):
        return f"no {unit} came: verdicts were not compared"
    if not asked:
        return "the recipes have no rule in common: verdicts were not compared"
    blind = _Pair(old, new, asked[0][1], lambda _: Count())
    if blind.tail(low=True) < level:
        return ""
    return f"too few {unit}: even a version that rejects nothing would look the same"


def _cause(name: str) -> _Pick:
    return lambda shares: shares.by_cause.get(name, Count())


def _is_varied(windows: Sequence[Shares]) -> bool:
    """Whether the record has seen the belt full and empty often enough to know how it varies.

    A night of an empty belt is no reason to fail the version that is there when the shift begins.
    """
    whole = sum(window.frames == WINDOW for window in windows)
    return whole >= MIN_WINDOWS and sum(w.empty.changes for w in windows) >= MIN_CHANGES


class _Pair:
    """One share before and now, with the observations that its frames are worth.

    `pick_new`: where the share goes by another name now.
    """

    def __init__(
        self,
        old: Sequence[Shares],
        new: Sequence[Shares],
        pick_old: _Pick,
        pick_new: _Pick | None = None,
    ) -> None:
        self._old, self._new = _sum(old, pick_old), _sum(new, pick_new or pick_old)
        chains = [
            _chain_factor(frames, count)
            for frames, count in (self._old, self._new)
            if count.changes >= MIN_CHANGES
        ]
        chain = max(chains, default=USUAL_RUN) * CAUTION
        self._factor = max(chain, _window_factor(old, pick_old))
        self.shown_old, self.shown_new = (
            f"{count.frames} of {frames}" for frames, count in (self._old, self._new)
        )

    def tail(self, *, low: bool) -> float:
        """The chance of a share now as low, or as high, if nothing had changed; 1.0 in doubt."""
        (n0, c0), (n1, c1) = self._old, self._new
        # Whole observations, rounded so that the difference can only shrink.
        m0, m1 = math.floor(n0 / self._factor), math.floor(n1 / self._factor)
        round_old, round_new = (math.floor, math.ceil) if low else (math.ceil, math.floor)
        a0, a1 = round_old(c0.frames / self._factor), round_new(c1.frames / self._factor)
        a0, a1 = min(a0, m0), min(a1, m1)
        if n0 < WINDOW or not m0 or not m1:
            return 1.0
        return fisher_low(a1, m1, a0, m0) if low else fisher_low(m1 - a1, m1, m0 - a0, m0)


def _sum(windows: Iterable[Shares], pick: _Pick) -> tuple[int, Count]:
    frames, total = 0, Count()
    for window in windows:
        frames += window.frames
        total += pick(window)
    return frames, total


def _chain_factor(frames: int, count: Count) -> float:
    """Frames per independent observation, by how often consecutive frames differ; at least 1."""
    one, other = count.frames, frames - count.frames
    changes = (count.changes + 1) / 2
    stay = 1.0 - changes / (one + 1) - changes / (other + 1)
    return 1.0 if stay <= 0 else (1.0 + stay) / (1.0 - stay)


def _window_factor(windows: Sequence[Shares], pick: _Pick) -> float:
    """The same by the variance between whole windows; 1 where there are too few of them."""
    counts = [pick(window).frames for window in windows if window.frames == WINDOW]
    if len(counts) < MIN_WINDOWS:
        return 1.0
    mean = sum(counts) / len(counts)
    share = mean / WINDOW
    if not 0 < share < 1:
        return 1.0
    variance = sum((count - mean) ** 2 for count in counts) / (len(counts) - 1)
    return max(1.0, variance / (WINDOW * share * (1 - share)))


def fisher_low(k1: int, n1: int, k0: int, n0: int) -> float:
    """P(K1 <= k1) where n1 of n0 + n1 are drawn and k0 + k1 of all are hits: hypergeometric."""
    total, hits = n0 + n1, k0 + k1
    whole = _log_choose(total, n1)
    terms = (
        math.exp(_log_choose(hits, k) + _log_choose(total - hits, n1 - k) - whole)
        for k in range(max(0, hits - n0), k1 + 1)
    )
    return min(1.0, sum(terms))


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
