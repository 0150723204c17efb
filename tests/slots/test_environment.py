"""What a worker is given: few names, and a home of its own, whoever runs the daemon."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_daemon.slots.cage import facilities
from edge_daemon.slots.child import WorkerProcess, WorkerSpec

SPEC = WorkerSpec("tests.sim.engine:SimEngine")
NAMELESS = 12345
WHOLE = all(facility.available for facility in facilities()[:4])
START = """
import sys
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.starter import Start
pool = SparePool(WorkerSpec("tests.sim.engine:SimEngine"), Start(sys.argv[1]), standing=0)
worker = pool.take()
worker.await_ready(30.0)
worker.end()
worker.await_end()
pool.close()
sys.stdout.write("\\nready\\n")  # behind all lines of the log, which other threads write
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root may look into a worker")
def test_nothing_of_the_daemons_environment_is_told_by_chance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A secret of the daemon is none of a model's business; what the libraries need is there."""
    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    monkeypatch.setenv("NOTIFY_SOCKET", "/run/notify")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/nvidia")
    worker = WorkerProcess.start(SPEC)
    try:
        worker.await_ready(30.0)
        lines = Path(f"/proc/{worker.pid}/environ").read_bytes().decode().split("\0")
        given = dict(line.split("=", 1) for line in lines if line)
    finally:
        worker.end()
        worker.await_end()
    own = {"HOME", "TMPDIR", "USER", "LOGNAME"}
    own |= {"XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"}
    assert own <= given.keys()
    assert given["LD_LIBRARY_PATH"] == "/opt/nvidia"
    assert not {"DB_PASSWORD", "NOTIFY_SOCKET"} & given.keys()
    assert given["HOME"] == given["XDG_CACHE_HOME"] != os.environ.get("HOME")


@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None, reason="only root may become nobody"
)
@pytest.mark.parametrize("start", ["spawn", "fork"])
def test_a_user_without_a_name_and_a_home_starts_a_worker(start: str) -> None:
    """As containers run: a number for a user, and an empty environment; the cage is as whole."""
    readable = "+dac_read_search"  # the checkout of these tests may lie in somebody's home
    command = ["setpriv", f"--reuid={NAMELESS}", f"--regid={NAMELESS}", "--clear-groups"]
    command += [f"--inh-caps={readable}", f"--ambient-caps={readable}", "env", "-i"]
    command += ["PATH=/usr/bin:/bin", f"PYTHONPATH={os.pathsep.join(p or '.' for p in sys.path)}"]
    done = subprocess.run(
        [*command, sys.executable, "-c", START, start],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ready" in done.stdout.splitlines(), done.stderr
    assert ("incomplete" in done.stdout) is not WHOLE, done.stdout
