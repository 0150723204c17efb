"""Which process is killed next while models are swapped, and whether a frame was lost by it."""

from __future__ import annotations

import json
import os
import re
import signal
from contextlib import suppress
from pathlib import Path

from tests.sim.proctree import fork_servers, workers

KINDS = ("judging worker", "fork server", "prepared worker")


class Killer:
    """Kills the worker that judges, the fork server, and a worker that holds another model.

    Args:
        log: of the daemon, where each load names its worker.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._read = 0
        self._loaded: dict[int, str] = {}

    def kill(self, kind: str, daemon: int, active: str) -> bool:
        """Whether there was one to kill."""
        self._look()
        models = {pid: self._loaded.get(pid, "") for pid in workers(daemon)}
        found = {
            "judging worker": [pid for pid, model in models.items() if model == active],
            "fork server": fork_servers(daemon),
            "prepared worker": [pid for pid, model in models.items() if model not in ("", active)],
        }[kind]
        for pid in found[-1:]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                return True
        return False

    def _look(self) -> None:
        with self._log.open(encoding="utf-8", errors="replace") as file:
            file.seek(self._read)
            for line in file.read().splitlines():
                if '"bundle_loaded"' in line:
                    said = json.loads(line)
                    self._loaded[said["worker"]] = said["model"]
            self._read = file.tell()


def frames_lost(metrics: str) -> dict[str, int]:
    """Frames that no model judged, by reason, as the daemon's metrics say; zeros are left out."""
    found: dict[str, int] = {}
    for line in metrics.splitlines():
        name, _, value = line.rpartition(" ")
        if name.startswith(("edge_frames_uninspected_total{", "edge_frames_dropped_total{")):
            reason = re.search(r'reason="([^"]*)"', name)
            if float(value):
                key = reason.group(1) if reason else name
                found[key] = found.get(key, 0) + int(float(value))
    return found
