"""When the next wave of a campaign opens, and what stops it: from what the stations report.

No report is no answer, no answer opens nothing, and silence that lasts is a failure. Shares are of
the stations that there should be, never of those that were heard. What is measured is added up
before it is compared: a mean of many small shares hides a loss.

What both models find comes from two places. Parts that both judged on the line are other ones at
each station, so all stations are added. Golden images are the same ones everywhere, so they count
once, as the station with the largest loss saw them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_high
from typing import Union

from edge_daemon.core.fleet.campaign import Campaign
from edge_daemon.core.fleet.heard import Heard
from edge_daemon.core.fleet.report import Measures, Phase, SliceCounts
from edge_daemon.core.fleet.waves import members
from edge_daemon.core.rollout.betting import Counts, is_below, log_e, total
from edge_daemon.core.wording import listed

FAILED = (Phase.REFUSED, Phase.ROLLED_BACK)
SETTLED = (Phase.CONFIRMED, *FAILED, Phase.HELD, Phase.EXCLUDED)
LEAST_FAILED = 2  # one station that fails may be that station
LEAST_FRAMES = 1000  # before a share of frames without a verdict is looked at


@dataclass(frozen=True)
class CampaignReport:
    """The newest report of one station about this campaign.

    Args:
        quiet_s: since it came, by the clock of whoever judges.
        group: what the station's own settings call its group.
    """

    phase: Phase | None
    quiet_s: float = 0.0
    measures: Measures = Measures()
    is_stopped: bool = False
    goes_back: bool = False
    group: str | None = None

    @property
    def is_settled(self) -> bool:
        return self.phase in SETTLED


@dataclass(frozen=True)
class Open:
    """The next wave opens; `because` is what is known, as plain values."""

    wave: int
    because: Mapping[str, object]


@dataclass(frozen=True)
class Halt:
    """The campaign stops."""

    why: str
    goes_back: bool


@dataclass(frozen=True)
class Wait:
    """Nothing is to be done now; `is_done`: nor later."""

    why: str
    is_done: bool = False


Verdict = Union[Open, Halt, Wait]


@dataclass(frozen=True)
class Roster:
    """The stations that there should be, by wave."""

    campaign: Campaign
    waves: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, campaign: Campaign, inventory: Sequence[str]) -> Roster:
        return cls(campaign, members(campaign, inventory))

    def up_to(self, wave: int) -> tuple[str, ...]:
        """The stations of this wave and of those before."""
        return tuple(name for each in self.waves[: wave + 1] for name in each)


def judge(  # noqa: PLR0911 - the first that holds
    roster: Roster, words: Mapping[str, CampaignReport], heard: Heard, now_utc: float
) -> Verdict:
    """What is to be done now; the same for the same reports, in whatever order they came."""
    campaign = roster.campaign
    if heard.is_stopped:
        return Wait(f"stopped: {heard.why}", is_done=True)
    stopped = [word for word in words.values() if word.is_stopped]
    if stopped:  # the broker forgot it, and the stations did not
        goes_back = any(word.goes_back for word in stopped)
        return Halt("stations heard a stop that the broker no longer has", goes_back)
    if not campaign.not_before <= now_utc < campaign.expires:
        return Wait("it has not begun, or has expired", is_done=now_utc >= campaign.expires)
    wave = heard.open_wave(campaign, now_utc)
    clash = next(_clashes(roster, words, wave + 1), None)
    if wave < 0:
        if heard.paused_by or clash:
            return Wait(clash or _paused(heard))
        return Open(0, {"answered": 0, "of": 0})
    stations = roster.up_to(wave)
    why = next(_stops(campaign, stations, words), None)
    if why is not None:
        return Halt(why, campaign.rules.goes_back)
    missing = next(_missing(campaign, stations, words), None)
    if missing is not None:
        return Wait(missing)
    if wave == len(campaign.waves) - 1:
        return Wait("all waves are open and accounted for", is_done=True)
    if heard.paused_by:
        return Wait(_paused(heard))
    if now_utc < campaign.earliest(wave + 1):
        return Wait(f"wave {wave} is looked at for {campaign.earliest(wave + 1) - now_utc:.0f} s")
    return Wait(clash) if clash else Open(wave + 1, _because(stations, words))


def _clashes(roster: Roster, words: Mapping[str, CampaignReport], wave: int) -> Iterator[str]:
    """Stations of one group that would change at the same time, by their own settings."""
    groups: dict[str, list[str]] = {}
    for name in roster.waves[wave] if wave < len(roster.waves) else ():
        group = words[name].group if name in words else None
        if group is not None:
            groups.setdefault(group, []).append(name)
    for group, names in sorted(groups.items()):
        if len(names) > 1:
            yield (
                f"wave {wave} has {len(names)} stations of the group {group}: {listed(names)}; "
                "name the group in a campaign with a larger serial (fleet campaign --groups)"
            )


def _paused(heard: Heard) -> str:
    return f"paused by {', '.join(heard.paused_by)}"


# --------------------------------------------------------------------------- stops


def _stops(
    campaign: Campaign, stations: Sequence[str], words: Mapping[str, CampaignReport]
) -> Iterator[str]:
    rules, of = campaign.rules, len(stations)
    failed = [name for name in stations if name in words and words[name].phase in FAILED]
    if len(failed) >= LEAST_FAILED and len(failed) > rules.failed * of:
        yield f"{len(failed)} of {of} stations refused it or went back: {listed(failed)}"
    silent = silent_ones(campaign, stations, words)
    if len(silent) > allowed_silent(campaign, of):
        yield f"{len(silent)} of {of} stations are silent: {listed(silent)}"
    if failed and len(silent) + len(failed) > allowed_silent(campaign, of) + rules.failed * of:
        both = sorted({*failed, *silent})
        if len(both) >= LEAST_FAILED + 1:
            yield f"{len(both)} of {of} stations failed or are silent: {listed(both)}"
    judged = [words[name].measures for name in stations if name in words]
    frames, without = sum(m.frames for m in judged), sum(m.uninspected for m in judged)
    if rules.uninspected is not None and frames >= LEAST_FRAMES:
        share = without / frames
        if share > rules.uninspected:
            yield f"{100 * share:.1f} % of {frames} frames have no verdict"
    slower = [each.slower for each in judged if each.slower is not None]
    if rules.slower is not None and slower and (slow := median_high(slower)) > rules.slower:
        yield f"judging takes {slow:.2f} times as long as before"
    limit = math.log(max(1, len(rules.slices)) / rules.alpha_stop)
    for name in rules.slices:
        counts = counts_of(name, judged, for_stop=True)
        if log_e([counts]) >= limit:
            points = 100.0 * (counts.plus - counts.minus) / counts.units
            yield f"recall[{name}] is {points:.1f} points lower on {counts.units} objects"


def silent_ones(
    campaign: Campaign, stations: Sequence[str], words: Mapping[str, CampaignReport]
) -> tuple[str, ...]:
    """Those that said nothing for longer than the campaign's patience, and had not answered."""
    patience = campaign.rules.patience_s
    return tuple(
        name
        for name in stations
        if name in words and not words[name].is_settled and words[name].quiet_s > patience
    )


