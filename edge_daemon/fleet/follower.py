"""This station follows campaigns: what it hears becomes ordinary requests, asked in its own time.

A thread of its own takes messages and looks once a second; `core.fleet.station` decides. What was
heard is on disk before the broker is told that it came, and before anything is asked. Nothing here
touches a frame: the request goes through the door that people's requests go through.
"""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

import structlog

from edge_daemon.config import FleetSettings
from edge_daemon.control.desired_state import answer_of
from edge_daemon.core.desired import Answer, situation_of
from edge_daemon.core.fleet import station
from edge_daemon.core.fleet.campaign import Campaign, digest
from edge_daemon.core.fleet.report import CampaignStatus, Measures, Phase
from edge_daemon.core.fleet.station import Ask, Station
from edge_daemon.core.rollout.plan import as_mapping
from edge_daemon.core.state import State
from edge_daemon.core.values import BundleRef, ModelChoice, Request
from edge_daemon.core.verbs import Verb
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.fleet import messages
from edge_daemon.fleet.freshness.monitor import Freshness
from edge_daemon.fleet.memory import (
    MEMORY_FILE,
    Expired,
    StoredMemory,
    read_kept,
    read_waiting,
    write_kept,
)
from edge_daemon.host.clock import Clock
from edge_daemon.host.disk import write_durably
from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.host.journal import RequestRow
from edge_daemon.messaging.messages import Incoming
from edge_daemon.models.countersigned import Signers

_log = structlog.get_logger(__name__)
POLL_S = 1.0


@dataclass(frozen=True)
class Context:
    """Whom it deals with.

    `state`: the planner's, as of its last step. `find_request`: the journal's word on an id.
    `ask(verb, incoming)`: the door of all requests. `freshness`: what says which campaigns are
    current; None: their signatures alone count. `measured(campaign, judges)`: what is known of its
    bundle, which judges now or not.
    """

    device: str
    folder: Path
    clock: Clock
    state: Callable[[], State]
    find_request: Callable[[str], RequestRow | None]
    ask: Callable[[str, Incoming], None]
    freshness: Freshness | None = None
    courier: Courier | None = None
    measured: Callable[[Campaign, bool], Measures] = lambda *_: Measures()


@dataclass(frozen=True)
class FetchProgress:
    """How far a bundle is that is fetched: what is in its way, why the store refused it, and how
    many bytes came from the `origin` and from `peers`."""

    why: str = ""
    refused: str = ""
    bytes: Mapping[str, int] = field(default_factory=dict)


class Courier(Protocol):
    """Who fetches bundles."""

    def want(self, campaign: Campaign | None) -> None:
        """Fetch this one's bundle, and give it to neighbours; None: none."""
        ...

    def brought(self, campaign: Campaign) -> FetchProgress:
        """How far it is."""
        ...


