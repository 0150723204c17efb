"""Whole campaigns with drawn stations: what the rules would have done, before they must.

The stations of an open wave answer within one step, and tell more objects with each step. Nothing
here knows what the rules look at, and nothing of it runs on a station.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_daemon.core.fleet.campaign import Campaign
from edge_daemon.core.fleet.heard import Heard, Opened, Stopped, hear
from edge_daemon.core.fleet.report import Measures, Phase
from edge_daemon.core.fleet.rules import CampaignReport, Halt, Open, Roster, judge

MOST_STEPS = 400
MOST_OBJECTS = 500
"""Of one slice in one step, however many stations there are."""


@dataclass(frozen=True)
class Truth:
    """What the new model is really like.

    Args:
        failing: share of the stations that go back from it.
        silent: share of the stations that never answer.
        only_old, only_new: of the objects of a slice, what only one of the two models finds.
        objects: of each slice, by one station in one step.
    """

    failing: float = 0.0
    silent: float = 0.0
    only_old: float = 0.02
    only_new: float = 0.02
    objects: int = 5


@dataclass
class Outcome:
    """How one campaign went: the highest wave that was open, how many stations had the model."""

    opened: int = -1
    stopped: str = ""
    had: int = 0
    is_done: bool = False
    counts: dict[str, dict[str, int]] = field(default_factory=dict)


def run(
    campaign: Campaign, inventory: tuple[str, ...], truth: Truth, chance: random.Random
) -> Outcome:
    """One campaign from its start to its end, or until nothing more comes of it."""
    roster, heard, outcome = Roster.of(campaign, inventory), Heard(), Outcome()
    phases: dict[str, Phase | None] = {}
    now, step_s = campaign.not_before, _step_s(campaign)
    for _ in range(MOST_STEPS):
        for name in roster.up_to(heard.open_wave(campaign, now)):
            if name not in phases:
                phases[name] = _answer(truth, chance)
                outcome.had += 1
        _see_objects(
            campaign, sum(p is Phase.CONFIRMED for p in phases.values()), truth, chance, outcome
        )
        verdict = judge(roster, _words(phases, outcome, now - campaign.not_before), heard, now)
        if isinstance(verdict, Open):
            heard = hear(heard, Opened(campaign.id, verdict.wave))
            outcome.opened = verdict.wave
        elif isinstance(verdict, Halt):
            outcome.stopped = verdict.why
            heard = hear(heard, Stopped(campaign.id, "evaluator", verdict.why))
        elif verdict.is_done:
            outcome.is_done = not outcome.stopped
            break
        now += step_s
    return outcome


def _step_s(campaign: Campaign) -> float:
    """So that the soaking of all waves and the patience are a part of the steps."""
    needed = sum(campaign.soak_s) + 2 * campaign.rules.patience_s
    return min(needed / (MOST_STEPS / 4), (campaign.expires - campaign.not_before) / MOST_STEPS)


def _answer(truth: Truth, chance: random.Random) -> Phase | None:
    drawn = chance.random()
    if drawn < truth.silent:
        return None
    return Phase.ROLLED_BACK if drawn < truth.silent + truth.failing else Phase.CONFIRMED


def _see_objects(
    campaign: Campaign, stations: int, truth: Truth, chance: random.Random, outcome: Outcome
) -> None:
    for name in campaign.rules.slices if stations else ():
        counts = outcome.counts.setdefault(name, {"n": 0, "old": 0, "new": 0})
        for _ in range(min(truth.objects * stations, MOST_OBJECTS)):
            drawn = chance.random()
            counts["n"] += 1
            counts["old"] += drawn >= truth.only_new
            counts["new"] += drawn < truth.only_new or drawn >= truth.only_new + truth.only_old


def _words(
    phases: Mapping[str, Phase | None], outcome: Outcome, since_s: float
) -> dict[str, CampaignReport]:
    words = {
        name: CampaignReport(phase, quiet_s=since_s if phase is None else 0.0)
        for name, phase in phases.items()
    }
    # The sum is what is looked at, whoever says it.
    first = next((name for name, phase in phases.items() if phase is Phase.CONFIRMED), None)
    if first is not None:
        words[first] = CampaignReport(Phase.CONFIRMED, measures=Measures(outcome.counts))
    return words
