"""How campaigns stand, as plain values for the page: every wave, and what the next one waits for.

It judges as an evaluator does, and says nothing to anybody.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from edge_daemon.core.fleet.campaign import Campaign
from edge_daemon.core.fleet.heard import Heard
from edge_daemon.core.fleet.rules import (
    CampaignReport,
    Halt,
    Open,
    Roster,
    Verdict,
    judge,
    silent_ones,
)
from edge_daemon.core.wording import listed
from edge_daemon.errors import BrokerError, EdgeDaemonError
from edge_daemon.fleet import messages
from edge_daemon.fleet.evaluator import CAMPAIGN_FILTERS, Reports, device_at, heard_of
from edge_daemon.fleet.ledger import Retained
from edge_daemon.messaging.campaign_payloads import read_opening
from edge_daemon.messaging.client import Client
from edge_daemon.messaging.times import iso_utc
from edge_daemon.models.countersigned import Signers

NO_ANSWER = "no answer"
MOST_NAMES = 50
"""Silent stations of one wave that are named; the ledger has all."""


class CampaignsView:
    """The retained messages of campaigns, as they come; any thread.

    Args:
        signers: whose campaigns are shown as such; None: whoever signed them.
        inventory: the names of all stations; None: of those that report.
    """

    def __init__(self, signers: Signers | None, inventory: Sequence[str] | None) -> None:
        self._signers = signers
        self._inventory = inventory
        self._lock = threading.Lock()
        self._kept: dict[str, bytes] = {}
        self._roster: tuple[Campaign, tuple[str, ...], Roster] | None = None

    def take(self, topic: str, payload: bytes) -> None:
        """A message of a campaign; an empty one takes nothing back, as for stations."""
        with self._lock:
            if payload:
                self._kept[topic] = payload

    def shown(self, reports: Reports, now: float, utc: float) -> list[dict[str, Any]]:
        """The newest campaign with its waves, then those that it replaced, then refused ones."""
        with self._lock:
            kept = dict(self._kept)
        campaigns, refused = self._read(kept)
        if not campaigns:
            return refused
        newest, *older = campaigns
        words = reports.words(newest, now)
        names = tuple(sorted(words)) if self._inventory is None else tuple(self._inventory)
        heard = heard_of(kept, newest.id)
        whole = _whole(self._roster_of(newest, names), words, heard, utc)
        stale = reports.stale(utc)
        if stale and whole["state"] in ("opening", "waiting", "paused"):
            whole["next"] += f"; without fresh metadata of the fleet: {listed(stale)}"
        whole["waves"] = _waves(self._roster_of(newest, names), words, heard, kept, utc)
        return [whole, *({**_brief(each), "state": "replaced"} for each in older), *refused]

    def _read(self, kept: Mapping[str, bytes]) -> tuple[list[Campaign], list[dict[str, Any]]]:
        found, refused = [], []
        for topic, body in sorted(kept.items()):
            if not topic.endswith("/campaign"):
                continue
            try:
                found.append(messages.read_signed_campaign(topic, body, self._signers))
            except EdgeDaemonError as error:
                refused.append({"id": topic, "state": "refused", "next": error.message})
        return sorted(found, key=lambda each: -each.serial), refused

    def _roster_of(self, campaign: Campaign, names: tuple[str, ...]) -> Roster:
        known = self._roster
        if known is None or known[:2] != (campaign, names):
            known = self._roster = (campaign, names, Roster.of(campaign, names))
        return known[2]


def campaigns_now(
    client: Client, kept: Retained, signers: Signers | None, inventory: Sequence[str] | None
) -> list[dict[str, Any]]:
    """How campaigns stand by what is retained; `kept` is what was gathered of the stations."""
    seen, words, now = CampaignsView(signers, inventory), Reports(device_at), time.monotonic()
    with suppress(BrokerError):  # the stations are shown to those too who may not read it
        for topic, body in client.all_retained(CAMPAIGN_FILTERS).items():
            seen.take(topic, body)
    for root, body in kept.reports.items():
        words.take(f"{root}/fleet", body, now)
    return seen.shown(words, now, time.time())


def _brief(campaign: Campaign) -> dict[str, Any]:
    return {
        "id": campaign.id,
        "serial": campaign.serial,
        "model": str(campaign.model),
        "sha256": campaign.sha256,
    }


def _whole(
    roster: Roster, words: Mapping[str, CampaignReport], heard: Heard, utc: float
) -> dict[str, Any]:
    campaign = roster.campaign
    verdict = judge(roster, words, heard, utc)
    return {
        **_brief(campaign),
        "state": _state(heard, verdict),
        "next": _next(verdict),
        "stopped": dict(heard.stops),
        "goes_back": heard.goes_back,
        "expires": iso_utc(campaign.expires),
    }


def _state(heard: Heard, verdict: Verdict) -> str:
    if heard.is_stopped:
        return "stopped"
    if isinstance(verdict, Halt):
        return "stopping"
    if isinstance(verdict, Open):
        return "opening"
    if heard.paused_by:
        return "paused"
    return "done" if verdict.is_done else "waiting"


def _next(verdict: Verdict) -> str:
    if isinstance(verdict, Open):
        return f"wave {verdict.wave} may open: an evaluator opens it"
    if isinstance(verdict, Halt):
        return f"an evaluator stops it: {verdict.why}"
    return verdict.why


def _waves(
    roster: Roster,
    words: Mapping[str, CampaignReport],
    heard: Heard,
    kept: Mapping[str, bytes],
    utc: float,
) -> list[dict[str, Any]]:
    campaign = roster.campaign
    opened = heard.open_wave(campaign, utc)
    shown = []
    for wave, stations in enumerate(roster.waves):
        silent = silent_ones(campaign, stations, words) if wave <= opened else ()
        phases = Counter(_phase(words.get(name), name in silent) for name in stations)
        topic = messages.open_topic(campaign.id, wave)
        shown.append(
            {
                "wave": wave,
                "share": campaign.waves[wave],
                "stations": len(stations),
                "open": wave <= opened,
                "earliest": iso_utc(campaign.earliest(wave)),
                "phases": dict(sorted(phases.items())),
                "silent": list(silent[:MOST_NAMES]),
                "opened": read_opening(kept[topic]) if topic in kept else None,
            }
        )
    return shown


def _phase(word: CampaignReport | None, is_silent: bool) -> str:
    if is_silent:
        return "silent"
    return word.phase.value if word is not None and word.phase is not None else NO_ANSWER
