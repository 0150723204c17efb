"""A worker process as the daemon holds it: its end costs nobody who does not ask for it."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from structlog.testing import capture_logs

from edge_daemon.errors import SlotLost
from edge_daemon.slots import wire
from edge_daemon.slots.child import WorkerProcess, WorkerSpec

DYING_S = 2.0


class SlowlyDying(subprocess.Popen[bytes]):
    """A process that takes its time to die, as one does whose memory a driver holds."""

    def kill(self) -> None:
        threading.Timer(DYING_S, super().kill).start()


@pytest.fixture
def dying(tmp_path: Path) -> Iterator[tuple[WorkerProcess, SlowlyDying, socket.socket]]:
    ours, theirs = wire.pair()
    process = SlowlyDying([sys.executable, "-c", "import time; time.sleep(60)"], stdout=-1)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    yield WorkerProcess(process, wire.SlotEnd(ours), str(scratch)), process, theirs
    theirs.close()
    process.send_signal(signal.SIGKILL)
    process.wait()


Dying = tuple[WorkerProcess, SlowlyDying, socket.socket]


def test_the_lane_goes_on_before_a_lost_worker_has_died(dying: Dying) -> None:
    """Whoever asked is told of the loss while the worker still dies: frames wait behind it."""
    worker, process, theirs = dying
    theirs.close()
    with pytest.raises(SlotLost):
        worker.ask(wire.Ping(), wire.Pong, 1.0)
    worker.end()
    assert process.poll() is None


def test_who_needs_its_memory_waits_for_the_end(dying: Dying, tmp_path: Path) -> None:
    """Waiting is a word of its own; after it the process is reaped and its folder gone."""
    worker, process, _ = dying
    worker.end()
    worker.await_end()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "scratch").exists()


def test_a_worker_that_cannot_be_started_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon has no descriptor left, for example."""

    def none_left() -> NoReturn:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(wire, "pair", none_left)
    with pytest.raises(SlotLost, match="Too many open files"):
        WorkerProcess.start(WorkerSpec("tests.sim.engine:SimEngine", scratch=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_a_worker_whose_words_cannot_be_read_is_reaped_all_the_same(tmp_path: Path) -> None:
    """Its log ends, its life as a child of ours does too, and so does its folder."""
    ours, theirs = wire.pair()
    reader, writer = os.pipe()
    program = "import time; time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", program])
    process.stdout = os.fdopen(writer, "wb")  # reading it raises
    os.close(reader)
    with capture_logs():
        worker = WorkerProcess(process, wire.SlotEnd(ours), str(tmp_path / "scratch"))
        worker.end()
        worker.await_end()
    theirs.close()
    assert process.returncode == -signal.SIGKILL
    assert not worker.is_alive
