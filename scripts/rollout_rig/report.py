"""The promises of a rollout's evidence, each with what was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_daemon.core.rollout.plan import read_plan
from edge_daemon.core.rollout.reading import limits
from rollout_rig.controls import frames_as_units, mean_of_ratios, peeked_mcnemar
from rollout_rig.walks import (
    BATCH,
    Chances,
    Stops,
    false_rejects,
    log_capitals,
    missed,
    promoted,
    promoted_after,
)

SLICES = 8
PLAN = read_plan(
    {"slices": {f"slice_{n}": {"brightness_below": 10.0 * (n + 1)} for n in range(SLICES)}}
)
MISSED, REJECTS = (log10 * math.log(10) for log10 in limits(PLAN))
EQUAL = Chances(0.02, 0.02)
NOISY = Chances(0.05, 0.05)
NEAR = Chances(0.01, 0.01)
LOSSES = (
    (50, Chances(0.5, 0.0), 50),
    (20, Chances(0.21, 0.01), 170),
    (7, Chances(0.08, 0.01), 640),
)
PARTS = 3000
"""Bad parts of each slice: two days at 500 an hour in all."""


@dataclass(frozen=True)
class Line:
    """One promise."""

    what: str
    promised: str
    measured: str
    is_kept: bool


def promises(n: int, seed: int, parts: int = PARTS) -> Iterator[Line]:
    """All of them, each over `n` rollouts; of `parts` bad parts a slice where nothing stops."""
    rng = np.random.default_rng(seed)
    yield from _false_stops(n, parts, rng)
    yield from _stops(n, rng)
    yield from _promotions(n, parts, rng)
    yield from _controls(n, parts, rng)


def _false_stops(n: int, parts: int, rng: Any) -> Iterator[Line]:
    for name, chances in (("differ in 4 of 100", EQUAL), ("differ in 10 of 100", NOISY)):
        stops = missed([chances] * SLICES, parts, MISSED, n, rng)
        what = f"false stops, equal models that {name} bad parts"
        yield _at_most(what, int((stops.at >= 0).sum()), n, 1e-3)
    stopped = np.zeros(n, bool)
    for left in range(0, n, BATCH):
        runs = min(BATCH, n - left)
        for _ in range(SLICES + 1):
            counts = false_rejects(Chances(0.03, 0.01), 600, runs, rng)
            crossed = log_capitals(*counts, PLAN.false_reject_margin) >= REJECTS
            stopped[left : left + runs] |= crossed.any(axis=1)
    what = "false stops, false rejects just at the margin"
    yield _at_most(what, int(stopped.sum()), n, 1e-3)


def _stops(n: int, rng: Any) -> Iterator[Line]:
    for points, chances, promised in LOSSES:
        slices = [chances] + [NEAR] * (SLICES - 1)
        stops = missed(slices, 12 * promised * SLICES // 5, MISSED, n, rng)
        what = f"bad parts until a loss of {points} points in one slice stops"
        yield _p95(what, stops, stops.parts, promised)
        if points == 7:
            yield _p95("labels of that slice until then", stops, stops.labels, 50)
            median, p95 = np.quantile(stops.asked[stops.at >= 0], (0.5, 0.95))
            yield Line("labels of all slices until then", "-", f"{median:.0f} / {p95:.0f}", True)


def _promotions(n: int, parts: int, rng: Any) -> Iterator[Line]:
    for what, chances, margin in (
        ("promoted although 7 points worse, margin 5", Chances(0.08, 0.01), 0.05),
        ("promoted although 7 points worse, margin 3", Chances(0.08, 0.01), 0.03),
        ("promoted exactly at the margin of 5", Chances(0.06, 0.01), 0.05),
    ):
        found = promoted(chances, margin, PLAN.alpha_advance, parts, n, rng)
        yield _at_most(what, found, n, 1e-2)
    for margin in (0.03, 0.05, 0.1, 0.2):
        after = promoted_after(EQUAL, margin, PLAN.alpha_advance, 6000, min(n, BATCH), rng)
        median, p95 = np.quantile(after, (0.5, 0.95))
        what = f"bad parts until an equal model is promoted, margin {100 * margin:.0f}"
        yield Line(what, "-", f"{median:.0f} / {p95:.0f}", True)


def _controls(n: int, parts: int, rng: Any) -> Iterator[Line]:
    n = min(n, 2 * BATCH)
    stopped = frames_as_units(EQUAL, 200, PLAN.alpha_stop, n, rng)
    yield _fails("must fail: 15 frames of a part as units, equal stopped", stopped, n, 0.05)
    stopped = peeked_mcnemar(EQUAL, parts, PLAN.alpha_stop, 5 * n, rng)
    yield _fails("must fail: McNemar looked at each time, equal stopped", stopped, 5 * n, 0.003)
    slices = [Chances(0.08, 0.01)] + [NEAR] * (SLICES - 1)
    passed = mean_of_ratios(slices, 500, n, rng)
    yield _fails("must fail: mean of ratios, 7 points in one slice passed", passed, n, 0.5)


def _at_most(what: str, found: int, n: int, chance: float) -> Line:
    """Kept unless so many would come less than once in 1,000 times by chance alone."""
    allowed = n * chance
    most = allowed + 3.1 * math.sqrt(allowed) + 1
    return Line(what, f"<= {chance:g}", f"{found / n:.2g} ({found} of {n})", found <= most)


def _p95(what: str, stops: Stops, values: Any, promised: float) -> Line:
    stopped = stops.at >= 0
    if not stopped.any():
        return Line(what, f"p95 <= {promised}", "none stopped", False)
    late = np.where(stopped, values, 10**9)
    median, p95 = np.quantile(late, (0.5, 0.95))
    measured = f"median {median:.0f}, p95 {p95:.0f}"
    return Line(what, f"p95 <= {promised}", measured, bool(p95 <= promised))


def _fails(what: str, found: int, n: int, least: float) -> Line:
    return Line(what, f">= {least:g}", f"{found / n:.2g} ({found} of {n})", found / n >= least)
