"""Versions that take the daemon or its worker with them are left, and never taken up again."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_daemon.control.durable import decode_durable
from edge_daemon.core.state import TRIES, Durable
from edge_daemon.host.journal import Journal
from tests.sim.device import wait_until
from tests.sim.fork_parent import ForkParent, Life
from tests.sim.line import (
    MARKS,
    MORTAL,
    ROOT,
    RunningDaemon,
    Subscriber,
    make_mortal,
    make_store,
    settings_for,
)
from tests.sim.marked_engine import DOOMED
from tests.sim.mosquitto import Mosquitto

pytestmark = pytest.mark.broker

B1, B2 = "bottle@1.0.0", "bottle@2.0.0"
LIVES = 150
"""Inferences before it dies: the gate needs fewer, its trial more."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: a Unix socket's path has a limit of 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="edk-") as made:
        make_store(Path(made))
        make_mortal(Path(made), LIVES)
        yield Path(made)


class Unit:
    """A daemon that is started again whenever it dies, as systemd does."""

    def __init__(self, folder: Path, broker: Mosquitto, fork_parent: ForkParent) -> None:
        settings = settings_for(
            folder,
            broker,
            camera={"source": "conveyor:?size=160x120&fps=200", "buffer_frames": 256},
            slots={"count": 2, "isolation": "thread", "spare": "off"},
            trial={"frames": 1000, "seconds": 0.1, "latency_ratio": 100.0, "max_error_rate": 1.0},
            gate={"memory_headroom_mb": 0, "warm_up_inferences": 2, "latency_ratio": 100.0},
        )
        self._state_folder = settings.state_folder
        self._config = folder / "cam1.yaml"
        self._config.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
        self._nursery = fork_parent
        self._life: Life | None = None
        self.ear = Subscriber(broker)

    def start(self, *doomed: str) -> None:
        """From now on whatever loads one of `doomed` kills the daemon."""
        marks = ",".join(str(MARKS[ref]) for ref in doomed)
        self._life = self._nursery.start(self._config, {DOOMED: marks})

    def until_dead(self) -> None:
        assert self._life is not None
        assert self._life.until_over(), "the daemon lives on"

    def starts_until_judged_by(self, model: str | None, *doomed: str) -> int:
        """Restart until frames get this model's verdicts (None: are uninspected); how often."""
        for starts in range(1, 10):
            heard = len(self.ear.results)
            self.start(*doomed)
            wait_until(lambda n=heard: self._is_dead() or self._steadily(model, n), str(model))
            if not self._is_dead():
                return starts
        raise AssertionError("it dies for ever")

    def _is_dead(self) -> bool:
        assert self._life is not None
        return self._life.is_over

    def _steadily(self, model: str | None, heard: int) -> bool:
        """Its verdicts come, more than a mortal one could give."""
        fresh = self.ear.results[heard:]
        return sum(result["model"] == model for result in fresh) > 2 * LIVES

    def boots_of(self, model: str) -> int:
        return len({r["boot"] for r in self.ear.results if r["model"] == model})

    def kill(self) -> Durable:
        """A power cut: what it remembers."""
        assert self._life is not None
        self._life.end()
        journal = Journal.open(self._state_folder)
        try:
            return decode_durable(journal.state())
        finally:
            journal.close()

    def ask(self, verb: str, **document: Any) -> None:
        self.ear.publish(f"{ROOT}/request/{verb}", {"id": uuid.uuid4().hex, **document})


def test_a_version_that_kills_the_daemon_is_left_after_three_starts(
    folder: Path, fresh_broker: Mosquitto
) -> None:
    """The third death is the last; then the confirmed version judges, at any later start too."""
    with ForkParent(folder / "log") as fork_parent:
        unit = Unit(folder, fresh_broker, fork_parent)
        unit.start()
        wait_until(lambda: unit.ear.results, "frames")
        unit.ask("swap", model=MORTAL)
        unit.until_dead()  # under its own trial
        assert unit.starts_until_judged_by(B1) == TRIES
        assert unit.boots_of(MORTAL) <= TRIES
        assert MORTAL in {str(ref) for ref, _ in unit.kill().quarantined}
        seen = unit.boots_of(MORTAL)
        assert unit.starts_until_judged_by(B1) == 1
        assert unit.boots_of(MORTAL) == seen
        unit.ear.close()


def test_both_bad_the_golden_one_judges_and_without_it_the_frames_are_uninspected(
    folder: Path, fresh_broker: Mosquitto
) -> None:
    """The confirmed version kills the daemon too: the configured one; and that too: no verdict."""
    with ForkParent(folder / "log") as fork_parent:
        unit = Unit(folder, fresh_broker, fork_parent)
        unit.start()
        wait_until(lambda: unit.ear.results, "frames")
        unit.ask("swap", model=B2)
        unit.ear.until(lambda: unit.ear.results[-1]["model"] == B2)
        unit.ask("confirm")
        unit.ear.until(lambda: any(b.get("type") == "confirmed" for _, b in unit.ear.heard))
        assert B2 in {str(ref) for ref in unit.kill().confirmed}
        assert unit.starts_until_judged_by(B1, B2) == TRIES + 1
        assert unit.kill().quarantined == ()
        assert unit.starts_until_judged_by(None, B2, B1) == TRIES + 1
        assert {r["reason"] for r in unit.ear.results[-LIVES:]} == {"no_model"}
        unit.ask("swap", model="can@1.0.0")  # an operator's word still counts
        unit.ear.until(lambda: unit.ear.results[-1]["model"] == "can@1.0.0")
        unit.ear.close()


def test_a_version_that_kills_its_worker_is_left_after_three_starts(
    folder: Path, fresh_broker: Mosquitto
) -> None:
    """Each of its workers dies on trial; after the third the one before it judges again."""
    slow = {"frames": 10_000, "seconds": 60.0, "latency_ratio": 100.0, "max_error_rate": 1.0}
    with RunningDaemon(folder, fresh_broker, trial=slow) as mill:
        mill.start()
        assert mill.ask("swap", model=MORTAL)["status"] == "succeeded"
        mill.until_event("rolled_back", model=B1)
        mill.until_judged_by(B1)
        lost = [b for t, b in mill.ear.heard if t == "model/event" and b["type"] == "slot_lost"]
        assert [event["model"] for event in lost] == [MORTAL] * TRIES
        again = mill.ask("swap", model=MORTAL)
        assert again["error"]["code"] == "quarantined"
        mill.stop()
        mill.until_settled()
        mill.check_books()
