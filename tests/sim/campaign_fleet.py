"""Many stations and a broker that keeps what it is told, in one process and without threads.

The stations decide by `core.fleet.station`, what they say and hear goes through the real payloads,
and an evaluator may be killed before or after each message.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

from edge_daemon.core.desired import Answer
from edge_daemon.core.fleet import station
from edge_daemon.core.fleet.campaign import Campaign
from edge_daemon.core.fleet.report import Phase, Report
from edge_daemon.core.fleet.station import (
    Memory,
    Station,
)
from edge_daemon.core.fleet.waves import wave_of
from edge_daemon.core.values import BundleRef, Status
from edge_daemon.core.verbs import Verb
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.fleet import messages
from edge_daemon.fleet.evaluator import Evaluator, Reports, device_at
from edge_daemon.messaging import fleet_payloads
from tests.sim.fleet import NEW, OLD, digest_of, said


@dataclass
class Member:
    """One station: it takes two looks for a swap, which `fails` or not; its clock is `ahead_s`."""

    device: str
    fails: bool = False
    mute: bool = False
    boot: str = "b1"
    group: str | None = None
    ahead_s: float = 0.0
    memory: Memory = Memory()
    here: Station = Station("")
    seq: int = 0
    asked_at: float | None = None
    model: str = OLD

    def __post_init__(self) -> None:
        self.here = Station(
            self.device, _ref(OLD), digest_of(OLD), stored=digest_of(NEW), is_for_now=True
        )

    def look(self, kept: Mapping[str, bytes], utc: float) -> Report:
        """Hear what the broker has, and get on; returns the report."""
        utc += self.ahead_s
        self._swap()
        self.hear(kept, utc)
        made = station.step(self.memory, self.here, utc)
        self.memory = made.memory
        if made.ask is not None:
            self.asked_at = self.asked_at or utc
            ok = Status.FAILED if self.fails and made.ask.verb is Verb.SWAP else Status.SUCCEEDED
            self._after = (made.ask.id, made.ask.verb, ok)
        self.seq += 1
        status = made.campaign_status
        return said(
            self.device,
            self.model,
            utc=utc,
            boot=self.boot,
            seq=self.seq,
            group=self.group,
            campaign_status=status,
            phase=status.phase if status else Phase.CONFIRMED,
        )

    _after: tuple[str, Verb, Status] | None = None

    def _swap(self) -> None:
        if self._after is None:
            return
        id_, verb, status = self._after
        answers = {**self.here.answers, id_: Answer(status, "the gate says no")}
        if status is Status.SUCCEEDED:
            self.model = NEW if verb is Verb.SWAP else OLD
        self.here = replace(
            self.here,
            answers=answers,
            selected=_ref(self.model),
            selected_sha256=digest_of(self.model),
        )
        self._after = None

    @property
    def is_swapping(self) -> bool:
        """Whether the next look ends a swap that was asked for."""
        return self._after is not None

    def hear(self, kept: Mapping[str, bytes], utc: float) -> None:
        """Take these messages in, and do nothing."""
        for topic, body in kept.items():
            self._hear(topic, body, utc)

    def _hear(self, topic: str, body: bytes, utc: float) -> None:
        try:
            if topic.endswith("/campaign"):
                self.memory, _ = station.accept(self.memory, _campaign_in(topic, body), utc)
            else:
                self.memory = station.hear(self.memory, messages.read_message(topic, body))
        except EdgeDaemonError:
            pass


@lru_cache(8)
def _campaign_in(topic: str, body: bytes) -> Campaign:
    """Thousands of stations are told the same."""
    return messages.read_signed_campaign(topic, body, None)


def _ref(text: str) -> BundleRef:
    return BundleRef(*text.split("@"))


class Killed(Exception):  # noqa: N818 - what it was
    """The evaluator was killed here."""


@dataclass
class Fleet:
    """All of it. `kept` is what the broker has of campaigns, `opened_at` when a wave was said."""

    campaign: Campaign
    envelope: bytes
    members: dict[str, Member]
    chance: random.Random
    utc: float
    kill: float = 0.0
    kept: dict[str, bytes] = field(default_factory=dict)
    reports: dict[str, bytes] = field(default_factory=dict)
    kills: int = 0
    early: list[str] = field(default_factory=list)
    ever_stopped: bool = False
    after_stop: list[str] = field(default_factory=list)
    evaluators_ahead_s: float = 0.0

    def __post_init__(self) -> None:
        self.kept[messages.campaign_topic(self.campaign.id)] = self.envelope
        names = tuple(self.members)
        self.evaluators = [self._evaluator(names, f"evaluator-{n}") for n in range(2)]
        self.seen = [Reports(device_at), Reports(device_at)]

    def _evaluator(self, names: tuple[str, ...], name: str) -> Evaluator:
        return Evaluator(names, None, name, self._say)

    def _say(self, topic: str, body: bytes) -> None:
        if self.chance.random() < self.kill / 2:
            raise Killed
        if "/open/" in topic:
            self._check(int(topic.rpartition("/")[2]))
        self.ever_stopped |= "/stop/" in topic
        self.kept[topic] = body
        if self.chance.random() < self.kill / 2:
            raise Killed

    def _check(self, wave: int) -> None:
        """From the stations themselves: whoever is in an earlier wave has answered."""
        for member in self.members.values():
            own = wave_of(self.campaign, member.device)
            is_done = member.model == NEW or bool(member.here.answers) or member.mute
            if own is not None and own < wave and not is_done:
                self.early.append(f"{member.device} had not answered when wave {wave} opened")

    def forget(self) -> None:
        """The broker was killed, and what it had is gone."""
        self.kept.clear()
        self.reports.clear()

    def turn(self) -> None:
        """One second: stations first, in whatever order, then one evaluator or both."""
        order = list(self.members.values())
        self.chance.shuffle(order)
        for member in order:
            if member.mute:
                continue
            before = member.asked_at
            report = member.look(self.kept, self.utc)
            if self.ever_stopped and before is None and member.asked_at is not None:
                self.after_stop.append(member.device)
            self.reports[f"edge/{member.device}/fleet"] = fleet_payloads.report(report)
        for place in self.chance.sample((0, 1), self.chance.choice((1, 2))):
            for topic, body in self.reports.items():
                self.seen[place].take(topic, body, self.utc)
            try:
                utc = self.utc + self.evaluators_ahead_s
                self.evaluators[place].look(dict(self.kept), self.seen[place], self.utc, utc)
            except Killed:
                self.kills += 1
                self.seen[place] = Reports(device_at)
                name = f"evaluator-{place}-{self.kills}"
                self.evaluators[place] = self._evaluator(tuple(self.members), name)
        self.utc += 1.0

    def had(self) -> int:
        """Stations that have asked for the bundle."""
        return sum(member.asked_at is not None for member in self.members.values())
