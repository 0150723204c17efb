"""A model fills the small disk that its worker shares with the daemon's state: the line goes on."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.sim.bundles import make_bundle
from tests.sim.fork_parent import ForkParent
from tests.sim.line import Subscriber, make_store, settings_for
from tests.sim.marked_engine import marked_weights
from tests.sim.mosquitto import Mosquitto
from tests.sim.voice import Voice

pytestmark = pytest.mark.broker

B1, B2, HOSTILE = "bottle@1.0.0", "bottle@2.0.0", "bottle@9.0.0"


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Short, with one small disk for the state and what workers write."""
    with tempfile.TemporaryDirectory(prefix="edk-") as made:
        disk = Path(made) / "state"
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=96m,nr_inodes=4000", "tmpfs", str(disk)]
        if os.geteuid() != 0 or subprocess.run(mount, check=False).returncode != 0:
            pytest.skip("only root may mount a small disk")
        try:
            (disk / "tmp").mkdir()
            monkeypatch.setenv("TMPDIR", str(disk / "tmp"))
            make_store(Path(made))
            yield Path(made)
        finally:
            subprocess.run(["umount", "-l", str(disk)], check=True)


@pytest.mark.parametrize("way", ["bytes", "files"])
def test_a_model_that_fills_the_disk_is_refused_and_costs_nothing_else(
    folder: Path, broker: Mosquitto, way: str
) -> None:
    """It is ended for what it wrote, which goes with it. No frame is lost, and the next request
    finds room."""
    weights = marked_weights(0.59, ("bottle", "scratch", "dent"))
    file = f"weights-fill_{way}.pt"
    make_bundle(folder / "store", HOSTILE, weights=weights, file=file, golden=0)
    config = folder / "cam1.yaml"
    config.write_text(yaml.safe_dump(settings_for(folder, broker).model_dump(mode="json")))
    ear, voice = Subscriber(broker), Voice(broker)
    with ForkParent(folder / "log") as fork_parent:
        fork_parent.start(config)
        ear.until(lambda: bool(ear.results))
        for _ in range(2):
            outcome = voice.ask("swap", model=HOSTILE)
            assert outcome["status"] in {"failed", "rejected"}
            assert "Its scratch folder held more than" in outcome["error"]["message"]
            assert voice.ask("prepare", model=B1)["status"] == "succeeded"
        assert {result["model"] for result in ear.results} == {B1}
        assert voice.ask("swap", model=B2)["status"] == "succeeded"
        ear.until(lambda: ear.results[-1]["model"] == B2)
        left = os.statvfs(folder / "state")
        assert left.f_bavail * left.f_frsize > 48 << 20
        assert left.f_favail > 3000
    ear.close()
    voice.ear.close()
    tally = ear.books.tally()
    assert ear.books.missing == 0
    assert tally.frames == tally.inspected
    assert ear.marks_wrong == []
