"""Many frames of a station that tries candidates, and everything that goes wrong meanwhile.

    python -m tests.sim.rollout_run --frames 100000 --seed 1
    python -m tests.sim.rollout_run --frames 3000 --plant salted      # must find faults

A real daemon as a process of its own, with worker processes, its journal and a real broker. One
candidate after the other is tried, through shadow and shares to full; labels say what the parts
truly are. Meanwhile rollouts are advanced, held and aborted, models are swapped by hand, orders
change the product, and daemon, incumbent and candidate are killed. `tests.sim.rollout_reckoning`
has the promises.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import signal
import sys
import time
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import yaml

from edge_daemon.cli.journal import Records
from edge_daemon.config import Settings
from edge_daemon.control.durable import decode_durable
from edge_daemon.core.values import BundleRef, Detection
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.host.journal import Journal
from edge_daemon.models.engine import ModelFacts, ModelOrder, RawResult
from tests.sim import paced
from tests.sim.bundles import make_bundle
from tests.sim.engine import Pixels
from tests.sim.fork_parent import ForkParent, Life
from tests.sim.inspector import PATIENT_S, Inspector
from tests.sim.line import settings_for
from tests.sim.mosquitto import Mosquitto, scratch
from tests.sim.proctree import workers
from tests.sim.reckoning import report
from tests.sim.rollout_line import CLASSES, CodedEngine
from tests.sim.rollout_reckoning import KEPT_S, Left, Reckoner, Reckoning

ENGINE = "tests.sim.rollout_run:RolloutEngine"
GOOD = ("bottle@1.0.0", "bottle@2.0.0")
BLIND = "bottle@3.0.0"
MODELS = {GOOD[0]: 0.51, GOOD[1]: 0.52, BLIND: 0.53, "can@1.0.0": 0.54}
"""And the confidence of what each finds."""
REJECTS = {GOOD[0]: [0, 1], GOOD[1]: [0, 1], BLIND: [], "can@1.0.0": [0]}
AHEAD = 64
"""Frames under way, at most."""
LASTS = {"parts": 100_000}
ASK_S, QUIET_S = 0.5, 0.3
TROUBLES = (
    *("daemon", "daemon", "daemon", "candidate", "candidate", "incumbent", "swap", "order"),
    *("advance", "advance", "abort", "hold"),
)
TRIES = 8
"""Not everything is possible at any moment."""
_PR_SET_NAME = 15


@dataclass(frozen=True)
class Plan:
    """What runs. `by`: what a part is. `every`: frames from one trouble to the next, on average.

    `needs`: parts that a stage needs; `plant`: a fault that is built in, see `tests.sim.plants`.
    `story`: what happens instead, each while a candidate gives verdicts; so many frames follow.
    """

    frames: int = 3000
    by: str = "trigger"
    fps: float = 150.0
    seed: int = 1
    every: int = 300
    needs: int = 20
    plant: str = ""
    story: tuple[str, ...] = ()
    kept_s: float = KEPT_S


class RolloutEngine(CodedEngine):
    """Its detections have the mark of its weights, and its thread the name of its model."""

    def __init__(self, threads: int = 1, device: str = "cpu", headroom_mb: int = 0) -> None:
        super().__init__(threads, device, headroom_mb)
        self._mark = 0.0

    def load(self, order: ModelOrder) -> ModelFacts:
        facts = super().load(order)
        said = json.loads(order.weights.read_text(encoding="utf-8"))
        self._mark = said["mark"]
        ctypes.CDLL(None).prctl(_PR_SET_NAME, said["ref"].encode()[:15], 0, 0, 0)
        return facts

    def infer(self, pixels: Pixels) -> RawResult:
        if not paced.is_drawn(pixels):  # what the gate asks with
            return RawResult(())
        seen = super().infer(pixels).detections
        return RawResult(tuple(Detection(d.label, self._mark, d.box) for d in seen))


class Rig:
    """One station, its belt, and what is done to them."""

    def __init__(self, folder: Path, broker: Mosquitto, plan: Plan) -> None:
        paced.register()
        self._plan, self._folder, self._random = plan, folder, Random(plan.seed)
        self._heard = paced.Heard(folder / "heard")
        self._settings = self._make_settings(broker)
        self._config = folder / "cam1.yaml"
        self._config.write_text(yaml.safe_dump(self._settings.model_dump(mode="json")))
        self.reckoner = Reckoner(MODELS, plan.kept_s)
        self._ear = Inspector(broker, self.reckoner, self._heard, triggers=plan.by == "trigger")
        self._parent = ForkParent(folder / "log")
        self._life = self._start()
        self._orders = 0
        self._product = "BTL"
        self._is_held = False
        self._hits = 0  # of the incumbent in this life: too many would speak against it
        self._next_at = plan.every  # frames
        self._asked_at = 0.0
        self._story = list(plan.story)
        self._until_frame = plan.frames
        self._done = self.reckoner.found.done

    def _make_settings(self, broker: Mosquitto) -> Settings:
        plan = self._plan
        for ref, mark in MODELS.items():
            _bundle(self._folder / "store", ref, mark)
        heard = self._folder / "heard"
        parts: dict[str, Any] = {"by": plan.by}
        if plan.by == "trigger":
            parts["window_ms"] = [0, 10_000]  # the next trigger ends it
        return settings_for(
            self._folder,
            broker,
            camera={
                "source": f"paced:?fps={plan.fps}&ahead={AHEAD}&heard={heard}",
                "buffer_frames": 4 * AHEAD,
            },
            gate={"memory_headroom_mb": 0, "warm_up_inferences": 2, "latency_ratio": 100.0},
            trial={"frames": 10, "seconds": 0.2, "latency_ratio": 100.0, "max_error_rate": 1.0},
            parts=parts,
        )

    def _start(self) -> Life:
        return self._parent.start(self._config, engine=ENGINE, plant=self._plan.plant)

    def close(self) -> None:
        self._parent.__exit__(None, None, None)
        self._ear.close()

    # ------------------------------------------------------------------ the run

    def run(self) -> Reckoning:
        """So many frames, then a stop in order, and the reckoning."""
        found = self.reckoner.found
        assert self._ear.until(lambda: self._ear.active is not None), self._log()
        while self._story or found.frames < self._until_frame:
            self._direct()
            if self._plan.story:
                self._go_on()
            elif found.frames >= self._next_at:
                self._next_at += round(self._plan.every * self._random.uniform(0.5, 1.5))
                self._trouble()
            self._ear.until(lambda: False, 0.01)
            if self._ear.failure is not None:
                raise self._ear.failure
            if self._life.is_over or time.monotonic() - self._ear.heard_at > PATIENT_S:
                found.faults.append("the station says nothing any more")
                break
        self._life.end(signal.SIGTERM)
        self._ear.until(lambda: time.monotonic() - self._ear.heard_at > QUIET_S, 0.5)
        found.faults += _told_in_the_log(self._log())
        with self._journal() as journal:
            rows = journal.rollouts.newest(10_000)
            judged = {row.id: (row.candidate, row.reference) for row in rows}
            told = [each for row in rows for each in journal.rollouts.assigned(row.id)]
        return self.reckoner.end(judged, ((boot, json.loads(body)) for boot, body in told))

    # ------------------------------------------------------------------ one rollout after another

    def _direct(self) -> None:
        """Where no rollout is on, ask for the next one; what was quarantined is let in again."""
        ear, now = self._ear, time.monotonic()
        if ear.state.get("rollout") is not None or now - self._asked_at < ASK_S:
            return
        self._asked_at = now
        if ear.active == BLIND:
            ear.ask("swap", model=GOOD[0])
        if ear.active not in GOOD:
            return
        for ref in tuple(ear.quarantined):
            with suppress(EdgeDaemonError):
                self._records().quarantine(BundleRef.parse(ref), None, "rig")
                ear.quarantined.discard(ref)
        other = next(ref for ref in GOOD if ref != ear.active)
        is_blind = self._random.random() < 0.1 and not self._plan.story
        model = BLIND if is_blind else other
        ear.ask("rollout", model=model, plan=self._rollout())

    def _rollout(self) -> dict[str, Any]:
        """Half of them may come to an end by themselves, the others last until something comes."""
        needs = {"parts": self._plan.needs}
        strict = {"either": self._random.choice(("none", "reject"))}
        shadow = {"shadow": 1.0, "until": needs}
        full = {"full": True}
        stages = self._random.choice(
            ([{"share": s, **strict, "until": LASTS} for s in (0.3, 0.6)],)
            if self._plan.story
            else (
                [shadow, *({"share": s, **strict, "until": needs} for s in (0.1, 0.5)), full],
                [shadow, {"share": 0.1, **strict, "until": LASTS}, {"share": 0.5, "until": LASTS}],
                [{"share": 0.5, **strict, "until": LASTS}, full],
                [{"share": 0.1, **strict, "until": needs}, {"share": 1.0, "until": LASTS}, full],
            )
        )
        return {"margin": 0.9, "false_reject_margin": 0.9, "stages": list(stages)}

    # ------------------------------------------------------------------ troubles

    def _go_on(self) -> None:
        """The story's next turn, where it is possible now."""
        if self._story and self._ear.state.get("share") and self._happens(self._story[0]):
            del self._story[0]
            self._until_frame = self.reckoner.found.frames + self._plan.frames

    def _happens(self, kind: str) -> bool:
        """Whether it could be done now."""
        is_done: bool = getattr(self, f"_{kind}")()
        self._done[kind] += is_done
        return is_done

    def _trouble(self) -> None:
        """Something happens; what is not possible now, another time."""
        for _ in range(TRIES):
            kind = self._random.choice(TROUBLES)
            if self._product != "BTL":  # a changeover is over after a while
                kind = "order"
            elif self._is_held:
                kind = "release"
            if self._happens(kind):
                return

    def _daemon(self) -> bool:
        """Dead, and born again at once, on what it left."""
        if not self._ear.state.get("share") and self._random.random() < 0.7:
            return False  # more often while a candidate gives verdicts
        at = time.monotonic()
        self._life.end(signal.SIGKILL)
        with self._ear.changed:
            self._ear.state, self._heard.frames = {}, 0
            self.reckoner.died(at, self._ear.boot, self._left())
        self._life, self._hits = self._start(), 0
        boot = self._ear.boot
        assert self._ear.until(lambda: self._ear.boot != boot), self._log()
        self._asked_at = time.monotonic()
        return True

    def _candidate(self) -> bool:
        return self._kill_worker(self._ear.state.get("model"))

    def _incumbent(self) -> bool:
        self._hits += 1
        return self._hits <= 3 and self._kill_worker(self._ear.active)

    def _kill_worker(self, ref: str | None) -> bool:
        for pid in workers(self._life.pid) if ref else ():
            if ref in _thread_names(pid):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    return True
        return False

    def _swap(self) -> bool:
        if self._ear.active not in GOOD:
            return False
        self._ear.ask("swap", model=GOOD[self._ear.active == GOOD[0]])
        return True

    def _order(self) -> bool:
        self._product = "CAN" if self._product == "BTL" else "BTL"
        self._orders += 1
        self._ear.order(self._orders, self._product)
        return True

    def _hold(self) -> bool:
        self._is_held = True
        self._ear.ask("hold", reason="a look")
        return True

    def _release(self) -> bool:
        self._is_held = False
        self._ear.ask("release")
        return True

    def _advance(self) -> bool:
        if self._ear.state.get("model") not in GOOD:
            return False
        self._ear.ask("advance")
        return True

    def _abort(self) -> bool:
        self._ear.ask("abort", reason="enough seen")
        return bool(self._ear.state.get("rollout"))

    # ------------------------------------------------------------------ what is on the disk

    def _journal(self) -> AbstractContextManager[Journal]:
        return closing(Journal.open(self._settings.state_folder))

    def _left(self) -> Left | None:
        with self._journal() as journal:
            rollout = decode_durable(journal.state()).rollout
            row = journal.rollouts.find(rollout.id) if rollout is not None else None
            if rollout is None or row is None:
                return None if rollout is None else Left(rollout.id, rollout.share)
            arms = json.loads(row.progress)["evidence"]["arms"]
            pairs = journal.rollouts.pairs(rollout.id, 1_000_000)
            return Left(
                rollout.id,
                rollout.share,
                sum(units for units, _ in arms.values()),
                frozenset((pair.boot, pair.part) for pair in pairs),
            )

    def _records(self) -> Records:
        return Records(self._settings)

    def _log(self) -> str:
        return (self._folder / "log").read_text(errors="replace")


