"""What the chapters of the booted system have in common; standard library only."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

DAEMON = "/usr/bin/edge-daemon"
PYTHON = "/opt/edge-daemon/bin/python"
ETC = Path("/etc/edge-daemon")
PATIENCE_S = 150.0

figures: list[str] = []
"""What was measured on the way, a line each."""


def out(*words: str, check: bool = True) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def until(what: str, condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> float:
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > patience_s:
            raise AssertionError(f"not within {patience_s:.0f} s: {what}")
        time.sleep(0.25)
    return time.monotonic() - began


def measured(line: str) -> None:
    figures.append(line)
