"""A bad network between the daemon and its broker, and the reckoning.

    python -m tests.sim.networks --n 50
    python -m tests.sim.networks --outage 100000

Each round brings one kind of trouble, asks for swaps and sends orders meanwhile, each request
more than once, and lets the network recover. In the end every request has had exactly one effect
and one outcome, every order is on record, and every event that the daemon's trail names has come,
in its order. The second form queues events while the broker is away, and cuts the line several
times while they are sent: none may be lost or come out of order.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import paho.mqtt.client as paho
import yaml

from edge_daemon.host.journal import Journal
from tests.sim.fork_parent import ForkParent, Life
from tests.sim.line import LINKS, OUTCOMES, ROOT, make_store, settings_for
from tests.sim.mosquitto import Mosquitto, scratch
from tests.sim.outage import is_in_order, outage
from tests.sim.reckoning import Found, report
from tests.sim.relay import FAIR, Relay, Weather
from tests.sim.steady_client import PATIENT_S, SteadyClient

MODELS = ("bottle@1.0.0", "bottle@2.0.0")


@dataclass
class Reckoning(Found):
    """What came of a run."""

    rounds: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    sent: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    events: int = 0
    frames_while_bad: int = 0
    recovered_s: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        rounds = ", ".join(f"{count} {name}" for name, count in sorted(self.rounds.items()))
        ended = ", ".join(f"{count} {status}" for status, count in sorted(self.outcomes.items()))
        slowest = max(self.recovered_s, default=0.0)
        return (
            f"{self.rounds.total()} rounds ({rounds}); {self.requests} requests, sent {self.sent} "
            f"times: {ended}; {self.events} events in order; longest recovery {slowest:.1f} s; "
            f"{len(self.faults)} faults"
        )


class Stranger(SteadyClient):
    """Ops beside the broker."""

    def __init__(self, broker: Mosquitto) -> None:
        self.heard: list[tuple[str, dict[str, Any]]] = []
        names = ("model/event", "model/state", "response/+", "status", "health")
        topics = [(name, 1) for name in names]
        super().__init__(broker, "ops", ROOT, topics, lambda *told: self.heard.append(told))

    def publish(self, topic: str, document: dict[str, Any]) -> None:
        info = self.client.publish(topic, json.dumps(document).encode(), 1)
        info.wait_for_publish(PATIENT_S)


class BadNetwork:
    """One device behind a bad network."""

    def __init__(self, folder: Path, broker: Mosquitto, random: Random) -> None:
        make_store(folder)
        self._broker = broker
        self._relay = Relay(broker.host, broker.port)
        settings = settings_for(
            folder,
            broker,
            mqtt={"host": self._relay.host, "port": self._relay.port, "keepalive_s": 5},
            camera={"source": "conveyor:?size=160x120&fps=100", "buffer_frames": 256},
            slots={"count": 2, "isolation": "thread", "spare": "off"},
            trial={"frames": 5, "seconds": 0.1, "latency_ratio": 100.0, "max_error_rate": 1.0},
            gate={"memory_headroom_mb": 0, "warm_up_inferences": 2, "latency_ratio": 100.0},
        )
        config = folder / "cam1.yaml"
        config.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
        self._state_folder = settings.state_folder
        self._random = random
        self._ear = Stranger(broker)
        self._nursery = ForkParent(folder / "log")
        self._life: Life = self._nursery.start(config)
        self._sent: dict[str, tuple[str, dict[str, Any]]] = {}
        self._orders: list[str] = []
        self.reckoning = Reckoning()

    def run(self, rounds: int) -> Reckoning:
        kinds = sorted(self._troubles().items())
        try:
            self._until(self._is_active, "the first model")
            for number in range(rounds):
                name, trouble = kinds[number % len(kinds)]
                self.reckoning.rounds[name] += 1
                trouble()
                self._recover(name)
            self._reckon()
        finally:
            self._life.end()
            self._nursery.__exit__(None, None, None)
            self._ear.close()
            self._relay.close()
        return self.reckoning

    # ------------------------------------------------------------------ troubles

    def _troubles(self) -> dict[str, Callable[[], None]]:
        return {
            "cut": self._cut,
            "cut in a packet": self._cut_in_a_packet,
            "slow": lambda: self._bad(Weather(delay_s=0.05, chunk_bytes=200)),
            "half-open": lambda: self._bad(Weather(silent_to_broker=True, silent_to_client=True)),
            "acknowledgements lost": lambda: self._bad(Weather(silent_to_broker=True)),
            "answers of the broker lost": lambda: self._bad(Weather(silent_to_client=True)),
            "refused": lambda: self._bad(Weather(refuses=True), cut=True),
            "taken over": self._taken_over,
            "broker killed": lambda: self._restarted(forget=False),
            "broker anew": lambda: self._restarted(forget=True),
        }

    def _cut(self) -> None:
        self._act()
        self._relay.cut(abruptly=True)
        self._act()

    def _cut_in_a_packet(self) -> None:
        self._relay.cut_after(self._random.randint(1, 3000))
        self._act()
        self._act()

    def _bad(self, weather: Weather, *, cut: bool = False) -> None:
        self._relay.set(weather)
        if cut:
            self._relay.cut(abruptly=True)
        self._act()
        time.sleep(self._random.uniform(0.1, 1.5))
        self._act()
        self._relay.cut(abruptly=True)  # what was held back never arrives
        self._relay.set(FAIR)

    def _taken_over(self) -> None:
        """Somebody else says to be us."""
        thief = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id="edge-daemon-line3-cam1",
            protocol=paho.MQTTv5,
        )
        thief.connect(self._broker.host, self._broker.port)
        thief.loop_start()
        self._act()
        time.sleep(self._random.uniform(0.1, 0.6))
        thief.disconnect()
        thief.loop_stop()

    def _restarted(self, *, forget: bool) -> None:
        self._act()
        self._ear.about_to_lose()
        if forget:
            self._broker.kill()
            self._broker.forget()
        else:
            self._broker.stop()
        time.sleep(self._random.uniform(0.0, 1.0))
        self._broker.start()
        self._ear.until_subscribed()
        self._act()

    # ------------------------------------------------------------------ asking

    def _act(self) -> None:
        """One request, sent up to three times; sometimes an order beside it."""
        request_id = uuid.uuid4().hex
        verb = self._random.choice(("swap", "swap", "prepare", "hold", "confirm"))
        document: dict[str, Any] = {"id": request_id}
        if verb in ("swap", "prepare"):
            document["model"] = self._random.choice(MODELS)
        self._sent[request_id] = (verb, document)
        for _ in range(self._random.randint(1, 3)):
            self._send(request_id)
        if verb == "hold":
            release = uuid.uuid4().hex
            self._sent[release] = ("release", {"id": release})
            self._send(release)
        if self._random.random() < 0.3:
            order = f"WO-{len(self._orders)}"
            self._orders.append(order)
            self._order(order)

    def _order(self, order: str) -> None:
        body = {"workOrder": order, "productCode": next(iter(LINKS)), "status": "running"}
        self._ear.publish("mes/orders", body)

    def _send(self, request_id: str) -> None:
        verb, document = self._sent[request_id]
        self._ear.publish(f"{ROOT}/request/{verb}", document)
        self.reckoning.sent += 1

    def _recover(self, name: str) -> None:
        """The network is fair again; who got no answer asks again under the same id."""
        began = time.monotonic()
        while open_ := [each for each in self._sent if not self._outcomes(each)]:
            if time.monotonic() - began > PATIENT_S:
                self._fault(f"after {name}: no outcome of {open_}")
                for each in open_:
                    del self._sent[each]
                return
            for each in open_:
                self._send(each)
            deadline_at = time.monotonic() + 3.0
            while time.monotonic() < deadline_at and not all(map(self._outcomes, open_)):
                time.sleep(0.02)
        self.reckoning.recovered_s.append(time.monotonic() - began)

    # ------------------------------------------------------------------ listening

    def _is_active(self) -> bool:
        states = [body for topic, body in tuple(self._ear.heard) if topic == "model/state"]
        return bool(states) and states[-1]["active"] is not None

    def _outcomes(self, request_id: str) -> set[str]:
        return {
            json.dumps(body, sort_keys=True)
            for topic, body in tuple(self._ear.heard)
            if topic.startswith("response/")
            and body["id"] == request_id
            and body["status"] in OUTCOMES
        }

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        deadline_at = time.monotonic() + PATIENT_S
        while not condition():
            if time.monotonic() > deadline_at:
                self._fault(f"{what} did not come within {PATIENT_S:.0f} s")
                return
            time.sleep(0.02)

    def _fault(self, what: str) -> None:
        self.reckoning.faults.append(what)

    # ------------------------------------------------------------------ the reckoning

    def _reckon(self) -> None:
        self.reckoning.requests = len(self._sent)
        for request_id in self._sent:
            found = self._outcomes(request_id)
            if len(found) != 1:
                self._fault(f"request {request_id} has {len(found)} outcomes: {found}")
            self.reckoning.outcomes.update(json.loads(each)["status"] for each in found)
        time.sleep(1.0)
        for order in self._orders:  # a broker that forgot all forgot these too
            self._order(order)
        self._until(self._is_active, "an active model")
        time.sleep(1.0)
        self._life.end(signal.SIGTERM)
        journal = Journal.open(self._state_folder)
        rows = [(each.row.kind, json.loads(each.row.body)) for each in journal.audit_rows()]
        left = journal.outbox_depth()
        journal.close()
        self._check(rows, left)

    def _check(self, rows: list[tuple[str, dict[str, Any]]], left: int) -> None:
        if left:
            self._fault(f"{left} messages are still in the outbox")
        counts = Counter(b["id"] for kind, b in rows if kind == "request")
        counts += Counter(b["swap"] for _, b in rows if b.get("event") == "swapped")
        self.reckoning.faults += [
            f"{name} was done {n} times" for name, n in counts.items() if n > 1
        ]
        noted = {body["order"] for kind, body in rows if kind == "order"}
        self.reckoning.faults += [
            f"order {each} was lost" for each in self._orders if each not in noted
        ]
        told = [_event(body, "event", "swap", "reason") for kind, body in rows if kind == "event"]
        heard = [
            _event(body, "type", "swap_id", "message")
            for topic, body in tuple(self._ear.heard)
            if topic == "model/event"
        ]
        self.reckoning.events = len(told)
        if missing := Counter(told) - Counter(heard):
            self._fault(f"events lost: {list(missing)[:3]}")
        elif not is_in_order(told, heard):
            self._fault("events came out of order")


def _event(body: dict[str, Any], *names: str) -> tuple[str, ...]:
    return tuple(str(body.get(name) or "") for name in (*names, "model"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=50, help="rounds")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--outage", type=int, help="events queued during an outage, instead")
    given = parser.parse_args()
    if given.outage:
        return 1 if outage(given.outage) else 0
    with scratch() as (folder, broker):
        reckoning = BadNetwork(folder, broker, Random(given.seed)).run(given.n)
    return report(reckoning)


if __name__ == "__main__":
    sys.exit(main())
