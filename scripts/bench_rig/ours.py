"""The daemon itself as a line: its process, its broker, signed bundles, its gate.

Nothing is looked at from inside: frames are what comes on `result`, swaps are requests, and what
they cost stands in their receipts.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from bench_rig.lines import ROOT, Setup, private_bytes, weights_of
from bench_rig.records import Change, Run, Seen
from edge_daemon.config import dump, load
from edge_daemon.demo.stage import BUNDLES, answers, free_port
from edge_daemon.messaging.client import Client, UnfinishedError
from edge_daemon.models.trust import generate_keypair, sign

MAJORS = {"same": 1, "other": 2, "large": 3, "corrupt": 7, "raises": 8, "hangs": 9}
"""Model -> the first number of its versions: `other7` is bottle@2.7.0."""
GOLDEN = BUNDLES / "bottle/1.1.0/golden"
LOAD_TIMEOUT_S = 12.0
"""Long enough for the first worker of a busy box, short enough to watch a loader hang."""


class Signed(Protocol):
    """A store, and the key that vouches for what is in it."""

    folder: Path
    public: Path


class Store:
    """Signed bundles of all the models of `weights`, made once for all lines.

    `models`: `same`, `other1`, `other2`, … : what was never loaded must be proven.
    """

    def __init__(self, folder: Path, weights: Path, imgsz: int, models: Iterable[str]) -> None:
        self.folder = folder / "models"
        self.key, self.public = generate_keypair(folder)
        found = json.loads((weights / "found.json").read_text())
        for model in models:
            version = version_of(model)
            place = self.folder / "bottle" / version
            place.mkdir(parents=True)
            shutil.copytree(GOLDEN, place / "golden")
            source = weights_of(model, weights)
            shutil.copy(source, place / source.name)
            kind = model.rstrip("0123456789")
            manifest = _manifest(version, source, found.get(kind, found["same"]), imgsz)
            (place / "model.yaml").write_text(dump(manifest), encoding="utf-8")
            sign(place, self.key)


def version_of(model: str) -> str:
    kind = model.rstrip("0123456789")
    return f"{MAJORS[kind]}.{model[len(kind) :] or 0}.0"


def model_of(version: str) -> str:
    major, minor, _ = version.split(".")
    kind = next(name for name, number in MAJORS.items() if number == int(major))
    return kind if minor == "0" else f"{kind}{minor}"


def _manifest(version: str, source: Path, found: dict[str, Any], imgsz: int) -> dict[str, Any]:
    content = source.read_bytes()
    golden = [
        {
            "image": f"golden/{name}",
            "sha256": hashlib.sha256((GOLDEN / name).read_bytes()).hexdigest(),
            "slice": "all",
            "expect": boxes or {"count": 0},
        }
        for name, boxes in found.items()
    ]
    digest = hashlib.sha256(content).hexdigest()
    return {
        "schema": 1,
        "name": "bottle",
        "version": version,
        "weights": {"file": source.name, "sha256": digest, "size": len(content)},
        "task": "detect",
        "classes": ["bottle", "scratch", "dent"],
        "input": {"imgsz": imgsz},
        "recipe": {"confidence": 0.35, "reject": ["scratch", "dent"]},
        "golden": golden,
        "limits": {"min_recall": 0.9, "max_slice_drop": 0.05, "latency_ratio": 10.0},
    }


class DaemonLine:
    """The daemon, with workers or threads as its slots."""

    def __init__(
        self, isolation: str, setup: Setup, store: Signed, settings: dict[str, Any] | None = None
    ) -> None:
        self._setup, self._stack = setup, ExitStack()
        self._folder = Path(tempfile.mkdtemp(dir=setup.folder))
        self.broker_port = _start_broker(self._stack)
        plain = self._settings(isolation, store) | (settings or {})
        self.config = self._folder / "bench.yaml"
        self.config.write_text(dump(plain), encoding="utf-8")
        self.settings = load(self.config)
        self._lock = threading.Lock()
        self._results: list[bytes] = []
        self._arrived: list[float] = []
        self._log = self._stack.enter_context((self._folder / "daemon.log").open("wb"))
        self.client = self._stack.enter_context(Client.of(self.settings))
        self.client.listen(self.client.topics.result, self._take)
        self.start()

    def _settings(self, isolation: str, store: Signed) -> dict[str, Any]:
        given = self._setup
        return {
            "device": "bench",
            "mqtt": {"port": self.broker_port},
            "camera": {"source": f"conveyor:?fps={given.fps:g}&size={given.size}"},
            "models": {
                "store": str(store.folder),
                "trust": {"public_keys": [str(store.public)], "required": True},
                "initial": "bottle@1.0.0",
            },
            "slots": {
                "count": 2,
                "isolation": isolation,
                "threads": given.threads,
                "device": given.device,
            },
            "gate": {"latency_ratio": 10.0, "load_timeout_s": LOAD_TIMEOUT_S},
            "trial": {"frames": 5, "seconds": 0.2, "latency_ratio": 10.0},
            "http": {"listen": None},
            "state_dir": str(self._folder / "state"),
        }

    def start(self) -> None:
        """The program, on what it knows already."""
        path = os.pathsep.join((str(ROOT), str(ROOT / "scripts")))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edge_daemon", "run", "--config", str(self.config)],
            stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True,
            env=os.environ | {"PYTHONPATH": path},
        )  # fmt: skip

    @property
    def pid(self) -> int:
        return self._process.pid

    def _take(self, _: str, payload: bytes) -> None:
        at = time.monotonic()
        with self._lock:
            self._results.append(payload)
            self._arrived.append(at)

    @property
    def heard(self) -> int:
        return len(self._results)

    def await_ready(self, timeout_s: float = 60.0) -> None:
        deadline_at = time.monotonic() + timeout_s
        while self.heard < 5:
            if self._process.poll() is not None or time.monotonic() > deadline_at:
                raise RuntimeError((self._folder / "daemon.log").read_text()[-2000:])
            time.sleep(0.05)

    # ------------------------------------------------------------------ the story's side

    def swap(self, kind: str, model: str, timeout_s: float) -> Change:
        verb = "rollback" if kind == "rollback" else "swap"
        self.await_spare()
        body: dict[str, Any] = {"model": f"bottle@{version_of(model)}"}
        if verb == "swap":  # the models of the bench do not reject the same parts
            body |= {"accept": ["golden.escape", "recent.missed"], "reason": "a bench"}
        asked_at, accepted_ms, last = time.monotonic(), None, {}
        stages: dict[str, float] = {}
        with suppress(UnfinishedError):
            for answer in self.client.request(verb, {"by": "bench", **body}, max(timeout_s, 25.0)):
                last = answer
                if answer.get("status") == "accepted":
                    accepted_ms = (time.monotonic() - asked_at) * 1e3
        answered_ms = (time.monotonic() - asked_at) * 1e3
        receipt = last.get("receipt") or {}
        stages = {k: v or 0.0 for k, v in (receipt.get("stages_ms") or {}).items()}
        outcome = "active"
        if last.get("status") != "succeeded":
            outcome = str((last.get("error") or {}).get("code") or last.get("status"))
        beyond = answered_ms - sum(stages.values()) if outcome == "active" else None
        return Change(kind, model, asked_at, accepted_ms, outcome, receipt.get("pause_ms"), beyond)

    def ask_often(self, count: int) -> list[float]:
        """Milliseconds from a request to `accepted`, of requests that change no model."""
        taken: list[float] = []
        for number in range(count):
            verb = ("hold", "release")[number % 2]
            began = time.perf_counter()
            taken += [
                (time.perf_counter() - began) * 1e3
                for answer in self.client.request(verb, {"by": "bench"})
                if answer.get("status") == "accepted"
            ]
            time.sleep(0.02)
        return taken

    def await_spare(self, timeout_s: float = 20.0) -> None:
        """A station is asked now and then: its spare worker stands by again by then."""
        deadline_at = time.monotonic() + timeout_s
        while self.settings.slots.isolation == "process" and time.monotonic() < deadline_at:
            said = (self._folder / "daemon.log").read_text()
            if said.count('"worker_ready"') > said.count('"bundle_loaded"'):
                return
            time.sleep(0.1)

    def stop(self) -> None:
        """End the program, in order where it can."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def logged_ms(self, since_utc: float) -> dict[str, float]:
        """Event of the log -> milliseconds from that moment to the first time it was told."""
        found: dict[str, float] = {}
        for line in (self._folder / "daemon.log").read_text().splitlines():
            with suppress(ValueError, KeyError):
                said = json.loads(line)
                told = datetime.fromisoformat(said["timestamp"].replace("Z", "+00:00")).timestamp()
                if told >= since_utc:
                    found.setdefault(said["event"], (told - since_utc) * 1e3)
        return found

    def close(self) -> None:
        """End it, however far it got."""
        self.stop()
        self._stack.close()

    def memory_bytes(self) -> int:
        self.await_spare()  # the same processes each time
        return private_bytes(self._process.pid)

    def revive(self, model: str) -> bool:  # noqa: ARG002 - it remembers by itself
        before = self.heard
        time.sleep(0.5)
        if self.heard > before:
            return False
        self._process.kill()
        self._process.wait()
        self.start()
        time.sleep(8.0)
        return True

    def finish(self) -> Run:
        ended_at = time.monotonic() - 0.1
        time.sleep(0.5)  # what was judged is on its way
        self.close()
        return Run(self._setup.fps, self._seen(), ended_at=ended_at)

    def _seen(self) -> list[Seen]:
        to_monotonic = time.monotonic() - time.time()
        found: list[Seen] = []
        boot = None
        for payload in self._results:
            said = json.loads(payload)
            if said["verdict"] == "uninspected":
                continue
            taken = datetime.fromisoformat(said["time"].replace("Z", "+00:00")).timestamp()
            captured_at = taken + to_monotonic
            began_at = captured_at + said["latency_ms"]["queue"] / 1e3
            done_at = began_at + said["latency_ms"]["inference"] / 1e3
            model = model_of(said["model"].partition("@")[2])
            boot, number = boot or said["boot"], said["frame"]
            if said["boot"] != boot:  # it was restarted, and counts anew: the camera does not
                passed_s = captured_at - found[0].captured_at
                number = found[0].number + round(passed_s * self._setup.fps)
            found.append(Seen(number, captured_at, began_at, done_at, model))
        return found


def _start_broker(stack: ExitStack) -> int:
    """mosquitto where it is installed, else the embedded one; a free port of this machine."""
    program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin")
    port = free_port()
    if program is None:
        from tests.sim.iotcore import EmbeddedBroker

        broker = EmbeddedBroker(5)
        stack.callback(broker.stop)
        broker.start()
        port = broker.port
    else:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-broker-")))
        config = folder / "mosquitto.conf"
        config.write_text(
            f"listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"
            "max_queued_messages 0\nlog_dest none\n"
        )
        process = subprocess.Popen([program, "-c", str(config)])
        stack.callback(process.wait)
        stack.callback(process.terminate)
    deadline_at = time.monotonic() + 10.0
    while not answers(port):
        if time.monotonic() > deadline_at:
            raise RuntimeError("The broker did not start.")
        time.sleep(0.05)
    return port
