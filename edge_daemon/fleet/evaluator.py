"""`edge-daemon fleet watch`: reads what stations report, opens the next wave, or stops.

It remembers nothing that counts: each look begins with what the broker has, and that is read anew
all the time. So any number of them may run, and any of them may die between any two messages;
without one nothing opens. A broker that was away made no station silent: patience begins anew with
each connection, and where the broker keeps the connection but does not do its work, as in a cluster
without a majority, with the first reading that it grants again.
"""

from __future__ import annotations

import math
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edge_daemon.core.fleet.campaign import Campaign, digest
from edge_daemon.core.fleet.heard import Heard, Opened, Paused, Stopped, hear
from edge_daemon.core.fleet.report import Report
from edge_daemon.core.fleet.rules import CampaignReport, Halt, Open, Roster, Verdict, Wait, judge
from edge_daemon.errors import BrokerError, EdgeDaemonError
from edge_daemon.fleet import messages
from edge_daemon.messaging.client import Client
from edge_daemon.messaging.fleet_payloads import read_report
from edge_daemon.models.countersigned import Signers

WHO = "evaluator"
CAMPAIGN_FILTERS = messages.FILTERS[1:]
BETWEEN_S = 0.05
"""Between two looks, at least."""


@dataclass
class Reports:
    """The newest report of each station, and when it came by our clock; any thread.

    `since` tells when we began to hear without a break; infinity: we hear nothing now.
    """

    device_of: Callable[[str], str | None]
    since: Callable[[], float] = lambda: -math.inf
    until: Callable[[], float] = lambda: math.inf
    newest: dict[str, tuple[Report, float]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, topic: str, payload: bytes, at: float) -> None:
        """A message of a report's topic; one in another's name, or that is none, is left out."""
        try:
            report = read_report(payload)
        except EdgeDaemonError:
            return
        if self.device_of(topic) not in (None, report.device):
            return
        with self._lock:
            last = self.newest.get(report.device)
            if last is not None and not _is_newer(report, last[0]):
                return
            self.newest[report.device] = (report, at)

    def words(self, campaign: Campaign, now: float) -> dict[str, CampaignReport]:
        """What the stations say of this campaign."""
        with self._lock:
            newest = dict(self.newest)
        since, until = self.since(), min(now, self.until())
        return {
            device: _word(report, campaign, max(0.0, until - max(at, since)))
            for device, (report, at) in newest.items()
        }

    def stale(self, utc: float) -> list[str]:
        """Stations that begin no campaign: the fleet's metadata that they have has expired."""
        with self._lock:
            reports = [report for report, _ in self.newest.values()]
        return sorted(each.device for each in reports if (each.fresh_until or utc + 1.0) <= utc)

    def quiet_s(self, at: float, now: float) -> float:
        """How long nothing came after `at`, as far as we could hear."""
        return max(0.0, min(now, self.until()) - max(at, self.since()))


def _is_newer(report: Report, last: Report) -> bool:
    """A station that started again counts from 0, and says so by its boot."""
    return report.boot != last.boot or report.seq > last.seq


def _word(report: Report, campaign: Campaign, quiet_s: float) -> CampaignReport:
    status = report.campaign_status
    if status is None or (status.campaign, status.serial) != (campaign.id, campaign.serial):
        return CampaignReport(None, quiet_s, group=report.group)
    return CampaignReport(
        status.phase, quiet_s, status.measures, status.stopped, status.goes_back, report.group
    )


@dataclass(frozen=True)
class Evaluation:
    """What a look led to; `refused`: why the broker does not take it."""

    campaign: Campaign
    verdict: Verdict
    refused: str = ""


@dataclass(frozen=True)
class _Current:
    """The campaign that stations follow, the topic and the bytes that it came by, its stations, and
    since when it is looked at, by the monotonic clock."""

    campaign: Campaign
    topic: str
    envelope: bytes
    roster: Roster
    since: float


