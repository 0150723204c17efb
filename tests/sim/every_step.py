"""Every durable step of swaps, orders, rollback and recovery, refused, cut off and slowed down.

    python -m tests.sim.every_step
    python -m tests.sim.every_step --story recovery --mode kill --every 5

A story is told once and its durable steps are counted; then it is told again for each step and
each way to fail there, after the manner of Mender's state tests. Whatever fails, the daemon is
started again as a service manager would, the story goes on to its end, and then: every request
has exactly one outcome, every order is on record, no swap was done twice, what is active is known,
the trail is whole, and no frame was judged by two models or out of turn.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from edge_daemon.cli.drill_ledger import SubscriberLedger
from edge_daemon.control.durable import decode_durable
from edge_daemon.host.journal import Journal
from tests.sim.fork_parent import ForkParent, Life
from tests.sim.line import LINKS, OUTCOMES, Subscriber, make_store, settings_for
from tests.sim.mosquitto import Mosquitto, scratch
from tests.sim.reckoning import Found, report
from tests.sim.steps import MODES

B1, B2, CAN = "bottle@1.0.0", "bottle@2.0.0", "can@1.0.0"
PATIENT_S = 20.0
STORIES = ("fresh", "recovery", "damaged")


class Broken(Exception):  # noqa: N818 - what ends a story
    """A promise was not kept."""


@dataclass
class Reckoning(Found):
    """What came of all that was tried."""

    steps: dict[str, int] = field(default_factory=dict)
    tried: Counter[str] = field(default_factory=Counter)
    restarts: int = 0

    def __str__(self) -> str:
        steps = ", ".join(f"{story} {count}" for story, count in self.steps.items())
        tried = ", ".join(f"{count} x {mode}" for mode, count in self.tried.items())
        passed = self.tried.total() - len(self.faults)
        return (
            f"durable steps: {steps}; tried {tried}, {self.restarts} restarts; "
            f"{passed} of {self.tried.total()} passed"
        )


class Scenario:
    """One telling of one story, from a fresh disk to its end."""

    def __init__(
        self, folder: Path, broker: Mosquitto, fork_parent: ForkParent, *, forgetful: bool = False
    ) -> None:
        make_store(folder)
        settings = settings_for(
            folder,
            broker,
            camera={"source": "conveyor:?size=160x120&fps=200", "buffer_frames": 512},
            slots={"count": 2, "isolation": "thread", "spare": "off"},
            trial={"frames": 20, "seconds": 0.1, "latency_ratio": 100.0, "max_error_rate": 1.0},
            gate={"memory_headroom_mb": 0, "warm_up_inferences": 2, "latency_ratio": 100.0},
        )
        self._config = folder / "cam1.yaml"
        self._config.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
        self._state_folder = settings.state_folder
        self._nursery = fork_parent
        self._forgetful = forgetful
        self._ear = Subscriber(broker)
        self._life: Life | None = None
        self._sent: list[str] = []
        self._orders: list[str] = []
        self._gone: set[str] = set()  # boots of earlier lives
        self.restarts = 0

    def close(self) -> None:
        if self._life is not None:
            self._life.end()
        self._ear.close()

    def tell(self, story: str, trap: str) -> None:
        """Raises `Broken` with the sentence that says what went wrong."""
        if story != "fresh":
            self._prepare(story)
        self._start(trap)
        self._until(lambda: self._judged_by(B1, B2), "the first verdict")
        self._succeed("swap", model=B2)
        self._until(lambda: self._judged_by(B2), "the new model's verdicts")
        self._until(lambda: B2 in self._confirmed() or not self._is_on_trial(), "the trial's end")
        self._order("CAN")
        self._until(lambda: self._judged_by(CAN), "the order's model")
        self._order("BTL")
        self._until(lambda: self._judged_by(B1, B2), "the next order's model")
        self._succeed("hold")
        self._succeed("release")
        self._rollback()
        self._until(lambda: self._judged_by(B1), "the model that was before")
        self._finish()
        self._check(story)

    def _prepare(self, story: str) -> None:
        """A life that ended in the middle of a trial, with a request open; or a damaged disk."""
        self._start("")
        self._until(lambda: self._judged_by(B1), "the first verdict")
        self._ask("swap", model=B2)
        self._until(lambda: self._judged_by(B2), "the new model's verdicts")
        self._ask("prepare", model=CAN)
        assert self._life is not None
        self._life.end()
        if story == "damaged":  # and with it what was accepted, and what was to be told
            for path in self._state_folder.glob("journal.db*"):
                path.write_bytes(b"\xff" * path.stat().st_size)
            self._sent.clear()
        self._ear.books = SubscriberLedger(LINKS)  # see `_check_frames`

    # ------------------------------------------------------------------ living

    def _start(self, trap: str) -> None:
        self._gone.update(result["boot"] for result in self._ear.results[-500:])
        self._life = self._nursery.start(self._config, trap=trap, forgetful=self._forgetful)

    def _until(self, condition: Callable[[], bool], what: str) -> None:
        """Until it holds; a daemon that died meanwhile is started again."""
        patient_s = PATIENT_S / 4 if self._forgetful else PATIENT_S
        deadline_at = time.monotonic() + patient_s
        while not condition():
            if time.monotonic() > deadline_at:
                late = f"{what} did not come within {patient_s:.0f} s"
                raise Broken(f"{late}; last heard:\n{self._ear.story()}")
            self._look_after()
            time.sleep(0.01)

    def _look_after(self) -> None:
        assert self._life is not None
        if self._life.is_over:
            self.restarts += 1
            if self.restarts > 2:
                raise Broken("it dies again and again, though nothing fails any more")
            self._start("")

    def _judged_by(self, *models: str) -> bool:
        assert self._life is not None
        last = self._ear.results[-1] if self._ear.results else {"model": None, "boot": ""}
        fresh = last["boot"] not in self._gone  # a dead one's last words may come late
        return fresh and last["model"] in models and not self._life.is_over

    def _is_on_trial(self) -> bool:
        states = [body for topic, body in tuple(self._ear.heard) if topic == "model/state"]
        active = states[-1]["active"] if states else None
        return active is None or bool(active["trial"])

    def _confirmed(self) -> set[str]:
        told = [body for topic, body in tuple(self._ear.heard) if topic == "model/event"]
        return {event["model"] for event in told if event["type"] == "confirmed"}

    # ------------------------------------------------------------------ asking

    def _succeed(self, verb: str, **document: Any) -> None:
        """Ask until it is done: what was interrupted or failed may be asked for anew."""
        for _ in range(4):
            outcome = self._outcome(self._ask(verb, **document))
            if outcome["status"] == "succeeded":
                return
            if outcome["status"] not in ("interrupted", "failed"):
                raise Broken(f"{verb} was {outcome['status']}: {outcome.get('error')}")
        raise Broken(f"{verb} did not succeed in four attempts")

    def _rollback(self) -> None:
        """Once it is done there is nothing more to roll back to, if its answer was cut off."""
        for _ in range(4):
            self._until(lambda: self._judged_by(B1, B2), "a model to roll back from")
            outcome = self._outcome(self._ask("rollback"))
            error = outcome.get("error") or {}
            if outcome["status"] == "succeeded" or error.get("code") == "nothing_to_roll_back":
                return
        raise Broken(f"rollback did not succeed in four attempts: {outcome}")

    def _ask(self, verb: str, **document: Any) -> str:
        request_id = uuid.uuid4().hex
        self._ear.publish(f"edge/line3-cam1/request/{verb}", {"id": request_id, **document})
        self._sent.append(request_id)
        return request_id

    def _outcome(self, request_id: str) -> dict[str, Any]:
        self._until(lambda: bool(self._outcomes(request_id)), f"the outcome of {request_id}")
        return self._outcomes(request_id)[0]

    def _outcomes(self, request_id: str) -> list[dict[str, Any]]:
        """Its different outcomes; the same one may be delivered again."""
        answers = [b for t, b in tuple(self._ear.heard) if t.startswith("response/")]
        mine = [a for a in answers if a["id"] == request_id and a["status"] in OUTCOMES]
        return [answer for place, answer in enumerate(mine) if answer not in mine[:place]]

    def _order(self, product: str) -> None:
        order = f"WO-{len(self._orders)}"
        self._ear.order(order, product)
        self._orders.append(order)

    # ------------------------------------------------------------------ the end

    def _finish(self) -> None:
        self._until(lambda: all(map(self._outcomes, self._sent)), "every outcome")
        assert self._life is not None
        self._life.end(signal.SIGTERM)

    def _check(self, story: str) -> None:
        """What the last life left."""
        for request_id in self._sent:
            found = self._outcomes(request_id)
            if len(found) != 1:
                raise Broken(f"request {request_id} has {len(found)} outcomes: {found}")
        self._check_frames()
        journal = Journal.open(self._state_folder)
        try:
            self._check_journal(journal, anew=story == "damaged")
        finally:
            journal.close()

    def _check_frames(self) -> None:
        """Each frame by one model, in turn; and by the one that the receipts put in force.

        A life that was cut off between a cutover and its record leaves frames without a receipt,
        and the request is told to be interrupted: only lives that ended in order are held to it.
        """
        books, wrong = self._ear.books, self._ear.marks_wrong
        if wrong or books.doubled or books.reordered or (books.faults and not self.restarts):
            raise Broken(f"the frames: {books.faults[:1]} {wrong[:1]}")

    def _check_journal(self, journal: Journal, *, anew: bool) -> None:
        if journal.recovered is not None or journal.audit_faults():
            raise Broken(f"the journal: {journal.recovered} {journal.audit_faults()[:1]}")
        active = decode_durable(journal.state()).active
        if active is None or str(active.ref) != B1:
            raise Broken(f"{active} is active at the end")
        rows = [(each.row.kind, json.loads(each.row.body)) for each in journal.audit_rows()]
        swapped = Counter(b["swap"] for _, b in rows if b.get("event") == "swapped")
        accepted = Counter(b["id"] for kind, b in rows if kind == "request")
        if twice := [name for name, n in (swapped + accepted).items() if n > 1]:
            raise Broken(f"done twice: {twice}")
        noted = {body["order"] for kind, body in rows if kind == "order"}
        if lost := set(self._orders) - noted:
            raise Broken(f"orders lost: {sorted(lost)}")
        if anew and not any(body.get("event") == "journal_recovered" for _, body in rows):
            raise Broken("nobody wrote down that the journal began anew")


# --------------------------------------------------------------------------- all of them


class Teller:
    """Tells stories, one after the other, each on its own disk with its own broker."""

    def __init__(self, fork_parent: ForkParent, *, forgetful: bool = False) -> None:
        self._nursery = fork_parent
        self._forgetful = forgetful
        self.reckoning = Reckoning()

    def count(self, story: str) -> list[str]:
        """The names of its durable steps, in order."""
        with tempfile.NamedTemporaryFile() as told:
            if why := self._tell(story, f"record:{told.name}"):
                raise Broken(f"{story} goes wrong by itself: {why}")
            names = told.read().decode().split()
        self.reckoning.steps[story] = len(names)
        return names

    def fail_at(self, story: str, step: int, mode: str, name: str) -> None:
        """Tell it with this one step failing."""
        self.reckoning.tried[mode] += 1
        if why := self._tell(story, f"{step}:{mode}"):
            self.reckoning.faults.append(f"{story}, step {step} ({name}), {mode}: {why}")

    def _tell(self, story: str, trap: str) -> str:
        with scratch() as (folder, broker):
            scenario = Scenario(folder, broker, self._nursery, forgetful=self._forgetful)
            try:
                scenario.tell(story, trap)
            except Broken as broken:
                return str(broken)
            finally:
                scenario.close()
                self.reckoning.restarts += scenario.restarts
        return ""


@dataclass(frozen=True)
class Choice:
    """Which steps, and how they fail."""

    stories: Sequence[str] = STORIES
    modes: Sequence[str] = MODES
    every: int = 1
    offset: int = 0


def run(choice: Choice, *, forgetful: bool = False) -> Reckoning:
    """Count the steps of each story, then fail at each of those chosen."""
    with (
        tempfile.TemporaryDirectory(prefix="edk-") as folder,
        ForkParent(Path(folder) / "log") as it,
    ):
        teller = Teller(it, forgetful=forgetful)
        honest = Teller(it) if forgetful else teller  # a forgetful one cannot even be counted
        for story in choice.stories:
            names = honest.count(story)
            for place in range(choice.offset, len(names), choice.every):
                for mode in choice.modes:
                    if mode != "error" or names[place] != "committed":
                        teller.fail_at(story, place + 1, mode, names[place])
            told = f"{story}: {len(names)} steps, {len(teller.reckoning.faults)} faults so far"
            sys.stdout.write(f"{told}\n")
            sys.stdout.flush()
        teller.reckoning.steps.update(honest.reckoning.steps)
    return teller.reckoning


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--story", choices=STORIES, help="one of them only")
    parser.add_argument("--mode", choices=MODES, help="one way to fail only")
    parser.add_argument("--every", type=int, default=1, help="only each N-th step")
    parser.add_argument("--offset", type=int, default=0, help="the first of them")
    parser.add_argument("--control", action="store_true", help="a forgetful daemon: must fail")
    given = parser.parse_args()
    stories = (given.story,) if given.story else STORIES
    modes = (given.mode,) if given.mode else MODES
    choice = Choice(stories, modes, given.every, given.offset)
    reckoning = run(choice, forgetful=given.control)
    return report(reckoning)


if __name__ == "__main__":
    sys.exit(main())
