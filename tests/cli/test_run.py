"""`edge-daemon run` as a process among others of the same user."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import ctypes, pathlib, subprocess, sys
from edge_daemon.cli.run import run
from edge_daemon.errors import ConfigurationError
dumpable = lambda: ctypes.CDLL(None).prctl(3)
before = dumpable()
try:
    run(pathlib.Path(sys.argv[1]))
except ConfigurationError:
    pass
child = "import ctypes; print(ctypes.CDLL(None).prctl(3))"
child = subprocess.run([sys.executable, "-c", child], check=True, capture_output=True, text=True)
print(before, dumpable(), child.stdout)
"""


def test_the_daemon_is_hidden_before_it_has_read_a_secret(tmp_path: Path) -> None:
    """Nobody but root reads its memory, environment and descriptors in /proc, where its workers
    run as the same user; what it starts is not hidden with it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "missing.yaml")],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.stdout.split() == ["1", "0", "1"]


def test_little_is_imported_before_the_workers_begin() -> None:
    """They take the longest at a start; what only the daemon needs is imported meanwhile."""
    probe = (
        "import sys\nimport edge_daemon.cli.run\n"
        "print({'numpy', 'cv2', 'paho', 'sqlite3', 'starlette', 'torch'} & set(sys.modules))"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", probe], check=True, capture_output=True, text=True, env=environment
    )
    assert done.stdout.strip() == "set()"
