"""SIGKILL of the whole daemon at random moments, over a real broker; and the reckoning.

    python -m tests.sim.kills --n 1000
    python -m tests.sim.kills --n 20 --engine real      # torch, worker processes, the demo's models

Each life is asked for swaps, rollbacks and preparations, gets job orders, is held, released and
confirmed, and is killed: while it starts, while it works, or later. After each kill the journal
must be sound and name a version that is known; the next life must judge with one that was
confirmed or is on trial. In the end every request that the broker acknowledged has exactly one
outcome, no swap was done twice, every order is on record, and the audit trail is whole.
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from typing import Any

import yaml

from edge_daemon.control.durable import decode_durable, encode_durable
from edge_daemon.core.health import CALM_S
from edge_daemon.core.state import Durable
from edge_daemon.demo.stage import BUNDLES
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.slots.process import ENGINE as REAL_ENGINE
from tests.sim import daemon
from tests.sim.fork_parent import ForkParent, Life
from tests.sim.line import LINKS, OUTCOMES, Subscriber, make_store, settings_for
from tests.sim.mosquitto import Mosquitto, scratch
from tests.sim.reckoning import Found, report

GENEROUS_S = CALM_S + 60.0
"""Three starts cut short, and a good version rests for a minute."""


@dataclass(frozen=True)
class Kind:
    """What is killed, and how patiently."""

    engine: str
    models: tuple[str, ...]
    span_s: float  # a swap is over in less, most of the time
    slots: dict[str, Any]


LIGHT = Kind(
    daemon.ENGINE,
    ("bottle@1.0.0", "bottle@2.0.0", "can@1.0.0"),
    0.5,
    {"count": 2, "isolation": "thread", "spare": "off"},
)
REAL = Kind(
    REAL_ENGINE, ("bottle@1.0.0", "bottle@1.1.0", "can@1.0.0"), 4.0, {"count": 2, "spare": "warm"}
)


@dataclass
class Reckoning(Found):
    """What came of a run."""

    kills: int = 0
    requests: int = 0
    orders: int = 0
    hit: Counter[str] = field(default_factory=Counter)
    """What the kills found under way."""
    outcomes: Counter[str] = field(default_factory=Counter)
    starts_s: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        bound = "" if self.faults else f" (95 % bound {3 / max(1, self.kills):.4f})"
        ended = ", ".join(f"{count} {status}" for status, count in sorted(self.outcomes.items()))
        hit = ", ".join(f"{count} {what}" for what, count in sorted(self.hit.items()))
        starts = sorted(self.starts_s) or [0.0]
        return (
            f"{self.kills} kills ({hit}); {self.requests} requests acknowledged: {ended}; "
            f"{self.orders} orders; {len(self.faults)} faults{bound}; "
            f"start median {starts[len(starts) // 2]:.2f} s, longest {starts[-1]:.1f} s"
        )


class Killer:
    """One device's lives and deaths."""

    def __init__(
        self,
        folder: Path,
        broker: Mosquitto,
        random: Random,
        *,
        kind: Kind = LIGHT,
        forgetful: bool = False,
    ) -> None:
        if kind is LIGHT:
            make_store(folder)
        else:
            shutil.copytree(BUNDLES, folder / "store")
        settings = settings_for(
            folder,
            broker,
            camera={"source": "conveyor:?size=160x120&fps=120", "buffer_frames": 256},
            slots=kind.slots,
            trial={"frames": 10, "seconds": 0.2, "latency_ratio": 100.0, "max_error_rate": 1.0},
            gate={"memory_headroom_mb": 0, "warm_up_inferences": 2, "latency_ratio": 100.0},
        )
        self._config = folder / "cam1.yaml"
        self._config.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
        self._state_folder = settings.state_folder
        self._kind = kind
        self._forgetful = forgetful
        self._random = random
        self._ear = Subscriber(broker)
        self._nursery = ForkParent(folder / "log")
        self._life: Life | None = None
        self._sent: list[str] = []
        self._orders: list[str] = []
        self._boots: set[str] = set()
        self.reckoning = Reckoning()

    def run(self, kills: int) -> Reckoning:
        """So many lives that end by SIGKILL, and a last one that does not."""
        try:
            for _ in range(kills):
                self._live_and_die()
            self._live()
            self._reckon()
        finally:
            if self._life is not None:
                self._life.end()
            self._ear.close()
            self._nursery.__exit__(None, None, None)
        return self.reckoning

    # ------------------------------------------------------------------ one life

    def _live_and_die(self) -> None:
        chance = self._random.random()
        if chance < 0.15:  # while it starts
            self._start()
            time.sleep(self._random.uniform(0.0, self._kind.span_s))
        else:
            self._live()
            if chance < 0.5:
                self._until(lambda: not self._is_on_trial(), "the end of the trial")
            for _ in range(self._random.randint(0, 2)):
                self._act()
                time.sleep(self._random.uniform(0.0, self._kind.span_s / 3))
            if self._random.random() < 0.8:
                self._swap_to_another()
            time.sleep(self._random.uniform(0.0, self._kind.span_s))
        self._kill()

    def _start(self) -> Durable | None:
        durable = self._read()
        self._life = self._nursery.start(
            self._config, engine=self._kind.engine, forgetful=self._forgetful
        )
        return durable

    def _live(self) -> None:
        """Start; the first verdicts are by a version that may judge."""
        heard = len(self._ear.results)
        began = time.monotonic()
        durable = self._start()
        judged = self._first_model(heard)
        self.reckoning.starts_s.append(time.monotonic() - began)
        if durable is not None and judged is not None and judged not in _may_start(durable):
            self._fault(f"started on {judged}; allowed: {sorted(_may_start(durable))}")

    def _first_model(self, heard: int) -> str | None:
        """The model of the new boot's first verdict."""
        known = frozenset(self._boots)

        def first() -> str | None:
            fresh = [r for r in self._ear.results[heard:] if r["boot"] not in known]
            self._boots.update(r["boot"] for r in fresh)
            return next((r["model"] for r in fresh if r["model"]), None)

        return first() if self._until(lambda: first() is not None, "the first verdict") else None

    def _is_on_trial(self) -> bool:
        states = [body for topic, body in self._ear.heard[-300:] if topic == "model/state"]
        active = states[-1]["active"] if states else None
        return active is None or bool(active["trial"])

    def _act(self) -> None:
        """What the broker acknowledged of it may not get lost."""
        verbs = ("swap", "swap", "swap", "swap", "prepare", "rollback", "confirm", "order", "hold")
        verb = self._random.choice(verbs)
        if verb == "order":
            self._order(self._random.choice(tuple(LINKS)))
        elif verb == "hold":
            self._ask("hold")
            self._order(self._random.choice(tuple(LINKS)))
            self._ask("release")
        elif verb in ("swap", "prepare"):
            self._ask(verb, model=self._random.choice(self._kind.models))
        else:
            self._ask(verb)

    def _swap_to_another(self) -> None:
        """Another version of what judges now, so that there is something to kill."""
        now = self._ear.results[-1]["model"]
        name = (now or self._kind.models[0]).partition("@")[0]
        others = [m for m in self._kind.models if m != now and m.startswith(name)]
        self._ask("swap", model=self._random.choice(others or self._kind.models))

    def _ask(self, verb: str, **document: Any) -> None:
        request_id = uuid.uuid4().hex
        self._ear.publish(f"edge/line3-cam1/request/{verb}", {"id": request_id, **document})
        self._sent.append(request_id)

    def _order(self, product: str) -> None:
        order = f"WO-{len(self._orders)}"
        self._ear.order(order, product)
        self._orders.append(order)

    def _kill(self) -> None:
        assert self._life is not None
        self._life.end(signal.SIGKILL)
        self.reckoning.kills += 1

    # ------------------------------------------------------------------ the reckoning

    def _read(self) -> Durable | None:
        """What the dead one left; an operator lifts every quarantine, so that all goes on."""
        if not (self._state_folder / "journal.db").exists():
            return None
        journal = Journal.open(self._state_folder)
        try:
            for fault in journal.audit_faults():
                self._fault(f"audit: {fault}")
            if journal.recovered is not None:
                self._fault(f"journal: {journal.recovered.cause}")
            durable = decode_durable(journal.state())
            active = durable.active
            known = {str(ref) for ref, _ in durable.quarantined} | _may_judge(durable)
            if active is not None and str(active.ref) not in known:
                self._fault(f"{active.ref} is active, and nobody knows it")
            is_open = bool(journal.open_requests())
            what = "an open request" if is_open else "a trial" if durable.trial else "neither"
            self.reckoning.hit[what] += 1
            lifted = replace(durable, quarantined=())
            if lifted != durable:
                journal.commit(Entry(state=encode_durable(lifted)))
            return lifted
        finally:
            journal.close()

    def _reckon(self) -> None:
        self.reckoning.requests, self.reckoning.orders = len(self._sent), len(self._orders)
        wait_s = 2.0 if self._forgetful else GENEROUS_S / 4
        self._until(self._all_answered, "every outcome", wait_s)
        found = self._outcomes()
        for request_id in self._sent:
            outcomes = found[request_id]
            if len(outcomes) != 1:
                self._fault(f"request {request_id} has {len(outcomes)} outcomes: {outcomes}")
            self.reckoning.outcomes.update(json.loads(each)["status"] for each in outcomes)
        assert self._life is not None
        self._life.end(signal.SIGTERM)
        self._read()
        self._check_trail()

    def _all_answered(self) -> bool:
        return len(self._outcomes().keys() & set(self._sent)) == len(self._sent)

    def _outcomes(self) -> dict[str, set[str]]:
        """Each request's different outcomes; the same one may be delivered again."""
        found: dict[str, set[str]] = defaultdict(set)
        for topic, body in tuple(self._ear.heard):
            if topic.startswith("response/") and body["status"] in OUTCOMES:
                found[body["id"]].add(json.dumps(body, sort_keys=True))
        return found

    def _check_trail(self) -> None:
        """What the journal says was done: each swap and each acceptance once, every order."""
        journal = Journal.open(self._state_folder)
        rows = [(each.row.kind, json.loads(each.row.body)) for each in journal.audit_rows()]
        journal.close()
        swapped = Counter(b["swap"] for _, b in rows if b.get("event") == "swapped")
        accepted = Counter(b["id"] for kind, b in rows if kind == "request")
        for what, counts in (("swap", swapped), ("request", accepted)):
            for name, count in counts.items():
                if count > 1:
                    self._fault(f"{what} {name} was done {count} times")
        noted = {body["order"] for kind, body in rows if kind == "order"}
        for order in sorted(set(self._orders) - noted):
            self._fault(f"order {order} was lost")

    def _until(
        self, condition: Callable[[], bool], what: str, within_s: float = GENEROUS_S
    ) -> bool:
        deadline_at = time.monotonic() + within_s
        while not condition():
            if time.monotonic() > deadline_at:
                self._fault(f"{what} did not come within {within_s:.0f} s")
                return False
            time.sleep(0.01)
        return True

    def _fault(self, what: str) -> None:
        self.reckoning.faults.append(f"after {self.reckoning.kills} kills: {what}")


