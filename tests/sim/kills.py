"""SIGKILL of the whole daemon at random moments of swaps, over a real broker; and the reckoning.

    python -m tests.sim.kills --n 100

After each kill the next life must judge with the version that was active on trial or confirmed;
in the end every request that the broker acknowledged has exactly one outcome, no swap was done
twice, and the audit trail is whole.
"""

from __future__ import annotations

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import yaml

from edge_daemon.control.durable import decode_durable
from edge_daemon.core.state import Durable
from edge_daemon.host.journal import Journal
from tests.sim.line import OUTCOMES, Subscriber, make_store, settings_for
from tests.sim.mosquitto import Mosquitto, new_mosquitto

MODELS = ("bottle@1.0.0", "bottle@2.0.0", "can@1.0.0")
SPAN_S = 0.5
"""A swap is over in less; its trial too, most of the time."""
GENEROUS_S = 60.0


@dataclass
class Reckoning:
    """What came of a run."""

    kills: int = 0
    requests: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    longest_start_s: float = 0.0

    def __str__(self) -> str:
        bound = "" if self.faults else f" (95 % bound {3 / max(1, self.kills):.3f})"
        told = ", ".join(f"{count} {status}" for status, count in sorted(self.outcomes.items()))
        return (
            f"{self.kills} kills, {self.requests} requests acknowledged: {told}; "
            f"{len(self.faults)} faults{bound}; longest start {self.longest_start_s:.1f} s"
        )


