"""Whole stations as processes of their own at one real broker, evaluators too, and who listens.

Whatever is found out here was heard from the broker or read over HTTP; nothing is asked inside.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import yaml

from edge_daemon.cli.drill_ledger import SubscriberLedger
from edge_daemon.core.fleet.campaign import Campaign, canonical
from edge_daemon.core.fleet.report import Phase, Report
from edge_daemon.core.values import BundleRef
from edge_daemon.demo.stage import BUNDLES
from edge_daemon.fleet import messages
from edge_daemon.messaging.fleet_payloads import read_report
from edge_daemon.models.bundle import read_manifest
from edge_daemon.models.countersigned import sign
from edge_daemon.models.trust import generate_keypair
from edge_daemon.slots.process import ENGINE as REAL
from tests.sim.campaigns import campaign
from tests.sim.daemon import ENGINE as MARKED
from tests.sim.fork_parent import ForkParent, Life
from tests.sim.line import make_store
from tests.sim.mosquitto import Mosquitto, free_port

GENEROUS_S = 240.0
KEYS = ("ops", "release")


@dataclass(frozen=True)
class Rig:
    """What the stations judge by: real weights in worker processes, or weights with a mark."""

    old: str
    new: str
    engine: str
    camera: str
    is_real: bool

    def fill(self, store: Path) -> None:
        if not self.is_real:
            make_store(store.parent)
            return
        for each in (self.old, self.new):
            ref = BundleRef.parse(each)
            folder = store / ref.name / ref.version
            shutil.copytree(BUNDLES / ref.name / ref.version, folder)
            _keep_few_golden(folder / "model.yaml")


def _keep_few_golden(file: Path) -> None:
    """Each takes a gap between two frames, of both models."""
    manifest = yaml.safe_load(file.read_text())
    for light, most in (("low_light", 5), ("normal", 2)):
        of_light = [each for each in manifest["golden"] if each["slice"] == light]
        manifest["golden"] = [each for each in manifest["golden"] if each not in of_light[most:]]
    file.write_text(yaml.safe_dump(manifest))
    kept = {each["image"] for each in manifest["golden"]}
    for image in (file.parent / "golden").iterdir():  # a bundle holds what model.yaml names
        if f"golden/{image.name}" not in kept:
            image.unlink()


WITH_WEIGHTS = Rig("bottle@1.0.0", "bottle@1.1.0", REAL, "conveyor:?size=320x240&fps=5", True)
WITH_MARKS = Rig("bottle@1.0.0", "bottle@2.0.0", MARKED, "conveyor:?size=160x120&fps=20", False)


@dataclass
class Heard:
    """What was heard of one station, by its own name."""

    books: SubscriberLedger = field(default_factory=SubscriberLedger)
    models: list[tuple[str, str | None]] = field(default_factory=list)
    """Boot and model, of each frame in order."""
    reports: list[Report] = field(default_factory=list)

    @property
    def stands(self) -> tuple[str | None, Phase | None]:
        """What judges there, and its phase, by its newest report."""
        last = self.reports[-1] if self.reports else None
        return (last.model, last.phase) if last else (None, None)


class Ears:
    """Hears all stations and all of the campaigns, over broker deaths."""

    def __init__(self, broker: Mosquitto, names: tuple[str, ...]) -> None:
        self.of = {name: Heard() for name in names}
        self.told: list[tuple[str, bytes]] = []
        self.at_open: dict[int, dict[str, tuple[str | None, Phase | None]]] = {}
        """When a wave was first said to be open: how all stations stood by their last reports."""
        self._changed = threading.Condition()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._joined
        self._client.on_message = self._take
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def say(self, topic: str, body: bytes) -> None:
        self._client.publish(topic, body, 1, True).wait_for_publish(GENEROUS_S)

    def until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, GENEROUS_S), self.story()

    def story(self) -> str:
        lines = [f"{topic} {body[:200]!r}" for topic, body in self.told[-8:]]
        for name, heard in self.of.items():
            last = heard.reports[-1] if heard.reports else None
            lines.append(f"{name}: {heard.stands} {last.stand if last else ''}")
        return "\n".join(lines)

    @staticmethod
    def _joined(client: paho.Client, *_: object) -> None:
        client.subscribe([("edge/#", 1), ("fleet/#", 1)])

    def _take(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        topic, body = message.topic, bytes(message.payload)
        with self._changed:
            if topic.startswith("fleet/"):
                self._campaign(topic, body)
            elif topic.split("/")[1] in self.of:
                self._station(self.of[topic.split("/")[1]], topic.split("/", 2)[2], body)
            self._changed.notify_all()

    def _campaign(self, topic: str, body: bytes) -> None:
        self.told.append((topic, body))
        if "/open/" in topic:
            wave = int(topic.rpartition("/")[2])
            self.at_open.setdefault(wave, {n: heard.stands for n, heard in self.of.items()})

    @staticmethod
    def _station(heard: Heard, topic: str, body: bytes) -> None:
        if topic == "fleet" and body:
            heard.reports.append(read_report(body))
        elif topic == "result":
            result = json.loads(body)
            heard.books.take_result(result)
            heard.models.append((result["boot"], result["model"]))
        elif topic == "model/event":
            heard.books.take_event(body)
        elif topic.startswith("response/"):
            heard.books.take_receipt(json.loads(body).get("receipt") or {})


class Stations:
    """Two or more of them; each life is a process that can be killed."""

    def __init__(self, folder: Path, broker: Mosquitto, rig: Rig, names: tuple[str, ...]) -> None:
        self.folder, self.broker, self.rig, self.names = folder, broker, rig, names
        self.ears = Ears(broker, names)
        for name in KEYS:
            generate_keypair(folder, name)
        self.ports = {name: free_port() for name in names}
        self.files = {name: self._settings(name) for name in names}
        self.desk = folder / "desk.yaml"
        self.desk.write_text(yaml.safe_dump(self._desk()))
        (folder / "inventory").write_text("".join(f"{name}\n" for name in names))
        self._parent = ForkParent(folder / "log")
        self._lives: dict[str, Life] = {}
        self._evaluators: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Stations:
        return self

    def __exit__(self, *_: object) -> None:
        for evaluator in self._evaluators:
            evaluator.kill()
            evaluator.wait(GENEROUS_S)
        self._parent.__exit__(None, None, None)
        self.ears.close()

    def _fleet(self) -> dict[str, Any]:
        return {"trust": {"keys": [str(self.folder / f"{name}.pub") for name in KEYS]}}

    def _desk(self) -> dict[str, Any]:
        return {
            "device": "desk",
            "mqtt": {"host": self.broker.host, "port": self.broker.port},
            "camera": {"source": "conveyor:"},
            "models": {"store": str(self.folder / "none"), "trust": {"required": False}},
            "state_dir": str(self.folder / "desk"),
            "fleet": self._fleet(),
        }

    def _settings(self, name: str) -> Path:
        own, rig = self.folder / name, self.rig
        own.mkdir()
        rig.fill(own / "store")
        isolation = "process" if rig.is_real else "thread"  # a thread starts much sooner
        settings = {
            **self._desk(),
            "device": name,
            "camera": {"source": rig.camera, "buffer_frames": 256},
            "models": {
                "store": str(own / "store"),
                "trust": {"required": False},
                "initial": rig.old,
            },
            "slots": {"count": 2, "isolation": isolation, "spare": "off"},
            "gate": {"memory_headroom_mb": 0, "latency_ratio": 10.0},
            "trial": {
                "frames": 5,
                "seconds": 0.1,
                "latency_ratio": 50.0,
                "verdicts": {"low": "off"},
            },
            "http": {"listen": f"127.0.0.1:{self.ports[name]}"},
            "log": {"level": "warning"},
            "state_dir": str(own / "state"),
            "fleet": {**self._fleet(), "report_every_s": 10},
        }
        file = self.folder / f"{name}.yaml"
        file.write_text(yaml.safe_dump(settings))
        return file

    # ------------------------------------------------------------------ processes

    def live(self, *names: str) -> None:
        """Begin, and return once all of them judge."""
        heard = {name: len(self.ears.of[name].models) for name in names}
        for name in names:
            self._lives[name] = self._parent.start(self.files[name], engine=self.rig.engine)
        self.ears.until(
            lambda: all(any(m for _, m in self.ears.of[n].models[heard[n] :]) for n in names)
        )

    def kill(self, name: str) -> None:
        self._lives.pop(name).end()

    def stop(self) -> None:
        """All of them, in order, so that each tells its last frame."""
        for life in self._lives.values():
            life.send(signal.SIGTERM)
        for life in self._lives.values():
            assert life.until_over()

    def evaluate(self, name: str) -> subprocess.Popen[bytes]:
        """`edge-daemon fleet watch` as people run it."""
        words = ["fleet", "watch", "--inventory", str(self.folder / "inventory"), "--name", name]
        with (self.folder / f"{name}.log").open("ab") as log:
            begun = subprocess.Popen(
                [sys.executable, "-m", "edge_daemon", *words, "--config", str(self.desk)],
                stdout=log,
                stderr=log,
                env=os.environ,
            )
        self._evaluators.append(begun)
        return begun

    # ------------------------------------------------------------------ campaigns

    def begin(self, **changes: Any) -> Campaign:
        """Sign a campaign for the new bundle with both keys, and put it on the broker."""
        store = self.folder / self.names[0] / "store"
        digests = {
            each: read_manifest(store / each.replace("@", "/")).weights.sha256
            for each in (self.rig.old, self.rig.new)
        }
        now = time.time()
        usual = {
            "model": self.rig.new,
            "sha256": digests[self.rig.new],
            "from": [digests[self.rig.old]],
            "canaries": [self.names[0]],
            "waves": [1e-9, 1.0],
            "not_before": now - 10.0,
            "expires": now + 3600.0,
        }
        made = campaign(**{**usual, **changes})
        envelope = None
        for name in KEYS:
            key = self.folder / f"{name}.key"
            envelope = sign(canonical(made), messages.KIND, key, envelope)
        assert envelope is not None
        self.ears.say(messages.campaign_topic(made.id), envelope)
        return made

    def stop_campaign(self, made: Campaign) -> None:
        body = messages.stopped(time.time(), "it misses caps", goes_back=True)
        self.ears.say(messages.stop_topic(made.id, "ops"), body)

    def until(self, model: str, phase: Phase, *names: str) -> None:
        """Until these (or all) say so."""
        self.ears.until(
            lambda: all(self.ears.of[n].stands == (model, phase) for n in names or self.names)
        )

    # ------------------------------------------------------------------ what adds up

    def ledger(self) -> dict[str, Any]:
        """`edge-daemon fleet ledger`, and that it agrees with the inventory."""
        return self._fleet_command("ledger", "--inventory", str(self.folder / "inventory"))

    def verified(self) -> list[dict[str, Any]]:
        """`edge-daemon fleet verify`: what each station shows for its report."""
        found: list[dict[str, Any]] = self._fleet_command("verify")["receipts"]
        return found

    def _fleet_command(self, *words: str) -> dict[str, Any]:
        command = [sys.executable, "-m", "edge_daemon", "fleet", *words, "--json"]
        done = subprocess.run(
            [*command, "--config", str(self.desk)],
            check=True,
            capture_output=True,
            timeout=GENEROUS_S,
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def lost(self, name: str) -> float:
        """Frames of this life without a verdict, as its own metrics count them."""
        address = f"http://127.0.0.1:{self.ports[name]}/metrics"
        with urllib.request.urlopen(address, timeout=GENEROUS_S) as answer:
            lines = answer.read().decode().splitlines()
        names = ("edge_frames_dropped_total", "edge_frames_uninspected_total")
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(names))