def _may_judge(durable: Durable) -> set[str]:
    """The versions that are good, or being tried."""
    known = {str(ref) for ref in durable.confirmed}
    if durable.active is not None and durable.trial is not None:
        known.add(str(durable.active.ref))
    return known


INITIAL = "bottle@1.0.0"  # of `settings_for`


def _may_start(durable: Durable) -> set[str]:
    """What the next life may judge its first frame with: tries and orders have their say."""
    allowed = _may_judge(durable)
    if durable.active is None:  # the first start was cut short: the configured version is next
        allowed.add(INITIAL)
    if durable.active is not None and durable.trial is not None and durable.tries <= 1:
        allowed.discard(str(durable.active.ref))
    name = LINKS.get(durable.product or "")
    if name is not None and not any(ref.name == name for ref in durable.confirmed):
        # The order's product has no confirmed version: the gate proves one, and it is on trial.
        allowed |= {f"{name}@{version}" for version in ("1.0.0", "1.1.0", "2.0.0")}
    return allowed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100, help="kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engine", choices=("light", "real"), default="light")
    parser.add_argument("--control", action="store_true", help="a forgetful daemon: must fail")
    given = parser.parse_args()
    kind = LIGHT if given.engine == "light" else REAL
    with scratch() as (folder, broker):
        random = Random(given.seed)
        killer = Killer(folder, broker, random, kind=kind, forgetful=given.control)
        reckoning = killer.run(given.n)
    return report(reckoning)


if __name__ == "__main__":
    sys.exit(main())