def allowed_silent(campaign: Campaign, of: int) -> int:
    """So many may be silent: one always."""
    return max(1, math.floor(campaign.rules.silent * of))


def counts_of(name: str, judged: Sequence[Measures], *, for_stop: bool) -> Counts:
    """The objects of a slice, over all stations.

    A report tells how many each model found, not on which they differ. So the two are taken to
    differ as often as these numbers allow, which makes every conclusion slower and none wrong.
    A part that only one of them rejects and nobody looked at counts for the new model where a stop
    is asked for, and against it where the next wave is. A report that cannot be is left out.
    """

    def told(where: Sequence[SliceCounts]) -> list[Counts]:
        found = (_counted(each[name], for_stop=for_stop) for each in where if name in each)
        return [counts for counts in found if counts.units]

    golden = told([each.golden for each in judged])
    worst = max(golden, key=lambda each: (each.plus - each.minus, each.units), default=Counts())
    return total((*told([each.counts for each in judged]), worst))


def _counted(counts: Mapping[str, int], *, for_stop: bool) -> Counts:
    n, old, new = counts["n"], counts["old"], counts["new"]
    only_old, only_new = counts.get("only_old", 0), counts.get("only_new", 0)
    if not (0 <= old <= n and 0 <= new <= n and only_old >= 0 and only_new >= 0):
        return Counts()
    both = max(0, old + new - n)
    known = Counts(old - both, n - old - new + 2 * both, new - both)
    return known + (Counts(minus=only_new) if for_stop else Counts(plus=only_old))


# --------------------------------------------------------------------------- what is missing


def _missing(
    campaign: Campaign, stations: Sequence[str], words: Mapping[str, CampaignReport]
) -> Iterator[str]:
    """What must be known before the next wave."""
    if not stations:
        yield "no station is in it; name canaries"
    silent = set(silent_ones(campaign, stations, words))
    pending = [
        name
        for name in stations
        if name not in silent and not (name in words and words[name].is_settled)
    ]
    if pending:
        yield f"{len(pending)} of {len(stations)} stations have not answered: {listed(pending)}"
    heard = [words[name] for name in stations if name in words]
    if not any(word.phase is Phase.CONFIRMED for word in heard):
        yield "no station has confirmed it"
    rules, judged = campaign.rules, [word.measures for word in heard]
    frames = sum(each.frames for each in judged)
    if rules.uninspected is not None and frames < LEAST_FRAMES:
        yield (
            f"stations told of {frames} frames so far, and {LEAST_FRAMES} are needed to tell how "
            "many have no verdict"
        )
    if rules.slower is not None and all(each.slower is None for each in judged):
        yield "no station told how long judging takes"
    for name, margin in rules.slices.items():
        counts = counts_of(name, judged, for_stop=False)
        if not counts.units:
            yield f"no station told what both models find in {name}"
        elif not is_below(counts, margin, rules.alpha_advance / len(rules.slices)):
            yield f"recall[{name}] is not known well enough after {counts.units} objects"


def _because(stations: Sequence[str], words: Mapping[str, CampaignReport]) -> dict[str, object]:
    judged = [words[name] for name in stations if name in words]
    told = [word.measures.counts for word in judged]
    return {
        "answered": sum(word.is_settled for word in judged),
        "of": len(stations),
        "bad": sum(word.phase in FAILED for word in judged),
        "slices": {
            name: {
                key: sum(each[name][key] for each in told if name in each)
                for key in ("n", "old", "new")
            }
            for name in sorted({name for each in told for name in each})
        },
    }
