"""The disk under the state folder fails for good, or takes no writes: the line does not notice."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.app.daemon import Daemon
from edge_daemon.errors import StateError
from tests.sim.line import RunningDaemon
from tests.sim.mosquitto import Mosquitto
from tests.sim.powercuts import format_image, mounted, obstacle

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(bool(obstacle("ext4")), reason="ext4 cannot be mounted through a loop"),
]

B1, B2 = "bottle@1.0.0", "bottle@2.0.0"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    format_image(tmp_path / "image", "ext4")
    with mounted(tmp_path / "image", tmp_path / "disk") as at:
        yield at


def until_frames(mill: RunningDaemon, count: int) -> None:
    goal = len(mill.ear.results) + count
    mill.ear.until(lambda: len(mill.ear.results) >= goal)


@pytest.mark.skipif(shutil.which("xfs_io") is None, reason="xfs_io is not on this machine")
def test_every_write_fails_from_now_on(tmp_path: Path, broker: Mosquitto, disk: Path) -> None:
    """EIO: frames go on under the same model, a request is refused in words, nothing is done."""
    with RunningDaemon(tmp_path, broker, state_dir=str(disk / "state")) as mill:
        daemon = mill.start()
        assert mill.ask("swap", model=B2)["status"] == "succeeded"
        mill.until_event("confirmed", model=B2)
        subprocess.run(["xfs_io", "-x", "-c", "shutdown", str(disk)], check=True)
        refused = mill.ask("swap", model=B1)
        assert refused["status"] == "failed"
        assert "journal" in refused["error"]["message"]
        until_frames(mill, 60)
        assert mill.ear.results[-1]["model"] == B2
        assert any("not saved" in problem for problem in daemon.monitor.problems())
        mill.stop()
        mill.until_settled()
        mill.check_books()
        assert mill.ear.books.tally().frames == mill.ear.books.tally().inspected


def test_what_was_confirmed_before_the_disk_failed_is_back(
    tmp_path: Path, broker: Mosquitto
) -> None:
    """The disk is repaired, the station started: it is where it was."""
    format_image(tmp_path / "image", "ext4")
    state = str(tmp_path / "disk" / "state")
    with RunningDaemon(tmp_path, broker, state_dir=state) as mill:
        with mounted(tmp_path / "image", tmp_path / "disk") as disk:
            mill.start()
            assert mill.ask("swap", model=B2)["status"] == "succeeded"
            mill.until_event("confirmed", model=B2)
            subprocess.run(["xfs_io", "-x", "-c", "shutdown", str(disk)], check=True)
            assert mill.ask("rollback")["status"] == "failed"
            mill.stop()
        with mounted(tmp_path / "image", tmp_path / "disk"):
            mill.start(B2)
            assert mill.ask("rollback")["status"] == "succeeded"
            mill.until_judged_by(B1)
            mill.stop()


def test_a_folder_that_takes_no_writes_ends_the_start_with_a_sentence(
    tmp_path: Path, broker: Mosquitto, disk: Path
) -> None:
    mill = RunningDaemon(tmp_path, broker, state_dir=str(disk / "state"))
    with mill:
        mill.start()
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(StateError) as refused:
        Daemon(mill.settings, engine="tests.sim.marked_engine:MarkedEngine").start()
    assert str(disk / "state") in refused.value.message
    assert refused.value.hint