class Killer:
    """One device's lives and deaths."""

    def __init__(
        self, folder: Path, broker: Mosquitto, random: Random, *, forgetful: bool = False
    ) -> None:
        make_store(folder)
        settings = settings_for(
            folder,
            broker,
            slots={"count": 2, "isolation": "thread", "spare": "off"},
            trial={"frames": 5, "seconds": 0.1, "latency_ratio": 100.0, "max_error_rate": 1.0},
            gate={"memory_headroom_mb": 0, "warm_up_inferences": 2, "latency_ratio": 100.0},
        )
        self._config = folder / "cam1.yaml"
        self._config.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
        self._state_folder = settings.state_folder
        self._command = [sys.executable, "-m", "tests.sim.daemon", "--config", str(self._config)]
        self._command += ["--forgetful"] if forgetful else []
        self._log = (folder / "log").open("ab")
        self._random = random
        self._ear = Subscriber(broker)
        self._sent: list[str] = []
        self._daemon: subprocess.Popen[bytes] | None = None
        self.reckoning = Reckoning()

    def run(self, kills: int) -> Reckoning:
        """So many lives that end by SIGKILL, and a last one that does not."""
        try:
            for _ in range(kills):
                self._live()
                self._ask()
                time.sleep(self._random.uniform(0.0, SPAN_S))
                self._kill()
            self._live()
            self._reckon()
        finally:
            self._end()
        return self.reckoning

    # ------------------------------------------------------------------ one life

    def _live(self) -> None:
        """Start; the first verdicts are by a version that may judge. Until its trial is over."""
        durable = self._read()
        heard = len(self._ear.results)
        began = time.monotonic()
        self._daemon = subprocess.Popen(self._command, stdout=self._log, stderr=self._log)
        judged = self._first_model(heard)
        took_s = time.monotonic() - began
        self.reckoning.longest_start_s = max(self.reckoning.longest_start_s, took_s)
        if durable is not None and judged is not None:
            allowed = {str(ref) for ref in durable.confirmed}
            if durable.active is not None and durable.trial is not None:
                allowed.add(str(durable.active.ref))
            if judged not in allowed:
                self._fault(f"started on {judged}; allowed: {sorted(allowed)}")
        self._until(lambda: not self._is_on_trial(), "the end of the trial")

    def _first_model(self, heard: int) -> str | None:
        boots = {result["boot"] for result in self._ear.results[-200:]}

        def first() -> str | None:
            fresh = [r for r in self._ear.results[heard:] if r["boot"] not in boots]
            return next((r["model"] for r in fresh if r["model"]), None)

        return first() if self._until(lambda: first() is not None, "the first verdict") else None

    def _is_on_trial(self) -> bool:
        states = [body for topic, body in self._ear.heard[-300:] if topic == "model/state"]
        active = states[-1]["active"] if states else None
        return active is None or bool(active["trial"])

    def _ask(self) -> None:
        """One to three requests; what the broker acknowledged may not get lost."""
        for _ in range(self._random.randint(1, 3)):
            verb = self._random.choice(("swap", "swap", "swap", "prepare"))
            request_id = uuid.uuid4().hex
            document = {"id": request_id, "model": self._random.choice(MODELS)}
            self._ear.publish(f"edge/line3-cam1/request/{verb}", document)
            self._sent.append(request_id)
            time.sleep(self._random.uniform(0.0, 0.2))

    def _kill(self) -> None:
        assert self._daemon is not None
        self._daemon.send_signal(signal.SIGKILL)
        self._daemon.wait()
        self.reckoning.kills += 1

    # ------------------------------------------------------------------ the reckoning

    def _read(self) -> Durable | None:
        """What the dead one left: its state, and whether its trail is whole."""
        if not (self._state_folder / "journal.db").exists():
            return None
        journal = Journal.open(self._state_folder)
        try:
            for fault in journal.audit_faults():
                self._fault(f"audit: {fault}")
            if journal.recovered is not None:
                self._fault(f"journal: {journal.recovered.cause}")
            return decode_durable(journal.state())
        finally:
            journal.close()

    def _reckon(self) -> None:
        self.reckoning.requests = len(self._sent)
        wait_s = GENEROUS_S / 4
        self._until(lambda: all(map(self._outcomes, self._sent)), "every outcome", wait_s)
        for request_id in self._sent:
            found = self._outcomes(request_id)
            if len(found) != 1:
                self._fault(f"request {request_id} has {len(found)} outcomes: {found}")
            for outcome in found:
                status = json.loads(outcome)["status"]
                self.reckoning.outcomes[status] = self.reckoning.outcomes.get(status, 0) + 1
        self._end()
        self._read()
        swapped = self._swapped()
        for swap_id in {s for s in swapped if swapped.count(s) > 1}:
            self._fault(f"swap {swap_id} was done {swapped.count(swap_id)} times")

    def _outcomes(self, request_id: str) -> set[str]:
        """Its different outcomes; the same one may be delivered again."""
        return {
            json.dumps(body, sort_keys=True)
            for topic, body in tuple(self._ear.heard)
            if topic.startswith("response/")
            and body.get("id") == request_id
            and body["status"] in OUTCOMES
        }

    def _swapped(self) -> list[str]:
        journal = Journal.open(self._state_folder)
        rows = [json.loads(link.row.body) for link in journal.audit_rows()]
        journal.close()
        return [row["swap"] for row in rows if row.get("event") == "swapped" and row.get("swap")]

    def _until(self, condition: object, what: str, within_s: float = GENEROUS_S) -> bool:
        assert callable(condition)
        deadline_at = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline_at:
                self._fault(f"{what} did not come within {within_s:.0f} s")
                return False
            time.sleep(0.01)
        return True

    def _fault(self, what: str) -> None:
        self.reckoning.faults.append(f"after {self.reckoning.kills} kills: {what}")

    def _end(self) -> None:
        daemon, self._daemon = self._daemon, None
        if daemon is not None:
            daemon.terminate()
            daemon.wait(GENEROUS_S)
            self._ear.close()
            self._log.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100, help="kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--control", action="store_true", help="a forgetful daemon: must fail")
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="edk-"))
    with new_mosquitto() as broker:
        killer = Killer(folder, broker, Random(given.seed), forgetful=given.control)
        reckoning = killer.run(given.n)
    for fault in reckoning.faults:
        sys.stdout.write(f"  {fault}\n")
    sys.stdout.write(f"{reckoning}\n")
    return 1 if reckoning.faults else 0


if __name__ == "__main__":
    sys.exit(main())
