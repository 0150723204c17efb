"""What was heard of campaigns: messages may come in any order, twice, late, or from yesterday.

Everything here only grows: waves that were opened, stops, and for each who may pause the newest
word. So two stations that heard the same messages know the same, whatever came when.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edge_daemon.core.fleet.campaign import MOST_WAVES, Campaign

PAUSERS = ("ops", "evaluator", "andon")  # who may pause a campaign, and end their own pause
MOST_WHY = 300  # characters
MOST_STOPS = 16  # who stopped it is kept of so many; that it is stopped, of any


@dataclass(frozen=True)
class Opened:
    """`fleet/<id>/open/<wave>`."""

    campaign: str
    wave: int


@dataclass(frozen=True)
class Paused:
    """`fleet/<id>/pause/<who>`; `at` is the sender's time, and the newest word of one counts."""

    campaign: str
    who: str
    at: float
    is_on: bool = True


@dataclass(frozen=True)
class Stopped:
    """`fleet/<id>/stop/<who>`."""

    campaign: str
    who: str
    why: str = ""
    goes_back: bool = False


@dataclass(frozen=True)
class Heard:
    """All that was heard of one campaign.

    `stops`: who -> why, the first in the alphabet where one says two things.
    """

    opened: frozenset[int] = frozenset()
    pauses: Mapping[str, tuple[float, bool]] = field(default_factory=dict)
    stops: Mapping[str, str] = field(default_factory=dict)
    goes_back: bool = False

    @property
    def is_stopped(self) -> bool:
        return bool(self.stops)

    @property
    def why(self) -> str:
        """Why it was stopped."""
        return "; ".join(f"{who}: {why}" for who, why in sorted(self.stops.items()))

    @property
    def paused_by(self) -> tuple[str, ...]:
        return tuple(sorted(who for who, (_, is_on) in self.pauses.items() if is_on))

    def open_wave(self, campaign: Campaign, now_utc: float) -> int:
        """The highest wave that is open now; -1: none. One that comes early opens in its time."""
        if not campaign.not_before <= now_utc < campaign.expires:
            return -1
        known = range(len(campaign.waves))
        return max(
            (k for k in self.opened if k in known and now_utc >= campaign.earliest(k)), default=-1
        )


def hear(heard: Heard, message: Opened | Paused | Stopped) -> Heard:
    """What is known after this message too."""
    if isinstance(message, Opened):
        if not 0 <= message.wave < MOST_WAVES:
            return heard
        return replace(heard, opened=heard.opened | {message.wave})
    if isinstance(message, Paused):
        if message.who not in PAUSERS:
            return heard
        said = (message.at, message.is_on)
        newest = max(said, heard.pauses.get(message.who, said))
        return replace(heard, pauses={**heard.pauses, message.who: newest})
    why = message.why[:MOST_WHY]
    stops = {**heard.stops, message.who: min(why, heard.stops.get(message.who, why))}
    kept = dict(sorted(stops.items())[:MOST_STOPS])
    return replace(heard, stops=kept, goes_back=heard.goes_back or message.goes_back)
