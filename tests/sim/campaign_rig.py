"""Whole campaigns on the shipped broker over mutual TLS, with evaluators that are processes.

A `Rig` has the broker, the stations' connections and the keys; each story begins a campaign of its
own on the same connections, and tells what it measured as plain figures.
"""

from __future__ import annotations

import math
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from edge_daemon.core.fleet.campaign import Campaign, canonical
from edge_daemon.core.fleet.rules import LEAST_FAILED, Roster
from edge_daemon.core.fleet.waves import members as waves_of
from edge_daemon.errors import BrokerError
from edge_daemon.fleet import messages
from edge_daemon.fleet.saying import say, stop_of
from edge_daemon.messaging.client import Client
from edge_daemon.models.countersigned import sign
from edge_daemon.models.trust import generate_keypair
from tests.sim.campaign_clients import Clients
from tests.sim.campaign_fleet import Member
from tests.sim.campaigns import campaign
from tests.sim.certificates import sign_stations
from tests.sim.plant_broker import PlantBroker

AGAIN_S = 4.0
PATIENCE_S = 12.0
GENEROUS_S = 240.0
ROOM = 32


class Rig:
    """`n` stations; `certificates`: a folder that keeps theirs for the next time."""

    def __init__(self, n: int, certificates: Path | None = None, seed: int = 1) -> None:
        self.names = [f"s{number:05}" for number in range(n)]
        self.chance = random.Random(seed)
        self._undo = ExitStack()
        self.folder = Path(self._undo.enter_context(tempfile.TemporaryDirectory()))
        self.plant = PlantBroker((), certificates, self.names)
        sign_stations(self.plant.certificates, self.names)
        self._undo.enter_context(self.plant.broker)
        self._undo.callback(lambda: self.watchers and self.kill_all())
        self._keys = [generate_keypair(self.folder, name) for name in ("one", "two")]
        (self.folder / "names.txt").write_text("\n".join(self.names) + "\n")
        self._serial = 0
        self.watchers: list[subprocess.Popen[bytes]] = []
        self.kills = 0
        self._room: list[int] = []
        self._keep_room()
        self._undo.callback(self._give_room)
        self.clients = Clients(self.plant, [Member(name) for name in self.names], AGAIN_S)
        self._undo.callback(self.clients.close)

    def __enter__(self) -> Rig:
        return self

    def __exit__(self, *_: object) -> None:
        self._undo.close()

    def settings(self, role: str) -> Path:
        """Of whoever is no station."""
        keys = ", ".join(str(public) for _, public in self._keys)
        file = self.folder / f"{role}.yaml"
        file.write_text(
            f"device: {role}\nmqtt: {{host: 127.0.0.1, port: {self.plant.people_port}, "
            f"tls: {self.plant.tls(role)}}}\nfleet: {{trust: {{keys: [{keys}]}}}}\n"
            "camera: {source: 'conveyor:'}\nstate_dir: state\n"
            "models: {store: store, trust: {required: false}}\n"
        )
        return file

    def say(self, topic: str, body: bytes) -> None:
        """As ops; returns when the broker has taken it."""
        with self.client("ops") as client:
            say(client, topic, body)

    @contextmanager
    def client(self, role: str) -> Iterator[Client]:
        """Of whoever is no station; a machine that is busy lets it in at the second try."""
        self._give_room()
        for tries in range(10, -1, -1):
            try:
                client = Client.of(self.settings(role)).__enter__()
                break
            except BrokerError:
                if not tries:
                    raise
        try:
            yield client
        finally:
            client.close()
            self._keep_room()

    def _keep_room(self) -> None:
        """Numbers of files below 1024: a client with a thread uses select(), which takes no others,
        and each of the stations has a number too.
        """
        self._room = [os.open(os.devnull, os.O_RDONLY) for _ in range(ROOM)]

    def _give_room(self) -> None:
        for number in self._room:
            os.close(number)
        self._room = []

    def cpu_s(self) -> float:
        """Processor time of the stations and the broker so far."""
        return time.process_time() + self.plant.broker.cpu_s()

    # ------------------------------------------------------------------ campaigns

    def begin(
        self, bad: float = 0.0, silent: float = 0.0, patience_s: float = PATIENCE_S
    ) -> Campaign:
        """A new campaign, said by ops; returns when each station has heard it.

        Args:
            bad, silent: shares of the stations, drawn anew; so many of them exactly.
            patience_s: after it a station counts as silent.
        """
        self._serial += 1
        now = time.time()
        made = campaign(
            id=f"simulated-{self._serial}",
            serial=self._serial,
            canaries=self.names[:2],
            waves=[0.01, 0.1, 0.5, 1.0],
            not_before=now,
            expires=now + 3600.0,
            rules={"patience_s": patience_s},
        )
        boot, failing, mute = f"b{self._serial}", self._drawn(bad), self._drawn(silent)
        self.clients.begin(
            made, [Member(name, name in failing, name in mute, boot) for name in self.names]
        )
        self.start_again(made)
        topic = messages.campaign_topic(made.id)
        assert self.clients.until(lambda: self.clients.all_heard(topic), GENEROUS_S)
        return made

    def _drawn(self, share: float) -> set[str]:
        return set(self.chance.sample(self.names, round(share * len(self.names))))

    def start_again(self, made: Campaign) -> None:
        """What `fleet start` does."""
        envelope = None
        for private, _ in self._keys:
            envelope = sign(canonical(made), messages.KIND, private, envelope)
        assert envelope is not None
        self.say(messages.campaign_topic(made.id), envelope)

    def wave_sizes(self, made: Campaign) -> list[int]:
        return [len(wave) for wave in waves_of(made, self.names)]

    def limit(self, made: Campaign) -> int:
        """Three standard deviations above the first wave's share."""
        expected = made.waves[0] * len(self.names)
        return math.ceil(expected + 3 * math.sqrt(expected)) + len(made.canaries)

    def must_end_at(self, made: Campaign) -> int | None:
        """The first wave in which as many fail as the rules forbid; None: in none of them."""
        failing = {member.device for member in self.clients.members if member.fails}
        roster = Roster.of(made, self.names)
        for wave in range(len(made.waves)):
            names = roster.up_to(wave)
            failed = len(failing.intersection(names))
            if failed >= LEAST_FAILED and failed > made.rules.failed * len(names):
                return wave
        return None

    def may_have_it(self, made: Campaign) -> int:
        """So many stations, when it ends in that wave."""
        last = self.must_end_at(made)
        wave = len(made.waves) - 1 if last is None else last
        return len(Roster.of(made, self.names).up_to(wave))

    def silent(self) -> int:
        return sum(member.mute for member in self.clients.members)

    # ------------------------------------------------------------------ evaluators

    def watch(self, evaluators: int = 2) -> None:
        """So many processes of `fleet watch`."""
        while len(self.watchers) < evaluators:
            words = ["fleet", "watch", "--config", str(self.settings("fleet"))]
            words += ["--inventory", str(self.folder / "names.txt")]
            words += ["--name", f"evaluator-{self.kills}-{len(self.watchers)}"]
            self.watchers.append(
                subprocess.Popen(
                    [sys.executable, "-m", "edge_daemon", *words],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=dict(os.environ),
                )
            )

    def kill_one(self) -> None:
        """The oldest, and another begins."""
        oldest = self.watchers.pop(0)
        oldest.kill()
        oldest.wait()
        self.kills += 1
        self.watch(len(self.watchers) + 1)

    def kill_all(self) -> None:
        for each in self.watchers:
            each.kill()
            each.wait()
        self.watchers = []

    def kill_broker(self, *, forget: bool = False) -> float:
        """SIGKILL and a new start, without what it wrote where so wished.

        Returns after how long all stations are back.
        """
        self.plant.broker.kill()
        self.clients.until(lambda: not any(s.is_up for s in self.clients.stations), 10.0)
        if forget:
            self.plant.broker.forget()
        self.plant.broker.start()
        return self.clients.connect()

    # ------------------------------------------------------------------ what is seen

    def heard(self, topic: str) -> float:
        """Seconds from the first station to the last."""
        times = self.clients.heard_at[topic].values()
        return max(times) - min(times)

    def is_stopped(self, made: Campaign) -> bool:
        begin = f"fleet/{made.id}/stop/"
        return any(topic.startswith(begin) for topic in self.clients.heard_at)

    def why(self, made: Campaign) -> str:
        """What the stations were told of its stop; empty: it was not stopped."""
        begin = f"fleet/{made.id}/stop/"
        kept = self.clients.stations[0].kept
        return "; ".join(body.decode() for topic, body in kept.items() if topic.startswith(begin))

    def is_done(self, made: Campaign) -> bool:
        last = messages.open_topic(made.id, len(made.waves) - 1)
        answered = self.clients.answered_at
        return last in self.clients.heard_at and all(
            member.mute or member.device in answered for member in self.clients.members
        )

    def until_over(
        self,
        made: Campaign,
        meanwhile: Callable[[], object] = lambda: None,
        *,
        stops: bool = False,
    ) -> bool:
        """Until all have it or it is stopped; `stops`: until it is stopped."""

        def is_over() -> bool:
            meanwhile()
            return self.is_stopped(made) or (self.is_done(made) and not stops)

        return self.clients.until(is_over, GENEROUS_S)

    def next_waves(self, made: Campaign) -> list[float]:
        """Seconds from the last answer of each wave to the last station that heard the next."""
        found = []
        for wave in range(1, len(made.waves)):
            answer = self.clients.last_answer(wave - 1)
            heard = self.clients.heard_at.get(messages.open_topic(made.id, wave))
            if answer is not None and heard:
                found.append(max(heard.values()) - answer)
        return found

    def reports(self) -> tuple[int, float]:
        """How many reports a new reader gets, and the seconds until the last of them.

        From its subscription on.
        """
        with self.client("dashboard") as client:
            began = time.monotonic()
            last = [began]
            found: set[str] = set()

            def take(topic: str, _: bytes) -> None:
                found.add(topic)
                last[0] = time.monotonic()

            client.listen("edge/+/fleet", take)
            self.clients.until(lambda: len(found) == len(self.names), 10.0)
        return len(found), last[0] - began

    def stop(self, made: Campaign) -> float:
        """As ops; seconds from saying it to the last station that heard it."""
        topic, body = stop_of(made.id, "ops", "tried", time.time(), goes_back=False)
        with self.client("ops") as client:
            began = time.monotonic()
            say(client, topic, body)
        assert self.clients.until(lambda: self.clients.all_heard(topic), GENEROUS_S)
        return max(self.clients.heard_at[topic].values()) - began


def figures(rig: Rig, made: Campaign) -> dict[str, Any]:
    """What one campaign led to."""
    return {
        "waves": rig.wave_sizes(made),
        "had": rig.clients.had(),
        "silent": rig.silent(),
        "stopped": rig.why(made),
        "early": len(rig.clients.early),
    }


def ages(values: Sequence[float]) -> str:
    return ", ".join(f"{each:.2f}" for each in values)
