"""Many simulated stations, each with a connection of its own over mutual TLS, in one thread.

paho's threads would be one a station, and its select() ends at 1024 files: one epoll serves all.
"""

from __future__ import annotations

import heapq
import random
import selectors
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import paho.mqtt.client as paho

from edge_daemon.core.fleet.campaign import Campaign
from edge_daemon.core.fleet.report import Report
from edge_daemon.core.fleet.rules import SETTLED
from edge_daemon.core.fleet.waves import wave_of
from edge_daemon.fleet.messages import FILTERS
from edge_daemon.messaging import fleet_payloads
from tests.sim.campaign_fleet import Member
from tests.sim.fleet import NEW
from tests.sim.plant_broker import PlantBroker

SWAP_S = (0.3, 1.2)
"""How long a station takes for a swap."""


class Station:
    """One connection, and what it heard that the station has not looked at yet."""

    def __init__(self, clients: Clients, member: Member, tls: ssl.SSLContext) -> None:
        self.member = member
        self.is_up = False
        self.news: dict[str, bytes] = {}
        self.kept: dict[str, bytes] = {}
        self.said: object = None
        self.swaps_at: float | None = None
        self._clients = clients
        made = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=f"edge-daemon-{member.device}",
            protocol=paho.MQTTv5,
        )
        made.tls_set_context(tls)
        made.on_connect = self._joined
        made.on_message = self._take
        made.on_disconnect = self._left
        made.on_socket_close = lambda _c, _d, sock: clients.forget(sock)
        made.on_socket_register_write = lambda _c, _d, sock: clients.wants(sock, self, write=True)
        made.on_socket_unregister_write = lambda _c, _d, sock: clients.wants(sock, self)
        self.client = made

    def connect(self, host: str, port: int) -> None:
        """Returns when TLS is up; the broker's welcome comes by the loop."""
        self.client.connect(host, port, keepalive=3600)
        self._clients.serve(self.client.socket(), self, write=self.client.want_write())

    def _joined(
        self, client: paho.Client, _: object, __: object, reason: Any, *___: object
    ) -> None:
        if reason.is_failure:
            raise RuntimeError(f"{self.member.device} is not let in: {reason}")
        self.is_up = True
        self.said = None  # the broker may have forgotten all of it
        client.subscribe([(each, 1) for each in FILTERS])
        self._clients.dirty.add(self)

    def _left(self, *_: object) -> None:
        self.is_up = False

    def _take(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        body = bytes(message.payload)
        self._clients.heard(self.member.device, message.topic)
        if self.kept.get(message.topic) != body:
            self.kept[message.topic] = self.news[message.topic] = body
            self._clients.dirty.add(self)

    def serve(self, events: int) -> None:
        """What the socket is ready for."""
        if events & selectors.EVENT_READ:
            self.client.loop_read()
            while isinstance(sock := self.client.socket(), ssl.SSLSocket) and sock.pending():
                self.client.loop_read()
        if events & selectors.EVENT_WRITE and self.client.socket() is not None:
            self.client.loop_write()

    def look(self, *, again: bool) -> Report | None:
        """Hear the news and get on; the report, where it is news or to be said again."""
        member, now = self.member, time.monotonic()
        is_done = self.swaps_at is not None and now >= self.swaps_at
        if self.swaps_at is not None and not is_done:
            member.hear(self.news, time.time())
            self.news = {}
            return None
        self.swaps_at = None
        news, self.news = self.news, {}
        report = member.look(news, time.time())
        if member.is_swapping:
            self.swaps_at = now + self._clients.chance.uniform(*SWAP_S)
            self._clients.wake(self, self.swaps_at)
        what = (report.model, report.campaign_status)
        if member.mute or not self.is_up or (what == self.said and not again):
            return None
        self.said = what
        return report


class Clients:
    """All stations. `turn` serves every socket that is ready; whoever has news looks."""

    def __init__(self, plant: PlantBroker, members: Sequence[Member], again_s: float) -> None:
        self.dirty: set[Station] = set()
        self.chance = random.Random(1)
        self.heard_at: dict[str, dict[str, float]] = {}
        self.answered_at: dict[str, float] = {}
        self.early: list[str] = []
        self.campaign: Campaign | None = None
        self._plant = plant
        self._again_s = again_s
        self._due: list[tuple[float, int, Station, bool]] = []
        self._number = 0
        self._selector = selectors.EpollSelector()
        self.stations = [Station(self, each, self._tls(each.device)) for each in members]

    def _tls(self, name: str) -> ssl.SSLContext:
        at = self._plant.certificates
        context = ssl.create_default_context(cafile=str(at / "ca.pem"))
        context.load_cert_chain(at / f"{name}.pem", at / f"{name}.key")
        return context

    @property
    def members(self) -> list[Member]:
        return [each.member for each in self.stations]

    def serve(self, sock: Any, station: Station, *, write: bool) -> None:
        """A new socket."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if write else 0)
        self._selector.register(sock, events, station)

    def wants(self, sock: Any, station: Station, *, write: bool = False) -> None:
        """Whether one that is served has something to write."""
        with suppress(KeyError, ValueError):  # it is closed
            events = selectors.EVENT_READ | (selectors.EVENT_WRITE if write else 0)
            self._selector.modify(sock, events, station)

    def forget(self, sock: Any) -> None:
        with suppress(KeyError, ValueError):
            self._selector.unregister(sock)

    def wake(self, station: Station, at: float, *, again: bool = False) -> None:
        """Let it look then; `again`: and say its report whether it is news or not."""
        self._number += 1
        heapq.heappush(self._due, (at, self._number, station, again))

    def heard(self, device: str, topic: str) -> None:
        """A message came; who must have answered before a wave opens has."""
        first = topic not in self.heard_at
        self.heard_at.setdefault(topic, {}).setdefault(device, time.monotonic())
        campaign = self.campaign
        if not first or campaign is None or not topic.startswith(f"fleet/{campaign.id}/open/"):
            return
        wave = int(topic.rpartition("/")[2])
        for member in self.members:
            own = wave_of(campaign, member.device)
            is_done = member.model == NEW or bool(member.here.answers) or member.mute
            if own is not None and own < wave and not is_done:
                self.early.append(f"{member.device} had not answered when wave {wave} opened")

    def connect(self) -> float:
        """All that are away; how long it took until each was let in, in seconds."""
        began = time.monotonic()
        for station in self.stations:
            if not station.is_up:
                station.connect(self._plant.broker.host, self._plant.broker.port)
                self._serve(0.0)
        assert self.until(lambda: all(each.is_up for each in self.stations), 120.0)
        for station in self.stations:
            again = self.chance.uniform(0.0, self._again_s)
            self.wake(station, time.monotonic() + again, again=True)
        return time.monotonic() - began

    def begin(self, campaign: Campaign, members: Sequence[Member]) -> None:
        """The same connections, with stations that have heard of nothing yet."""
        self.campaign, self.heard_at, self.answered_at = campaign, {}, {}
        for station, member in zip(self.stations, members, strict=True):
            station.member, station.news, station.said = member, {}, None
            station.swaps_at = None
            self.dirty.add(station)

    def turn(self) -> None:
        self._serve(0.02)
        now, again = time.monotonic(), set()
        while self._due and self._due[0][0] <= now:
            _, _, station, is_again = heapq.heappop(self._due)
            self.dirty.add(station)
            if is_again:
                again.add(station)
                self.wake(station, now + self._again_s, again=True)
        looking, self.dirty = self.dirty, set()
        for station in looking:
            report = station.look(again=station in again)
            if report is None:
                continue
            if report.campaign_status is not None and report.campaign_status.phase in SETTLED:
                self.answered_at.setdefault(report.device, time.monotonic())
            body = fleet_payloads.report(report)
            station.client.publish(f"edge/{report.device}/fleet", body, 1, True)

    def _serve(self, timeout_s: float) -> None:
        for key, events in self._selector.select(timeout_s):
            key.data.serve(events)

    def until(self, is_over: Callable[[], bool], patience_s: float) -> bool:
        """Turn until it is so, at most so long."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            self.turn()
            if is_over():
                return True
        return False

    def all_heard(self, topic: str) -> bool:
        return len(self.heard_at.get(topic, ())) == len(self.stations)

    def last_answer(self, wave: int) -> float | None:
        """When the last station of this wave and those before answered; None: not all have."""
        assert self.campaign is not None
        waves = {m.device: wave_of(self.campaign, m.device) for m in self.members if not m.mute}
        of = [name for name, own in waves.items() if own is not None and own <= wave]
        if not all(name in self.answered_at for name in of):
            return None
        return max((self.answered_at[name] for name in of), default=None)

    def had(self) -> int:
        """Stations that have asked for the bundle."""
        return sum(member.asked_at is not None for member in self.members)

    def close(self) -> None:
        for station in self.stations:
            station.client.disconnect()
        self._selector.close()
