"""A drawn production line whose parts are known, a model that errs, and what labels say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random

from edge_daemon.core.collecting.choice import Choice
from edge_daemon.core.collecting.estimate import Interval, Sampled, quality
from edge_daemon.core.collecting.reasons import Why
from edge_daemon.demo.conveyor import Belt, Conveyor

SCENE = "bottle"
MISSED: Mapping[str, float] = {"scratch_straight": 0.04, "scratch_curved": 0.12, "dent": 0.25}
"""Share of the defects of each kind that the model misses."""
FALSE_REJECTS = 0.01
NEAR_IF_MISSED = 0.6
NEAR_IF_GOOD = 0.03
"""Share of such parts on which it finds something that just does not count."""
SHARES: Mapping[Why, float] = {Why.NG: 0.8, Why.NEAR_THRESHOLD: 0.2, Why.AUDIT: 0.03}


@dataclass(frozen=True)
class Run:
    """One line for some time: the truth, and the estimates with their intervals."""

    recall: float
    precision: float
    recall_told: Interval | None
    precision_told: Interval | None
    labelled: int

    @property
    def is_recall_covered(self) -> bool:
        return self.recall_told is not None and self.recall_told.holds(self.recall)

    @property
    def is_precision_covered(self) -> bool:
        return self.precision_told is not None and self.precision_told.holds(self.precision)


def run(seed: int, parts: int, defects: float, labelled: float = 1.0) -> Run:
    """`labelled`: the share of the pictures that somebody looks at, whatever they show."""
    conveyor = Conveyor(seed=seed, belt=Belt(defects=defects, empty=0.0))
    random, choice = Random(seed), Choice(f"run{seed}", SHARES)
    sample: list[Sampled] = []
    bad = hits = rejected = 0
    for number in range(parts):
        flaws = conveyor.flaws(number, SCENE)
        is_bad = bool(flaws)
        found = any(random.random() >= MISSED[kind] for kind in flaws)
        is_rejected = found if is_bad else random.random() < FALSE_REJECTS
        bad, hits, rejected = bad + is_bad, hits + found, rejected + is_rejected
        near = random.random() < (NEAR_IF_MISSED if is_bad else NEAR_IF_GOOD)
        reasons = {Why.AUDIT}
        if is_rejected:
            reasons.add(Why.NG)
        elif near:
            reasons.add(Why.NEAR_THRESHOLD)
        chosen = choice.see(str(number), reasons)
        if chosen is not None:
            truth = is_bad if random.random() < labelled else None
            sample.append(Sampled(is_rejected, chosen.inclusion.probability, truth))
    told = quality(sample)
    return Run(
        hits / bad if bad else 1.0,
        hits / rejected if rejected else 1.0,
        told.recall,
        told.precision,
        told.labelled,
    )
