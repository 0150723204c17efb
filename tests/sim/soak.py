"""Faults every few seconds for as long as one likes; or many swaps and failed loads in a row.

    python -m tests.sim.soak --minutes 10
    python -m tests.sim.soak --swaps 1000 --failed-loads 100
    python -m tests.sim.soak --swaps 100 --engine real
    python -m tests.sim.soak --swaps 1000 --kills 1000

The whole tree of processes is looked at: memory, descriptors, threads, processes, and how they
grow. The first form kills and stops workers, unplugs the camera, restarts the broker, offers bad
bundles, swaps, rolls back, sends SIGHUP with a good and with a bad file, and fills the disk of the
state folder (as root). After each fault verdicts must come again. The last form swaps among six
bundles at 30 frames a second, kills a process after each swap, and loses no frame.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from random import Random
from typing import Any

import yaml

from edge_daemon.demo.stage import BUNDLES
from edge_daemon.messaging.local_client import LocalSocketError, ask
from edge_daemon.slots.process import ENGINE as REAL_ENGINE
from tests.sim import daemon
from tests.sim.bundles import make_bundle
from tests.sim.fork_parent import ForkParent, Life
from tests.sim.line import OUTCOMES, ROOT, make_store, settings_for
from tests.sim.marked_engine import marked_weights
from tests.sim.mjpeg import MjpegCamera
from tests.sim.mosquitto import Mosquitto, free_port, scratch
from tests.sim.networks import Stranger
from tests.sim.proctree import fork_servers, look, workers
from tests.sim.soak_kills import KINDS, Killer, frames_lost
from tests.sim.soak_plan import Plan, Reckoning

GENEROUS_S = 90.0
BAD = "bottle@3.0.0"
"""Kills the process that asks it."""
UNLOADABLE = "bottle@3.5.0"
DISK_MB = 32


class Soak:
    """One device, its surroundings, and what is done to them."""

    def __init__(self, folder: Path, broker: Mosquitto, plan: Plan) -> None:
        self._plan = plan
        self._random = Random(plan.seed)
        self._broker = broker
        self._folder = folder
        self._closing = ExitStack()
        self._listen = f"127.0.0.1:{free_port()}"
        self._camera: MjpegCamera | None = None
        self._models = self._fill_store()
        self._disk = self._mount()
        self._config = folder / "cam1.yaml"
        self._document = self._settings()
        self._config.write_text(yaml.safe_dump(self._document))
        self._ear = Stranger(broker)
        self._closing.callback(self._ear.close)
        fork_parent = self._closing.enter_context(ForkParent(folder / "log"))
        engine = REAL_ENGINE if plan.real else daemon.ENGINE
        self._life: Life = fork_parent.start(self._config, engine=engine)
        self._killer = Killer(folder / "log")
        self.reckoning = Reckoning()

    def close(self) -> None:
        self._closing.close()

    # ------------------------------------------------------------------ surroundings

    def _fill_store(self) -> tuple[str, ...]:
        """Three versions that take turns in two slots, so that each swap is a load; a bad one."""
        if self._plan.real:
            store = self._folder / "store"
            shutil.copytree(BUNDLES, store)
            return ("bottle@1.0.0", "bottle@1.1.0", "can@1.0.0")
        make_store(self._folder)
        weights = marked_weights(0.59, ("bottle", "scratch", "dent"), pace_ms=2.0)
        store, file = self._folder / "store", "weights-good.pt"
        make_bundle(store, "bottle@2.5.0", weights=weights, file=file, golden=0, edit=_patient)
        file = "weights-raise_at_load.pt"
        make_bundle(store, UNLOADABLE, weights=weights, file=file, golden=0, edit=_patient)
        good = ["bottle@1.0.0", "bottle@2.0.0", "bottle@2.5.0"]
        for minor in range(6, 9) if self._plan.kills else ():
            ref, file = f"bottle@2.{minor}.0", "weights-good.pt"
            make_bundle(store, ref, weights=weights, file=file, golden=0, edit=_patient)
            good.append(ref)
        return tuple(good)

    def _mount(self) -> Path:
        """A small disk of its own for the state, where this user may mount one."""
        disk = self._folder / "state"
        disk.mkdir()
        if self._plan.minutes and os.geteuid() == 0:
            command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(disk)]
            if subprocess.run(command, check=False).returncode == 0:
                self._closing.callback(subprocess.run, ["umount", "-l", str(disk)], check=False)
                return disk
        return self._folder / "nowhere"

    def _settings(self) -> dict[str, Any]:
        plan = self._plan
        fps = 30 if plan.real or plan.kills else 300
        source = f"conveyor:?size=160x120&fps={fps}"
        if plan.minutes:
            self._camera = MjpegCamera(30.0)
            self._closing.callback(self._camera.close)
            source = self._camera.url
        slots = {"count": 2, "isolation": "thread", "spare": "off"}
        if plan.minutes or plan.real or plan.kills:
            slots = {"count": 3 if plan.kills else 2, "isolation": "process", "spare": "warm"}
        ratios = {"latency_ratio": 100.0}
        settings = settings_for(
            self._folder,
            self._broker,
            camera={"source": source, "buffer_frames": 128, "read_timeout_s": 2.0},
            slots=slots,
            trial={"frames": 10, "seconds": 0.1, "max_error_rate": 1.0, **ratios},
            gate={"memory_headroom_mb": 0, "warm_up_inferences": 2, **ratios},
            results={"publish": "none"},
            http={"listen": self._listen},
            log={"level": "info" if plan.kills else "warning"},
        )
        return settings.model_dump(mode="json")

    # ------------------------------------------------------------------ many faults

    def run(self) -> Reckoning:
        self._until(self._is_active, "the first model", 120.0)
        if self._plan.minutes:
            self._rage(self._plan.minutes * 60)
        else:
            self._turn_over()
        if self._plan.kills:
            self._lose_nothing()
        self._part()
        return self.reckoning

    def _rage(self, seconds: float) -> None:
        began = time.monotonic()
        troubles = sorted(self._troubles().items())
        while time.monotonic() - began < seconds and not self.reckoning.wrong:
            name, trouble = self._random.choice(troubles)
            self.reckoning.faults[name] += 1
            trouble()
            self._recovered(name)
            time.sleep(self._random.uniform(0.5, 3.0))
            self._sample((time.monotonic() - began) / 60)

    def _troubles(self) -> dict[str, Callable[[], None]]:
        found: dict[str, Callable[[], None]] = {
            "worker killed": lambda: self._signal(signal.SIGKILL),
            "worker stopped": lambda: self._signal(signal.SIGSTOP),
            "fork server killed": lambda: self._signal(signal.SIGKILL, fork_servers),
            "fork server stopped": lambda: self._signal(signal.SIGSTOP, fork_servers),
            "broker restarted": self._restart_broker,
            "camera unplugged": self._unplug,
            "bad bundle": lambda: self._ask("swap", model=BAD),
            "swap": lambda: self._ask("swap", model=self._random.choice(self._models)),
            "rollback": lambda: self._ask("rollback"),
            "reload": lambda: self._reload({}),
            "reload of a bad file": lambda: self._reload({"kamera": {}}),
        }
        if self._disk.exists():
            found["disk full"] = self._fill_disk
        return found

    def _signal(self, number: signal.Signals, those: Callable[[int], list[int]] = workers) -> None:
        if found := those(self._life.pid):
            with suppress(ProcessLookupError):
                os.kill(self._random.choice(found), number)

    def _restart_broker(self) -> None:
        self._ear.about_to_lose()
        self._broker.stop()
        time.sleep(self._random.uniform(0.0, 2.0))
        self._broker.start()
        self._ear.until_subscribed()

    def _unplug(self) -> None:
        assert self._camera is not None
        self._camera.unplug()
        time.sleep(self._random.uniform(0.0, 4.0))
        self._camera.plug()

    def _reload(self, more: dict[str, Any]) -> None:
        self._config.write_text(yaml.safe_dump({**self._document, **more}))
        self._life.send(signal.SIGHUP)

    def _fill_disk(self) -> None:
        filler = self._disk / "filler"
        with suppress(OSError), filler.open("wb") as file:
            while True:
                file.write(bytes(1 << 16))
        self._send("swap", model=self._random.choice(self._models))
        time.sleep(3.0)
        filler.unlink()

    def _recovered(self, name: str) -> None:
        """Verdicts come, and commands are answered."""
        began = time.monotonic()
        before = self._inspected()
        self._until(lambda: self._inspected() > before, f"a verdict after: {name}")
        took_s = time.monotonic() - began
        self.reckoning.longest_s = max(self.reckoning.longest_s, (took_s, name))

    def _inspected(self) -> int:
        """As the daemon says at this moment, whatever its broker does."""
        lines = self._metrics().splitlines()
        mine = [line for line in lines if line.startswith("edge_frames_inspected_total{")]
        return int(sum(float(line.rpartition(" ")[2]) for line in mine))

    def _metrics(self) -> str:
        try:
            with urllib.request.urlopen(f"http://{self._listen}/metrics", timeout=10.0) as page:
                said: bytes = page.read()
        except OSError:
            return ""
        return said.decode()

    def _inquire(self, verb: str, **document: Any) -> dict[str, Any]:
        path = self._folder / "state" / "line3-cam1" / "control.sock"
        try:
            return next(ask(path, verb, document, 10.0), {})
        except LocalSocketError:
            return {}

    # ------------------------------------------------------------------ many swaps

    def _turn_over(self) -> None:
        plan = self._plan
        total = plan.swaps + plan.failed_loads
        self.reckoning.unit = "swap"
        for number in range(total):
            bad = plan.failed_loads
            if number * bad // total != (number + 1) * bad // total:
                self._ask("swap", model=UNLOADABLE)
                self._inquire("unquarantine", model=UNLOADABLE, by="soak")
            else:
                outcome = self._ask("swap", model=self._models[number % len(self._models)])
                if outcome.get("status") != "succeeded":
                    self.reckoning.wrong.append(f"swap {number}: {outcome}")
                elif sum(self.reckoning.faults.values()) < plan.kills:
                    self._kill(self._models[number % len(self._models)])
            if number % 10 == 0:
                self._sample(float(number))
            if len(self.reckoning.wrong) > 5:
                return

    def _kill(self, active: str) -> None:
        kind = KINDS[sum(self.reckoning.faults.values()) % len(KINDS)]
        self._until(lambda: self._killer.kill(kind, self._life.pid, active), f"a {kind} to kill")
        self.reckoning.faults[f"{kind} killed"] += 1
        self._recovered(f"{kind} killed")

    def _lose_nothing(self) -> None:
        lost = frames_lost(self._metrics())
        if lost:
            self.reckoning.wrong.append(f"frames lost: {lost}")

    def _sample(self, at: float) -> None:
        self.reckoning.samples.append((at, look(self._life.pid)))

    # ------------------------------------------------------------------ asking

    def _send(self, verb: str, **document: Any) -> str:
        request_id = uuid.uuid4().hex
        self._ear.publish(f"{ROOT}/request/{verb}", {"id": request_id, **document})
        return request_id

    def _ask(self, verb: str, **document: Any) -> dict[str, Any]:
        request_id = self._send(verb, **document)
        found: list[dict[str, Any]] = []

        def came() -> bool:
            recent = tuple(self._ear.heard)[-300:]
            answers = [body for topic, body in recent if topic.startswith("response/")]
            found[:] = [a for a in answers if a["id"] == request_id and a["status"] in OUTCOMES]
            return bool(found)

        self._until(came, f"the outcome of {verb} {document}")
        if not found:
            return {}
        outcome = found[0]
        self.reckoning.outcomes[outcome["status"]] += 1
        if self._plan.minutes:  # what was left, or refused, may be tried again
            for model in (*self._models, BAD):
                self._inquire("unquarantine", model=model, by="soak")
        return outcome

    def _is_active(self) -> bool:
        states = [body for topic, body in tuple(self._ear.heard) if topic == "model/state"]
        return bool(states) and states[-1]["active"] is not None

    def _until(
        self, condition: Callable[[], bool], what: str, within_s: float = GENEROUS_S
    ) -> None:
        deadline_at = time.monotonic() + within_s
        while not condition():
            if self._life.is_over or time.monotonic() > deadline_at:
                why = "the daemon died" if self._life.is_over else f"not within {within_s:.0f} s"
                self.reckoning.wrong.append(f"{what}: {why}")
                return
            time.sleep(0.02)

    def _part(self) -> None:
        """A stop in order leaves nothing behind, and the books balance."""
        below = workers(self._life.pid)
        self._life.send(signal.SIGTERM)
        if not self._life.until_over():
            self.reckoning.wrong.append("it does not stop")
        time.sleep(0.5)
        left = [pid for pid in below if Path(f"/proc/{pid}").exists()]
        if left:
            self.reckoning.wrong.append(f"workers left behind: {left}")
        log = (self._folder / "log").read_text()
        for line in log.splitlines():
            if "Traceback" in line or '"level": "critical"' in line:
                self.reckoning.wrong.append(f"in the log: {line[:300]}")


def _patient(manifest: dict[str, Any]) -> None:
    manifest["limits"]["latency_ratio"] = 100.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=0.0, help="of random faults")
    parser.add_argument("--swaps", type=int, default=0, help="in a row, instead")
    parser.add_argument("--failed-loads", type=int, default=0, help="among the swaps")
    parser.add_argument("--engine", choices=("light", "real"), default="light")
    parser.add_argument("--kills", type=int, default=0, help="among the swaps")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if not given.minutes and not given.swaps:
        parser.error("give --minutes or --swaps")
    real = given.engine == "real"
    plan = Plan(given.minutes, given.swaps, given.failed_loads, real, given.seed, given.kills)
    with scratch() as (folder, broker), closing(Soak(folder, broker, plan)) as soak:
        reckoning = soak.run()
    for wrong in reckoning.wrong:
        sys.stdout.write(f"  {wrong}\n")
    sys.stdout.write(f"{reckoning}\n")
    return 1 if reckoning.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
