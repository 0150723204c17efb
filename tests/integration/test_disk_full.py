"""The disk of the state folder is full, for real: the line goes on, and health says so."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.sim.device import wait_until
from tests.sim.fork_parent import ForkParent
from tests.sim.line import ROOT, Subscriber, make_store, settings_for
from tests.sim.mosquitto import Mosquitto
from tests.sim.small_disk import fill
from tests.sim.voice import Voice

pytestmark = pytest.mark.broker

B1, B2 = "bottle@1.0.0", "bottle@2.0.0"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short, with a file system of 16 MB where the state goes."""
    with tempfile.TemporaryDirectory(prefix="edk-") as made:
        state = Path(made) / "state"
        state.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(state)]
        if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
            pytest.skip("only root may mount a small disk")
        try:
            make_store(Path(made))
            yield Path(made)
        finally:
            subprocess.run(["umount", "-l", str(state)], check=True)


def settings_file(folder: Path, broker: Mosquitto) -> Path:
    slots = {"count": 2, "isolation": "thread", "spare": "off"}
    file = folder / "cam1.yaml"
    file.write_text(
        yaml.safe_dump(settings_for(folder, broker, slots=slots).model_dump(mode="json"))
    )
    return file


def test_a_full_disk_costs_no_verdict_and_is_told(folder: Path, fresh_broker: Mosquitto) -> None:
    """No request is accepted that could be forgotten; with room again, all is as before."""
    config = settings_file(folder, fresh_broker)
    ear, voice = Subscriber(fresh_broker), Voice(fresh_broker)
    with ForkParent(folder / "log") as fork_parent:
        fork_parent.start(config)
        ear.until(lambda: bool(ear.results))
        filler = fill(folder / "state")
        refused = voice.ask("swap", model=B2)
        assert refused["status"] == "failed"
        heard = len(ear.results)
        ear.until(lambda: len(ear.results) > heard + 60)
        assert {r["model"] for r in ear.results[heard:]} == {B1}
        wait_until(lambda: "the state is not saved" in voice.problems, "the problem in health")
        filler.unlink()
        wait_until(lambda: "not saved" not in voice.problems, "the end of the problem")
        assert voice.ask("swap", model=B2)["status"] == "succeeded"
        ear.until(lambda: ear.results[-1]["model"] == B2)
    ear.close()
    voice.ear.close()
    assert ear.books.missing == 0
    assert ear.marks_wrong == []


def test_it_starts_on_a_full_disk(folder: Path, fresh_broker: Mosquitto) -> None:
    """What was kept for it is enough to load the model, and to answer what was left open."""
    config = settings_file(folder, fresh_broker)
    ear, voice = Subscriber(fresh_broker), Voice(fresh_broker)
    with ForkParent(folder / "log") as fork_parent:
        life = fork_parent.start(config)
        ear.until(lambda: bool(ear.results))
        ear.publish(f"{ROOT}/request/swap", {"id": "late", "model": B2, "at": {"frame": 10**9}})
        accepted = {"id": "late", "status": "accepted"}
        wait_until(lambda: ("response/swap", accepted) in voice.ear.heard, "the acceptance")
        reserve = folder / "state" / "line3-cam1" / "reserve"
        wait_until(lambda: reserve.exists() and reserve.stat().st_size, "the reserve")
        life.end()
        filler = fill(folder / "state")
        heard = len(ear.results)
        fork_parent.start(config)
        ear.until(lambda: len(ear.results) > heard + 60)
        assert {r["model"] for r in ear.results[heard:]} == {B1}
        filler.unlink()
        interrupted = {"id": "late", "status": "interrupted"}
        wait_until(lambda: ("response/swap", interrupted) in voice.ear.heard, "its outcome")
    ear.close()
    voice.ear.close()
