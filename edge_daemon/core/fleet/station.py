"""What a station does about a campaign: nobody commands it, it asks itself for a swap in its time.

`accept` and `hear` take what arrives, `step` looks at the station and the clock. A stop, a hold at
the station, and whatever people ask for there come before the campaign.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from edge_daemon.core.desired import Answer
from edge_daemon.core.fleet import heard as messages
from edge_daemon.core.fleet.campaign import Campaign, digest
from edge_daemon.core.fleet.heard import Heard, Opened, Paused, Stopped
from edge_daemon.core.fleet.report import CampaignStatus, Phase
from edge_daemon.core.fleet.waves import wave_of
from edge_daemon.core.values import BundleRef, Status
from edge_daemon.core.verbs import Verb
from edge_daemon.core.wording import duration

MOST_HEARD = 64  # campaigns whose messages are kept; the station's own is always one of them
MOST_TRIES = 5
EXPIRED = "it has expired, by this station's clock"
BETWEEN_ORDERS = "between_orders"
ABORT = "-abort"  # what the id of an abort ends with, after that of the rollout


@dataclass(frozen=True)
class Memory:
    """What must survive a restart.

    Args:
        campaign: the one with the largest serial that was ever accepted.
        heard: by the campaign's id.
        asked: how often the swap was asked for.
        had: whether the campaign's bundle was selected here since it was asked for.
        from_sha256: what judged when it was first asked for.
        back: whether the way back was asked for.
    """

    campaign: Campaign | None = None
    heard: Mapping[str, Heard] = field(default_factory=dict)
    asked: int = 0
    had: bool = False
    from_sha256: str | None = None
    back: bool = False

    @property
    def heard_of_campaign(self) -> Heard:
        return self.heard.get(self.campaign.id, Heard()) if self.campaign else Heard()


@dataclass(frozen=True)
class Station:
    """The station as a campaign's bundle sees it.

    Args:
        selected: the version of the bundle's name that orders use, and its digest.
        stored: the digest of the campaign's bundle in the store; None: it is not there.
        fetching: what keeps the bundle from being fetched; empty: nothing.
        refused: why the bundle that was fetched was not taken into the store; empty: it was.
        bad: why that bundle may not become active here; empty: it may.
        is_for_now: whether a swap of this name would change what judges now.
        is_busy: whether another request is being carried out.
        rollout: the id of the rollout that we asked for, while it runs.
        in_window: whether the station's and the campaign's windows are open.
        is_fresh: whether somebody said lately that the campaigns are the current ones.
        not_current: why the fleet's metadata does not say that the campaign is current; empty: it
            does, or is not asked here.
        answers: of our swap and of our way back, by their ids.
    """

    device: str
    selected: BundleRef | None = None
    selected_sha256: str | None = None
    stored: str | None = None
    fetching: str = ""
    refused: str = ""
    bad: str = ""
    is_for_now: bool = True
    is_on_trial: bool = False
    is_held: bool = False
    is_busy: bool = False
    rollout: str = ""
    in_window: bool = True
    is_fresh: bool = True
    answers: Mapping[str, Answer] = field(default_factory=dict)
    not_current: str = ""


@dataclass(frozen=True)
class Ask:
    """A request to make."""

    id: str
    verb: Verb
    model: BundleRef
    reason: str
    rollout: str = ""  # which one to abort


@dataclass(frozen=True)
class Step:
    """What to remember before anything is asked, what to ask, and how the station stands."""

    memory: Memory
    ask: Ask | None = None
    campaign_status: CampaignStatus | None = None


def accept(memory: Memory, campaign: Campaign, now_utc: float) -> tuple[Memory, str]:
    """The memory with a campaign whose signatures are good, and why it is refused, or ``."""
    known = memory.campaign
    if known is not None:
        if campaign.serial < known.serial:
            return memory, f"it is old: {known.id} has serial {known.serial}"
        if campaign.serial == known.serial:
            is_same = digest(campaign) == digest(known)
            return memory, "" if is_same else f"{known.id} has the same serial {known.serial}"
        if campaign.id == known.id:
            return memory, f"the id {known.id} was used for serial {known.serial}"
    if campaign.expires <= now_utc:
        return memory, EXPIRED
    return Memory(campaign, memory.heard), ""


def hear(memory: Memory, message: Opened | Paused | Stopped) -> Memory:
    """The memory after a message of any campaign; of too many, the one heard of longest ago goes.

    Messages may come before their campaign does, and those of old campaigns come again with each
    connection.
    """
    ours = memory.campaign.id if memory.campaign is not None else None
    heard = {**memory.heard}
    heard[message.campaign] = messages.hear(heard.pop(message.campaign, Heard()), message)
    if len(heard) > MOST_HEARD:
        del heard[next(each for each in heard if each != ours)]
    return replace(memory, heard=heard)


def request_ids(memory: Memory) -> tuple[str, ...]:
    """The ids of our requests whose answers `step` looks at."""
    if memory.campaign is None or not memory.asked:
        return ()
    swap = _id(memory.campaign, memory)
    return (swap, _back_id(memory.campaign), f"{swap}{ABORT}")


def step(memory: Memory, station: Station, now_utc: float) -> Step:
    """One look."""
    campaign = memory.campaign
    if campaign is None:
        return Step(memory)
    heard, wave = memory.heard_of_campaign, wave_of(campaign, station.device)
    answer = station.answers.get(_id(campaign, memory)) if memory.asked else None
    if _has_it(campaign, station) or (answer and answer.status is Status.SUCCEEDED):
        memory = replace(memory, had=True)
    phase, why = _settled(campaign, memory, station, answer)
    ask = None
    if phase is Phase.TRIAL and station.rollout:
        ask = _abort(campaign, memory, station)
    elif phase is Phase.CONFIRMED or phase is Phase.TRIAL:
        memory, ask = _way_back(campaign, memory, station)
    elif phase is None:
        phase, why = _waits_for(campaign, heard, station, wave, now_utc)
        if phase is None:
            memory, ask = _ask(campaign, memory, station)
            phase, why = Phase.WAITING, f"the {ask.verb.value} is asked for"
    status = CampaignStatus(
        campaign.id,
        campaign.serial,
        phase,
        heard.open_wave(campaign, now_utc),
        heard.is_stopped,
        wave,
        memory.from_sha256,
        why or None,
        goes_back=heard.goes_back,
    )
    return Step(memory, ask, status)


def _has_it(campaign: Campaign, station: Station) -> bool:
    return station.selected == campaign.model and station.selected_sha256 == campaign.sha256


def _settled(  # noqa: PLR0911 - the first that holds
    campaign: Campaign, memory: Memory, station: Station, answer: Answer | None
) -> tuple[Phase | None, str]:
    """How far it is, where that is decided already; None: it is still to be asked for."""
    if _has_it(campaign, station):
        return (Phase.TRIAL, "") if station.is_on_trial else (Phase.CONFIRMED, "")
    if memory.had:
        why = memory.heard_of_campaign.why if memory.back else ""
        return Phase.ROLLED_BACK, why or station.bad or "another version was asked for here"
    if station.bad:
        return Phase.REFUSED, station.bad
    if answer is None or answer.status is Status.INTERRUPTED:
        if memory.asked >= MOST_TRIES and answer is not None:
            return Phase.REFUSED, f"interrupted {MOST_TRIES} times"
        return None, ""
    if answer.status is None:
        is_swap = campaign.rollout is None
        return Phase.TRIAL, "it is loaded and checked" if is_swap else "its rollout is under way"
    if answer.status is Status.SUPERSEDED:
        return Phase.HELD, "another request came before it"
    return Phase.REFUSED, answer.why or answer.status.value


def _waits_for(  # noqa: PLR0911 - the first that holds
    campaign: Campaign, heard: Heard, station: Station, wave: int | None, now_utc: float
) -> tuple[Phase | None, str]:
    """Why it is not asked for yet; no phase: nothing is in the way."""
    excluded = _left_out(campaign, station, wave)
    if excluded:
        return Phase.EXCLUDED, excluded
    assert wave is not None
    if station.stored is None:
        if station.refused:
            return Phase.REFUSED, station.refused
        if heard.is_stopped:  # it is fetched no more
            return Phase.FETCHING, f"stopped: {heard.why}"
        return Phase.FETCHING, station.fetching or f"{campaign.model} is not in the store"
    if station.stored != campaign.sha256:
        return Phase.REFUSED, f"the {campaign.model} in the store has another digest"
    if heard.is_stopped:
        return Phase.HAVE, f"stopped: {heard.why}"
    if now_utc >= campaign.expires:
        return Phase.HAVE, EXPIRED
    if now_utc < campaign.not_before:
        later_s = campaign.not_before - now_utc
        return Phase.HAVE, f"it begins in {duration(later_s)}, by this station's clock"
    if heard.open_wave(campaign, now_utc) < wave:
        return Phase.HAVE, f"wave {wave} is not open"
    if station.is_held:
        return Phase.HELD, "the station is held"
    for is_so, why in (
        (bool(heard.paused_by), f"paused by {', '.join(heard.paused_by)}"),
        (not station.is_fresh, "nobody said lately which campaigns are current"),
        (bool(station.not_current), station.not_current),
        (not station.in_window, "its window is not open"),
        (not station.is_for_now, "the line makes something else"),
        (station.is_busy, "another request is being carried out"),
    ):
        if is_so:
            return Phase.WAITING, why
    return None, ""


def _left_out(campaign: Campaign, station: Station, wave: int | None) -> str:
    if wave is None:
        return "no wave reaches it"
    if station.selected is None:
        return f"no {campaign.model.name} is used here"
    wanted = campaign.from_sha256
    if wanted and station.selected_sha256 not in wanted:
        return f"{station.selected} is none of those that the campaign replaces"
    return ""


def _ask(campaign: Campaign, memory: Memory, station: Station) -> tuple[Memory, Ask]:
    """The swap: under the id that it had if that one never arrived, else a new try."""
    arrived = memory.asked and _id(campaign, memory) in station.answers
    tries = memory.asked + 1 if arrived or not memory.asked else memory.asked
    after = replace(memory, asked=tries, from_sha256=memory.from_sha256 or station.selected_sha256)
    verb = Verb.SWAP if campaign.rollout is None else Verb.ROLLOUT
    return after, Ask(_id(campaign, after), verb, campaign.model, f"campaign {campaign.id}")


def _abort(campaign: Campaign, memory: Memory, station: Station) -> Ask | None:
    """A rollout does not go on after the stop of its campaign, whether others go back or not."""
    heard, id_ = memory.heard_of_campaign, f"{_id(campaign, memory)}{ABORT}"
    if not heard.is_stopped or id_ in station.answers:
        return None
    return Ask(id_, Verb.ABORT, campaign.model, _why_stopped(campaign, heard), station.rollout)


def _way_back(campaign: Campaign, memory: Memory, station: Station) -> tuple[Memory, Ask | None]:
    """Only what this campaign brought goes back, once, and never at a station that is held."""
    heard, id_ = memory.heard_of_campaign, _back_id(campaign)
    is_wanted = heard.goes_back and memory.asked and id_ not in station.answers
    if not is_wanted or station.is_held or station.is_busy or not station.is_for_now:
        return memory, None
    reason = _why_stopped(campaign, heard)
    return replace(memory, back=True), Ask(id_, Verb.ROLLBACK, campaign.model, reason)


def _why_stopped(campaign: Campaign, heard: Heard) -> str:
    return f"campaign {campaign.id} was stopped: {heard.why}"[:200]


def _id(campaign: Campaign, memory: Memory) -> str:
    return f"fleet-{campaign.id}-{campaign.serial}-{memory.asked}"


def _back_id(campaign: Campaign) -> str:
    return f"fleet-{campaign.id}-{campaign.serial}-back"


# --------------------------------------------------------------------------- fetching


def open_campaign(memory: Memory, now_utc: float) -> Campaign | None:
    """The campaign, if its bundle may still be asked for: neither stopped nor expired."""
    campaign = memory.campaign
    is_over = campaign is None or now_utc >= campaign.expires
    return None if is_over or memory.heard_of_campaign.is_stopped else campaign


def to_fetch(memory: Memory, device: str, now_utc: float) -> Campaign | None:
    """The campaign whose bundle this station fetches now, or gives to others once it has it.

    Early, so that a wave that opens is one swap; where the campaign says so, with its own wave.
    """
    campaign = open_campaign(memory, now_utc)
    if campaign is None or (wave := wave_of(campaign, device)) is None:
        return None
    opened = memory.heard_of_campaign.open_wave(campaign, now_utc)
    return campaign if campaign.fetches_early or opened >= wave else None


# --------------------------------------------------------------------------- windows


def is_open(windows: tuple[str, ...], minute: int, *, is_between_orders: bool) -> bool:
    """Whether one of the windows is open at this minute of the local day; none: always."""
    if not windows:
        return True
    return any(
        is_between_orders if window == BETWEEN_ORDERS else _holds(window, minute)
        for window in windows
    )


def _holds(window: str, minute: int) -> bool:
    start, end = (60 * int(clock[:2]) + int(clock[3:]) for clock in window.split("-"))
    if start <= end:
        return start <= minute < end
    return minute >= start or minute < end  # over midnight
