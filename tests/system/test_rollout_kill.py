"""The daemon is killed in each stage of a rollout; the next life goes on with it."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_daemon.cli.journal import Records
from edge_daemon.control.durable import decode_durable
from edge_daemon.control.rollout_recorder import TICK_S
from edge_daemon.core.rollout.blocks import FEWEST_LOOKS, read_block
from edge_daemon.core.rollout.compare import arm_of
from edge_daemon.core.state import Rollout
from edge_daemon.host.journal import Journal
from tests.sim.fork_parent import ForkParent, Life
from tests.sim.mosquitto import Mosquitto
from tests.sim.rollout_line import ENGINE, RolloutLine

pytestmark = pytest.mark.broker

GOOD = "bottle@2.0.0"
ROTATE_S, BURN_IN_S = 1.0, 0.2


class MortalLine(RolloutLine):
    """The same station as processes of their own, one after the other."""

    def __init__(self, folder: Path, broker: Mosquitto) -> None:
        slots = {"count": 2, "isolation": "thread", "spare": "off"}  # it starts much sooner
        super().__init__(folder, broker, slots=slots)
        self._config = folder / "cam1.yaml"
        self._config.write_text(yaml.safe_dump(self.settings.model_dump(mode="json")))
        self._parent = ForkParent(folder / "log")
        self._life: Life | None = None

    def __enter__(self) -> MortalLine:
        self.live()
        return self

    def __exit__(self, *exit_: object) -> None:
        self.kill()
        self._parent.__exit__(None, None, None)
        super().__exit__(*exit_)

    def live(self) -> None:
        heard = len(self.ear.results)
        self._life = self._parent.start(self._config, engine=ENGINE)
        self.ear.until(lambda: any(r["model"] for r in self.ear.results[heard:]))

    def kill(self) -> None:
        if self._life is not None:
            self._life.end()

    def kept(self) -> tuple[Rollout, dict[str, Any]]:
        """What the dead one left of its rollout, and how far that was."""
        journal = Journal.open(self.settings.state_folder)
        try:
            rollout = decode_durable(journal.state()).rollout
            assert rollout is not None
            row = journal.rollouts.find(rollout.id)
            assert row is not None
            return rollout, json.loads(row.progress)
        finally:
            journal.close()

    def on_disk(self) -> tuple[str, float, int]:
        """The same in short: the rollout, its share, and the pairs of its evidence."""
        rollout, progress = self.kept()
        blocks = progress["evidence"]["slices"]["all"]["blocks"]
        return rollout.id, rollout.share, sum(sum(block) for block in blocks)

    def blocks(self, rollout: str) -> list[list[Any]]:
        """The whole blocks of time, as the living one has them on record."""
        told = Records(self.settings).rollouts(rollout)["progress"]
        found: list[list[Any]] = told["blocks"].get("0", [])
        return found


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: a Unix socket's path has a limit of 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="edk-") as made:
        yield Path(made)


def test_a_killed_daemon_goes_on_with_its_rollout(folder: Path, fresh_broker: Mosquitto) -> None:
    """Never with a wider share than the disk has, nor without what was told of the evidence; the
    sender hears the end.
    """
    stages: list[dict[str, Any]] = [
        {"shadow": 1.0, "until": {"parts": 100}},
        {"share": 0.5, "either": "none", "until": {"parts": 100}},
        {"full": True},
    ]
    with MortalLine(folder, fresh_broker) as line:
        line.inspector.labels_all = True
        asked = line.roll(GOOD, *stages)
        for stage, share in (("shadow", 0.0), ("share 0.5", 0.5)):
            line.ear.until(lambda s=stage: line.state.get("stage") == s and line.state["parts"] > 0)
            line.kill()
            told = line.state["parts"]
            rollout, kept_share, pairs = line.on_disk()
            assert kept_share == share
            assert pairs >= told, "what was told was on the disk before"
            before = len(line.inspector.parts)
            line.live()
            line.ear.until(lambda n=pairs: line.state.get("parts", 0) > n)
            boot = line.inspector.results[-1]["boot"]
            new = [p for p in line.inspector.parts[before:] if p["boot"] == boot]
            shares = [p["rollout"]["share"] for p in new if "rollout" in p]
            first = shares[: shares.index(0.5)] if share == 0.0 and 0.5 in shares else shares
            assert max(first, default=0.0) <= share
        assert line.outcome(asked)["status"] == "succeeded"
        line.audit(rollout, {0.0, 0.5})
        line.until_judged_by(GOOD)


def test_a_killed_daemon_measures_the_block_again_in_which_it_died(
    folder: Path, fresh_broker: Mosquitto
) -> None:
    """The blocks before stay as they were measured; half a block is nothing; the order is as it was
    drawn.
    """
    compare = {"rotate_s": ROTATE_S, "burn_in_s": BURN_IN_S, "pairs": 2}
    with MortalLine(folder, fresh_broker) as line:
        asked = line.roll(GOOD, {"compare": compare}, {"shadow": 1.0, "until": {"parts": 100_000}})
        name = line.rollout_of(asked)
        line.until_stage("compare")
        line.ear.until(lambda: len(line.blocks(name)) == 1)
        frames = len(line.ear.results)
        line.ear.until(lambda: len(line.ear.results) > frames + 20)  # well within the next block
        line.kill()
        rollout, progress = line.kept()
        [before] = progress["blocks"]["0"]
        died_utc = time.time()
        line.live()
        line.ear.until(lambda: len(line.blocks(name)) == 2)
        line.kill()
        again, progress = line.kept()
    assert (again.id, again.digest, again.stage) == (name, rollout.digest, 0)
    assert progress["blocks"]["0"][0] == before
    blocks = [read_block(each) for each in progress["blocks"]["0"]]
    assert [block.number for block in blocks] == [0, 1]
    assert [block.arm for block in blocks] == [arm_of(name, 0), arm_of(name, 1)]
    assert blocks[1].began_utc > died_utc, "what was seen of it before counts nowhere"
    assert all(block.seconds >= ROTATE_S - BURN_IN_S - TICK_S for block in blocks)
    assert all(FEWEST_LOOKS <= block.looks <= block.frames + 1 for block in blocks)