class Evaluator:
    """One of perhaps several.

    Args:
        inventory: the names of all stations that there should be.
        signers: whose campaigns are looked at; None: anybody's, the stations check for themselves.
        name: of this evaluator, told with each wave that it opens.
        say: publishes one retained message; returns why the broker does not take it, else nothing.
        why_not: why the campaign of this id and digest is not current, for a new one; empty: it is.
    """

    def __init__(
        self,
        inventory: Sequence[str],
        signers: Signers | None,
        name: str,
        say: Callable[[str, bytes], str | None],
        why_not: Callable[[str, str], str] = lambda *_: "",
    ) -> None:
        self._inventory = tuple(inventory)
        self._signers = signers
        self._name = name
        self._say = say
        self._why_not = why_not
        self._current: _Current | None = None
        self.refused: Mapping[str, str] = {}
        """Topics whose campaign the last look did not take, and why."""

    def look(
        self, kept: Mapping[str, bytes], reports: Reports, now: float, utc: float
    ) -> Evaluation | None:
        """One look at what the broker has; says what follows, and returns it. None: there is no
        campaign."""
        current = self._current = self._newest(kept, now)
        if current is None:
            return None
        campaign = current.campaign
        if current.topic not in kept:  # the broker forgot it
            self._say(current.topic, current.envelope)
        words = self._with_silent(reports, current, now)
        verdict = judge(current.roster, words, heard_of(kept, campaign.id), utc)
        return Evaluation(campaign, verdict, self._tell(campaign, verdict, utc))

    def _tell(self, campaign: Campaign, verdict: Verdict, utc: float) -> str:
        if isinstance(verdict, Open):
            topic = messages.open_topic(campaign.id, verdict.wave)
            body = messages.opened(self._name, utc, verdict.because)
        elif isinstance(verdict, Halt):
            topic = messages.stop_topic(campaign.id, WHO)
            body = messages.stopped(utc, verdict.why, goes_back=verdict.goes_back)
        else:
            return ""
        return self._say(topic, body) or ""

    def _newest(self, kept: Mapping[str, bytes], now: float) -> _Current | None:
        """Of all that may be followed: stations follow no other."""
        found, refused = list[tuple[Campaign, str]](), dict[str, str]()
        for topic, body in kept.items():
            if not topic.endswith("/campaign") or not body:
                continue
            try:
                found.append((messages.read_signed_campaign(topic, body, self._signers), topic))
            except EdgeDaemonError as error:
                refused[topic] = error.message
        self.refused = refused
        serial = 0 if self._current is None else self._current.campaign.serial
        for campaign, topic in sorted(found, key=lambda each: -each[0].serial):
            if campaign.serial <= serial:
                break
            if why := self._why_not(campaign.id, digest(campaign)):
                refused[topic] = why
                continue
            roster = Roster.of(campaign, self._inventory)
            return _Current(campaign, topic, kept[topic], roster, now)
        return self._current

    def _with_silent(
        self, reports: Reports, current: _Current, now: float
    ) -> dict[str, CampaignReport]:
        """Stations that never reported are silent since we began to look."""
        words = reports.words(current.campaign, now)
        quiet_s = reports.quiet_s(current.since, now)
        mute = {
            name: CampaignReport(None, quiet_s) for name in self._inventory if name not in words
        }
        return {**words, **mute}


def heard_of(kept: Mapping[str, bytes], campaign: str) -> Heard:
    """What these messages say of one campaign."""
    heard = Heard()
    for topic, body in kept.items():
        if not body or topic.endswith("/campaign") or topic == messages.TIMESTAMP:
            continue
        try:
            message = messages.read_message(topic, body)
        except EdgeDaemonError:
            continue
        if isinstance(message, (Opened, Paused, Stopped)) and message.campaign == campaign:
            heard = hear(heard, message)
    return heard


class Hearing:
    """Since when, and until when, the broker certainly did its work; any thread.

    A connection does not say so; a reading that was granted does. One that is refused is a doubt:
    while one node of a cluster is down it happens now and then. With two, all begins anew.
    """

    def __init__(self, connected_since: Callable[[], float]) -> None:
        self._connected_since = connected_since
        self._since = self._until = -math.inf
        self._doubts = 2

    def granted(self, began_at: float) -> None:
        """A reading that began then was granted."""
        if self._doubts > 1:
            self._since = began_at
        self._until = began_at
        self._doubts = 0

    def refused(self) -> None:
        """A reading was not granted."""
        self._doubts += 1

    @property
    def is_sure(self) -> bool:
        """Whether it works now, as far as anybody can say."""
        return not self._doubts and not math.isinf(self._connected_since())

    def since(self) -> float:
        """By the monotonic clock; infinity where there is no connection."""
        return max(self._connected_since(), self._since)

    def until(self) -> float:
        return self._until