def _thread_names(pid: int) -> set[str]:
    names = set()
    for path in Path(f"/proc/{pid}/task").glob("*/comm"):
        with suppress(OSError):
            names.add(path.read_text().strip())
    return names


def _told_in_the_log(log: str) -> list[str]:
    bad = ("Traceback", '"level": "critical"')
    return [line[:300] for line in log.splitlines() if any(word in line for word in bad)]


def _bundle(store: Path, ref: str, mark: float) -> None:
    """A model with a rule of its own name, so that causes say which recipe gave them."""
    version = ref.partition("@")[2]

    def edit(manifest: dict[str, Any]) -> None:
        rule = {"id": f"scratch-{version[0]}", "class": "scratch", "count": {"max": 0}}
        manifest["recipe"] = {"confidence": 0.35, "part": CLASSES[0], "rules": [rule]}
        manifest["limits"]["latency_ratio"] = 100.0

    said = {"classes": CLASSES, "task": "detect", "rejects": REJECTS[ref]}
    weights = json.dumps({**said, "mark": mark, "ref": ref}).encode()
    make_bundle(
        store, ref, weights=weights, file="weights-good.pt", classes=CLASSES, golden=0, edit=edit
    )


def run(plan: Plan) -> Reckoning:
    """One run on a station of its own."""
    with scratch() as (folder, broker), closing(Rig(folder, broker, plan)) as rig:
        return rig.run()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=3000, help="half by trigger, half each one")
    parser.add_argument("--fps", type=float, default=150.0, help="at most; a busy box takes longer")
    parser.add_argument("--by", choices=("trigger", "frame"), help="one half alone")
    parser.add_argument("--every", type=int, default=300, help="frames from trouble to trouble")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plant", default="", help="salted, widened or lazy: must find faults")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # its daemon must not outlive it
    code = 0
    for by in (given.by,) if given.by else ("trigger", "frame"):
        plan = Plan(given.frames // 2, by, given.fps, given.seed, given.every, plant=given.plant)
        sys.stdout.write(f"a part is what a {by} shows\n")
        code |= report(run(plan))
    return code


if __name__ == "__main__":
    sys.exit(main())