class Follower:
    """One station. `came` runs on the network thread; `campaign_status` may be asked by any.

    Raises ConfigurationError for a key that cannot be read.
    """

    def __init__(self, settings: FleetSettings, context: Context) -> None:
        self._settings = settings
        self._with = context
        keys = settings.trust.keys
        self._signers = Signers(keys) if keys else None
        self._file = context.folder / MEMORY_FILE
        self._kept = self._on_disk = self._recall()
        self._unsaved: list[Incoming] = []
        self._campaign_status: CampaignStatus | None = None
        self._news: queue.SimpleQueue[Incoming | None] = queue.SimpleQueue()
        self._may_begin = threading.Event()
        self._stopped = threading.Event()
        self.problems: tuple[str, ...] = ()
        """What people should know of it; any thread."""
        self._boundary = ErrorBoundary(_log, "campaign_not_followed", is_rare=True)
        self._waits: dict[str, str] = {}
        self._expired = Expired()
        self._digest: tuple[Campaign | None, str] = (None, "")
        self._thread = threading.Thread(target=self._run, name="campaigns", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def begin(self) -> None:
        """The planner has started: from now on its state can be looked at."""
        self._may_begin.set()

    def stop(self) -> None:
        """End the thread, after the current look."""
        self._stopped.set()
        self._may_begin.set()
        self._news.put(None)
        if self._thread.is_alive():
            self._thread.join(5.0)

    def came(self, incoming: Incoming) -> None:
        """A message of a campaign; the broker hears that it came when it is on disk."""
        self._news.put(incoming)

    def campaign_status(self) -> CampaignStatus | None:
        """How the station stands in its campaign; None: it follows none."""
        return self._campaign_status

    def pinned(self) -> frozenset[BundleRef]:
        """What the store's quota must not take: the bundle that an open campaign names."""
        campaign = station.open_campaign(self._kept.memory, self._with.clock.now().utc)
        return frozenset() if campaign is None else frozenset((campaign.model,))

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        self._may_begin.wait()
        while not self._stopped.is_set():
            with self._boundary.turn() as attempt:
                self.look(self._taken())
            fault = attempt.fault
            self.problems = () if fault is None else (f"campaigns are not followed: {fault}",)

    def _taken(self) -> list[Incoming]:
        """What came, after a moment at the latest."""
        found = []
        try:
            first = self._news.get(timeout=POLL_S)
            while first is not None:
                found.append(first)
                first = self._news.get_nowait()
        except queue.Empty:
            pass
        return found

    def look(self, news: Sequence[Incoming]) -> None:
        """Take what came, look at the station, remember, and ask for what is due.

        Raises StateError where the disk takes nothing: what came is known then, and is written and
        acknowledged by a later look.
        """
        kept, now = self._kept, self._with.clock.now()
        self._unsaved += news
        for incoming in news:
            kept = self._heard(kept, incoming)
        for campaign, envelope in self._expired.no_more(now.utc):
            kept = self._accepted(kept, campaign, envelope, now.utc)
        kept = self._kept = self._vouched(kept, now.utc)
        here = self._station(kept, now.utc)
        brought = self._fetch(kept, now.utc)
        here = replace(here, fetching=brought.why, refused=brought.refused)
        made = station.step(kept.memory, here, now.utc)
        self._remember(replace(kept, memory=made.memory))
        for incoming in self._unsaved:
            incoming.done()
        self._unsaved.clear()
        status = made.campaign_status
        if status is not None and self._phase_changed(status):
            _log.info(
                "campaign_phase",
                campaign=status.campaign,
                phase=status.phase.value,
                wave=status.wave,
                why=status.why,
            )
        status = status and replace(status, bytes=brought.bytes)
        self._campaign_status = self._with_measures(status)
        if made.ask is not None:
            self._ask(made.ask)

    def _with_measures(self, status: CampaignStatus | None) -> CampaignStatus | None:
        campaign = self._kept.memory.campaign
        if status is None or campaign is None:
            return status
        active = self._with.state().active_bundle
        judges = active is not None and active.sha256 == campaign.sha256
        with self._boundary.turn():
            return replace(status, measures=self._with.measured(campaign, judges))
        return status

    def _fetch(self, kept: StoredMemory, now_utc: float) -> FetchProgress:
        """Say which bundle is wanted here, and hear how far it is."""
        courier, campaign = self._with.courier, kept.memory.campaign
        if courier is None or campaign is None:
            return FetchProgress()
        status = self._campaign_status
        is_left_out = status is not None and status.phase is Phase.EXCLUDED
        wanted = None if is_left_out else station.to_fetch(kept.memory, self._with.device, now_utc)
        courier.want(wanted)
        return courier.brought(campaign)

    def _phase_changed(self, status: CampaignStatus) -> bool:
        last = self._campaign_status
        return last is None or (last.campaign, last.phase) != (status.campaign, status.phase)

    def _heard(self, kept: StoredMemory, incoming: Incoming) -> StoredMemory:
        """The memory with one message; what is wrong with it is told, and changes nothing."""
        if not incoming.payload:  # how a retained message is taken away
            return kept
        try:
            return self._after(kept, incoming)
        except EdgeDaemonError as error:
            _log.warning("campaign_refused", topic=incoming.topic[:200], error=error.message)
        return kept

    def _after(self, kept: StoredMemory, incoming: Incoming) -> StoredMemory:
        topic, payload, now_utc = incoming.topic, incoming.payload, self._with.clock.now().utc
        if topic == messages.TIMESTAMP:
            return self._stamped(kept, payload)
        if not topic.endswith("/campaign"):
            if self._with.freshness is not None and messages.is_open_topic(topic):
                self._with.freshness.ask()  # so that it is current when it is joined
            memory = station.hear(kept.memory, messages.read_message(topic, payload))
            return replace(kept, memory=memory)
        campaign = messages.read_signed_campaign(topic, payload, self._signers)
        if self._with.freshness is not None and campaign != kept.memory.campaign:
            return kept.with_waiting(topic, payload)
        return self._accepted(kept, campaign, payload, now_utc)

    def _accepted(
        self, kept: StoredMemory, campaign: Campaign, envelope: bytes, now_utc: float
    ) -> StoredMemory:
        memory, refusal = station.accept(kept.memory, campaign, now_utc)
        if refusal:
            _log.warning("campaign_refused", campaign=campaign.id, error=refusal)
        if refusal == station.EXPIRED:
            self._expired.keep(campaign, envelope)
        if memory is kept.memory:
            return kept
        _log.info("campaign_accepted", campaign=campaign.id, serial=campaign.serial)
        return replace(kept, memory=memory, envelope=envelope)

    def _stamped(self, kept: StoredMemory, payload: bytes) -> StoredMemory:
        """A word on what is current: TUF's, or one of the signers', which may hold TUF's too."""
        freshness = self._with.freshness
        if freshness is not None:
            freshness.hear(messages.tuf_timestamp_in(payload))
        if self._signers is None or (freshness is not None and messages.is_tuf(payload)):
            return kept
        stamp = messages.read_timestamp(payload, self._signers)
        is_newer = kept.stamp is None or stamp.at > kept.stamp.at
        return replace(kept, stamp=stamp) if is_newer else kept

    def _vouched(self, kept: StoredMemory, now_utc: float) -> StoredMemory:
        """Accept what waited until the fleet's metadata lists it."""
        freshness = self._with.freshness
        if freshness is None:
            return kept
        for topic, envelope in kept.waiting.items():
            campaign, sha256 = read_waiting(topic, envelope)
            why = freshness.why_not(campaign.id, sha256)
            self._tell_waiting(campaign.id, why)
            if not why:
                kept = self._accepted(kept.without_waiting(topic), campaign, envelope, now_utc)
        return kept

    def _tell_waiting(self, campaign: str, why: str) -> None:
        """Once for each reason."""
        if self._waits.get(campaign) != why:
            self._waits = {**self._waits, campaign: why}
            if why:
                _log.warning("campaign_waits", campaign=campaign, why=why)

    # ------------------------------------------------------------------ the station

    def _station(self, kept: StoredMemory, now_utc: float) -> Station:
        campaign = kept.memory.campaign
        if campaign is None:
            return Station(self._with.device)
        state = self._with.state()
        situation, durable = situation_of(state), state.durable
        name = campaign.model.name
        digests = {each.ref: each.sha256 for each in state.available}
        if state.active_bundle is not None:
            digests.setdefault(state.active_bundle.ref, state.active_bundle.sha256)
        selected = situation.selected_of(name)
        on_line = situation.line == name
        is_active = state.active_bundle is not None and state.active_bundle.ref == campaign.model
        rollout = state.durable.rollout
        is_ours = rollout is not None and rollout.request_id in station.request_ids(kept.memory)
        is_beside = on_line or situation.line is None or not situation.linked
        if campaign.rollout is not None:  # it compares with what judges now
            is_beside = state.active_bundle is not None and state.active_bundle.ref.name == name
        return Station(
            device=self._with.device,
            selected=selected,
            selected_sha256=digests.get(selected) if selected else None,
            stored=digests.get(campaign.model),
            bad=_bad(state, campaign.model),
            is_for_now=is_beside,
            is_on_trial=durable.trial is not None and is_active,
            is_held=durable.held,
            is_busy=bool(state.operations)
            or (rollout is not None and not rollout.is_back and not is_ours),
            rollout=rollout.id if rollout is not None and is_ours and not rollout.is_full else "",
            in_window=self._in_window(campaign, now_utc, is_bound=situation.bound),
            is_fresh=not self._settings.trust.fresh or kept.is_fresh(campaign, now_utc),
            answers=self._answers(kept),
            not_current=self._not_current(campaign),
        )

    def _in_window(self, campaign: Campaign, now_utc: float, *, is_bound: bool) -> bool:
        local = time.localtime(now_utc)
        minute = 60 * local.tm_hour + local.tm_min
        return all(
            station.is_open(windows, minute, is_between_orders=not is_bound)
            for windows in (self._settings.window, campaign.window)
        )

    def _not_current(self, campaign: Campaign) -> str:
        freshness = self._with.freshness
        if freshness is None:
            return ""
        if self._digest[0] is not campaign:
            self._digest = (campaign, digest(campaign))
        return freshness.why_not(campaign.id, self._digest[1])

    def _answers(self, kept: StoredMemory) -> dict[str, Answer]:
        rows = [self._with.find_request(each) for each in station.request_ids(kept.memory)]
        return {row.id: answer_of(row) for row in rows if row is not None}

    def _ask(self, ask: Ask) -> None:
        campaign = self._kept.memory.campaign
        assert campaign is not None
        is_new, plan = ask.verb in (Verb.SWAP, Verb.ROLLOUT), campaign.rollout
        request = Request(
            id=ask.id,
            verb=ask.verb,
            model=ModelChoice(ask.model.name, ask.model.version) if is_new else None,
            by=f"fleet/{campaign.id}",
            reason=ask.reason,
            plan=json.dumps(as_mapping(plan)) if plan and ask.verb is Verb.ROLLOUT else "",
            rollout=ask.rollout,
        )
        verb, now = ask.verb.value, self._with.clock.now()
        self._with.ask(verb, Incoming(f"fleet/request/{verb}", b"", now, content=request))

    # ------------------------------------------------------------------ memory

    def _recall(self) -> StoredMemory:
        try:
            return read_kept(self._file.read_bytes(), self._signers)
        except FileNotFoundError:
            return StoredMemory()
        except (OSError, ValueError) as error:
            _log.warning("campaigns_forgotten", file=str(self._file), error=str(error))
            return StoredMemory()

    def _remember(self, kept: StoredMemory) -> None:
        self._kept = kept
        if kept != self._on_disk:
            write_durably(self._file, write_kept(kept))
            self._on_disk = kept


def _bad(state: State, ref: BundleRef) -> str:
    """Why this bundle may not become active here."""
    if (reason := state.quarantine_reason(ref)) is not None:
        return f"in quarantine: {reason}"
    if (floor := state.floor_above(ref)) is not None:
        return f"older than {floor}, the oldest that may be asked for here"
    return next((refusal.message for each, refusal in state.refused if each == ref), "")