class CampaignTopics:
    """What the broker has of campaigns: read again and again, and news at once; any thread."""

    def __init__(self, news: threading.Event) -> None:
        self._news = news
        self._lock = threading.Lock()
        self._kept: dict[str, bytes] = {}
        self._since: dict[str, bytes] = {}  # came since the newest reading began

    def take(self, topic: str, payload: bytes) -> None:
        """A message, retained or new."""
        with self._lock:
            is_news = self._kept.get(topic) != payload
            self._kept[topic] = self._since[topic] = payload
        if is_news:
            self._news.set()

    def read(self, client: Client) -> None:
        """All of it, a second after the last of it came; what the broker forgot is gone then.

        Raises BrokerError where the broker grants nothing: a cluster without a majority takes no
        message either.
        """
        with self._lock:
            self._since = {}
        client.all_retained(CAMPAIGN_FILTERS)
        if refused := client.probe(messages.campaign_topic(f"probe-{uuid.uuid4().hex}")):
            raise BrokerError(f"The broker does not do its work: {refused}.")
        with self._lock:
            self._kept = self._since
        self._news.set()

    def kept(self) -> dict[str, bytes]:
        with self._lock:
            return dict(self._kept)


def watch(
    client: Client,
    roots: Sequence[str],
    evaluator: Evaluator,
    tell: Callable[[Evaluation], None],
    stopped: threading.Event,
    alive: Callable[[], object] = lambda: None,
) -> None:
    """Look at what is new at once, else once a second, until `stopped`; `alive` after each look.

    A broker that is away is waited for: what is said then would be sent later, when it may be
    wrong. Nothing is looked at before all was read.
    """
    news = threading.Event()
    hearing = Hearing(lambda: client.connected_since)
    reports = Reports(device_at, hearing.since, hearing.until)
    topics = CampaignTopics(news)

    def take(topic: str, payload: bytes) -> None:
        reports.take(topic, payload, time.monotonic())
        news.set()

    for root in roots:
        client.listen(f"{root}/fleet", take)
    for each in CAMPAIGN_FILTERS:
        client.listen(each, topics.take)

    def read() -> None:
        """Return when all was read, or nobody wants it any more."""
        while not stopped.is_set():
            began_at = time.monotonic()
            try:
                topics.read(client)
            except BrokerError:
                hearing.refused()
                stopped.wait(1.0)
            else:
                hearing.granted(began_at)
                return

    def read_on() -> None:
        while not stopped.is_set():
            read()

    reader = threading.Thread(target=read_on, name="fleet-reader", daemon=True)
    read()
    reader.start()
    while not stopped.is_set():
        news.clear()
        if hearing.is_sure:
            told = evaluator.look(topics.kept(), reports, time.monotonic(), time.time())
            if told is not None:
                tell(told)
        alive()
        stopped.wait(BETWEEN_S)  # many reports come at once
        news.wait(1.0)
    reader.join(2.0)


def device_at(topic: str) -> str | None:
    """The station whose name the topic holds; None where roots are no names."""
    levels = topic.split("/")
    return levels[1] if len(levels) == 3 and levels[0] == "edge" else None


def sentence(told: Evaluation) -> str:
    """The verdict in words."""
    verdict = told.verdict
    unsaid = f", but the broker does not take it: {told.refused}" if told.refused else ""
    if isinstance(verdict, Open):
        return f"{told.campaign.id}: wave {verdict.wave} opens{unsaid}."
    if isinstance(verdict, Halt):
        return f"{told.campaign.id}: stopped: {verdict.why}{unsaid}."
    assert isinstance(verdict, Wait)
    return f"{told.campaign.id}: {verdict.why}."
