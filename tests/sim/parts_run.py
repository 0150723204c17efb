"""Many parts on a belt whose truth is known, and everything that goes wrong beside it.

    python -m tests.sim.parts_run --triggered 10000 --tracked 10000 --rate 6

A real daemon as a process of its own, with worker processes, its journal and a real broker. A rig
triggers as a PLC does: a little early or late, twice, not at all, where nothing lies; by MQTT or
HTTP, with its own time or without. Meanwhile models are swapped, orders change the product,
workers and the daemon are killed, and the broker goes away. Every part that was announced, or seen,
must have exactly one result, by one model, and none that is late may be told as in time.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import yaml

from tests.sim import belt as belts
from tests.sim.belt import Belt, mixed
from tests.sim.bundles import make_bundle
from tests.sim.fork_parent import ForkParent, Life
from tests.sim.line import ROOT, settings_for
from tests.sim.mosquitto import Mosquitto, free_port, scratch
from tests.sim.parts_reckoning import DEADLINE_S, LINKS, ZONE, Heard, Reckoner, Reckoning
from tests.sim.proctree import workers
from tests.sim.relay import FAIR, Relay, Weather
from tests.sim.steady_client import PATIENT_S, SteadyClient

MODELS = {"bottle@1.0.0": 0.51, "bottle@2.0.0": 0.52, "can@1.0.0": 0.53}
DOUBLE, MISSING = 0.03, 0.01
"""Shares of the triggers."""


@dataclass(frozen=True)
class Plan:
    """What runs; troubles come every so many places on the belt, 0: never."""

    by: str = "trigger"
    parts: int = 1000
    rate: float = 6.0
    seed: int = 1
    swap: int = 97
    order: int = 151
    worker: int = 211
    daemon: int = 983
    cut: int = 307
    broker: int = 1489
    broker_away_s: float = 2.0

    def troubles(self, number: int) -> list[str]:
        """What happens at this place; nothing once so many have passed, so that a run ends."""
        if number >= self.parts:
            return []
        names = ("swap", "order", "worker", "daemon", "cut", "broker")
        every = {name: getattr(self, name) for name in names}
        return [name for name, gap in every.items() if gap and number and number % gap == 0]


class Plc(SteadyClient):
    """Triggers, and hears every result at least once, wherever the broker has been meanwhile."""

    def __init__(self, broker: Mosquitto, heard: Heard, root: str = ROOT) -> None:
        self.heard = heard
        self.changed = threading.Condition()
        self.boot = ""
        self.active: str | None = None
        topics = (("part", 1), ("response/trigger", 1), ("model/state", 1), ("result", 0))
        super().__init__(broker, f"plc of {root}", root, topics, self._take)

    @property
    def online(self) -> bool:
        return self.client.is_connected()

    def publish(self, topic: str, document: dict[str, Any]) -> None:
        self.client.publish(f"{self._root}{topic}", json.dumps(document), 1)

    def order(self, document: dict[str, Any]) -> None:
        self.client.publish("mes/orders", json.dumps(document), 1)

    def until(self, condition: Callable[[], bool], within_s: float = PATIENT_S) -> bool:
        with self.changed:
            return self.changed.wait_for(condition, within_s)

    def _take(self, topic: str, body: dict[str, Any]) -> None:
        with self.changed:
            if topic == "result":
                self.heard.results[body["boot"], body["frame"]] = body
                self.boot = body["boot"]
            elif topic == "part":
                self.heard.parts.append(body)
            elif topic == "model/state":
                self.active = body["active"]["model"] if body["active"] else None
            elif body.get("part") is not None:
                self.heard.answers[body["id"]].add(body["part"])
            self.changed.notify_all()


class Rig:
    """One device, its belt, and what is done to them."""

    def __init__(self, folder: Path, broker: Mosquitto, plan: Plan) -> None:
        belts.register()
        self._plan, self._broker_process, self._folder = plan, broker, folder
        self._ahead_s = time.time() - time.monotonic()
        apart = 1.6 if plan.by == "trigger" else 0.45
        start = time.monotonic() + 1.0
        self._belt = Belt(start, 1 / plan.rate, apart, max(40.0, 9 * plan.rate), plan.seed)
        self._http = free_port()
        self._relay = Relay(broker.host, broker.port)
        self._config = folder / "cam1.yaml"
        self._config.write_text(yaml.safe_dump(self._settings()))
        self.heard = Heard()
        self._plc = Plc(broker, self.heard)
        self._fork_parent = ForkParent(folder / "log")
        self._life: Life = self._start()
        self._hands = ThreadPoolExecutor(4)
        self._owed: set[str] = set()
        self._dead_boots: set[str] = set()
        self.done = Reckoning().done

    def _settings(self) -> dict[str, Any]:
        store, plan = self._folder / "store", self._plan
        for ref, mark in MODELS.items():
            _bundle(store, ref, mark)
        first, last = ZONE
        window_ms = [0.0, round(250 / plan.rate, 1)]
        parts: dict[str, Any] = {"by": plan.by, "deadline_ms": DEADLINE_S * 1e3}
        if plan.by == "trigger":
            parts["window_ms"] = window_ms
        else:
            parts["zone"] = [[first, 0.0], [last, 0.0], [last, 1.0], [first, 1.0]]
        settings = settings_for(
            self._folder,
            self._broker_process,
            mqtt={"host": self._relay.host, "port": self._relay.port},
            camera={"source": self._belt.source, "buffer_frames": 512},
            gate={"memory_headroom_mb": 0, "warm_up_inferences": 2, "latency_ratio": 100.0},
            trial={"frames": 10, "seconds": 0.2, "latency_ratio": 100.0, "max_error_rate": 1.0},
            http={"listen": f"127.0.0.1:{self._http}", "commands": True},
            parts=parts,
        )
        return settings.model_dump(mode="json")

    def close(self) -> None:
        self._hands.shutdown()
        self._fork_parent.__exit__(None, None, None)
        self._plc.close()
        self._relay.close()

    # ------------------------------------------------------------------ the run

    def run(self) -> Reckoning:
        """So many parts, then a stop in order, and the reckoning."""
        assert self._plc.until(self._judges), self._log()
        number = passed = 0
        now = time.monotonic()
        while self._belt.passes_at(number) < now + 0.2:
            number += 1
        first = number
        while passed < self._plan.parts:
            self._wait(number)
            if self._plan.by == "trigger":
                passed += self._pass(number)
            else:
                passed = len(self.heard.parts)
            for trouble in self._plan.troubles(number - first):
                self.done[trouble] += 1
                getattr(self, f"_{trouble}")(number)
            number += 1
        self._settle()
        self._life.end(signal.SIGTERM)
        self._plc.until(lambda: False, 0.5)
        reckoner = Reckoner(self._belt, self.heard, self._ahead_s)
        found = reckoner.triggered() if self._plan.by == "trigger" else reckoner.tracked()
        found.done = self.done
        found.faults += _told_in_the_log(self._log())
        return found

    def _judges(self) -> bool:
        """Whether the first model is active; frames before it were seen, and are no fault."""
        return self._plc.active is not None

    def _wait(self, number: int) -> None:
        """Until the part is at the light barrier; a killed daemon is owed what it never told."""
        while (left_s := self._belt.passes_at(number) - time.monotonic()) > 0:
            time.sleep(min(left_s, 0.05))
            self._ask_again()

    def _pass(self, number: int) -> bool:
        """The light barrier is broken, or somebody waves before it; whether it was announced."""
        chance = mixed(number, 7, self._plan.seed)
        if chance < MISSING:
            self.done["no trigger"] += 1
            return False
        name = f"T-{number}"
        self.heard.announced[name] = number
        self.done["triggers for nothing"] += not self._belt.has_part(number)
        lag = (time.monotonic() - self._belt.passes_at(number)) / self._belt.pitch_s
        self._trigger(name, is_timed=number % 2 == 0 or lag > 0.1)
        if chance > 1 - DOUBLE:
            self.done["double"] += 1
            self._trigger(name, is_timed=True)
        return True

    def _trigger(self, name: str, *, is_timed: bool) -> None:
        number = self.heard.announced[name]
        body = {"id": name, "serial": f"S-{number}"}
        if is_timed:
            at = datetime.fromtimestamp(self._belt.passes_at(number) + self._ahead_s, timezone.utc)
            body["at"] = at.isoformat(timespec="milliseconds")
        if self._plc.online and number % 5:
            self._plc.publish("request/trigger", body)
        else:
            self._hands.submit(self._post, body)

    def _post(self, body: dict[str, str]) -> None:
        """By HTTP; what nobody took is told once somebody is there again."""
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self._http}/api/request/trigger",
            json.dumps(body).encode(),
            {"x-edge-daemon": "1", "content-type": "application/json"},
        )
        try:
            with urllib.request.urlopen(asked, timeout=5.0):
                pass
        except OSError:
            self._owed.add(body["id"])

    def _ask_again(self) -> None:
        """As a PLC does: the first result of a new boot says that no older one will come."""
        newest = self.heard.parts[-1]["boot"] if self.heard.parts else ""
        if self._owed and newest and newest not in self._dead_boots:
            told = {part["id"] for part in tuple(self.heard.parts)}
            owed, self._owed = self._owed - told, set()
            for name in owed:
                self._trigger(name, is_timed=True)

    def _settle(self) -> None:
        """Until every announced part has a result; what the broker or a death held back is told."""
        self._plc.until(lambda: False, 1.5)
        for _ in range(20):
            told = {part["id"] for part in tuple(self.heard.parts)}
            self._owed |= set(self.heard.announced) - told
            if not self._owed:
                return
            self._ask_again()
            self._plc.until(lambda: False, 1.0)

    # ------------------------------------------------------------------ troubles

    def _start(self) -> Life:
        return self._fork_parent.start(self._config, engine=belts.ENGINE)

    def _swap(self, number: int) -> None:
        now = self._plc.active or "bottle@1.0.0"
        other = "bottle@2.0.0" if now == "bottle@1.0.0" else "bottle@1.0.0"
        if now.startswith("bottle"):
            document = {"id": uuid.uuid4().hex, "model": other}
            self._plc.publish("request/swap", document)

    def _order(self, number: int) -> None:
        product = tuple(LINKS)[self.done["order"] % 2]
        body = {"workOrder": f"WO-{number}", "productCode": product, "status": "running"}
        self._plc.order(body)

    def _worker(self, number: int) -> None:
        for pid in workers(self._life.pid)[:1]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _daemon(self, number: int) -> None:
        """Dead, and born again at once."""
        self._dead_boots.add(self._plc.boot)
        self._life.end(signal.SIGKILL)
        self._is_away(3.0)
        self._life = self._start()
        told = {part["id"] for part in tuple(self.heard.parts)}
        self._owed |= {name for name in self.heard.announced if name not in told}

    def _cut(self, number: int) -> None:
        """The station loses the broker, and the PLC does not: what it sends waits there."""

        self._is_away(2.5)

        def cut() -> None:
            self._relay.set(Weather(refuses=True))
            self._relay.cut(abruptly=True)
            time.sleep(0.7)
            self._relay.set(FAIR)

        self._hands.submit(cut)

    def _broker(self, number: int) -> None:
        """Away for a while, with all that it keeps; parts go on meanwhile."""

        self._is_away(self._plan.broker_away_s + 3.0)

        def leave() -> None:
            self._broker_process.stop()
            time.sleep(self._plan.broker_away_s)
            self._broker_process.start()

        self._hands.submit(leave)

    def _is_away(self, for_s: float) -> None:
        now = time.monotonic()
        self.heard.away.append((now - 0.1, now + for_s))

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")


def _told_in_the_log(log: str) -> list[str]:
    bad = ("Traceback", '"level": "critical"')
    return [line[:300] for line in log.splitlines() if any(word in line for word in bad)]


def _bundle(store: Path, ref: str, mark: float) -> None:
    """A model with a rule of its own name, so that causes say which recipe gave them."""
    part, _, version = ref.partition("@")

    def edit(manifest: dict[str, Any]) -> None:
        rule = {"id": f"scratch-{version[0]}", "class": "scratch", "count": {"max": 0}}
        manifest["recipe"] = {"confidence": 0.35, "part": part, "rules": [rule]}
        manifest["limits"]["latency_ratio"] = 100.0

    weights, classes = belts.weights(mark, part, 2.0), (part, "scratch", "code")
    file = "weights-good.pt"
    make_bundle(store, ref, weights=weights, file=file, classes=classes, golden=0, edit=edit)


def run(plan: Plan) -> Reckoning:
    """One run on a station of its own."""
    with scratch() as (folder, broker), closing(Rig(folder, broker, plan)) as rig:
        return rig.run()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--triggered", type=int, default=1000, help="parts")
    parser.add_argument("--tracked", type=int, default=1000, help="parts")
    parser.add_argument("--rate", type=float, default=6.0, help="parts a second, at least 4")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # its daemon must not outlive it
    faults = 0
    for by, parts in (("trigger", given.triggered), ("track", given.tracked)):
        if parts:
            found = run(Plan(by, parts, given.rate, given.seed))
            for fault in found.faults[:50]:
                sys.stdout.write(f"  {fault}\n")
            sys.stdout.write(f"by {by}, {given.rate:g} a second: {found}\n")
            faults += len(found.faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
