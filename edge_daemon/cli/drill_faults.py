"""Faults that a drill causes between two swaps, and cleans up; the line must not notice."""

from __future__ import annotations

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from edge_daemon.cli.station import Station
from edge_daemon.core.values import BundleRef
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.messaging.client import Client
from edge_daemon.models.manifest import MANIFEST_FILE
from edge_daemon.models.shared_folder import SharedFolder, move, opened
from edge_daemon.models.store import Store

REFUSAL_S = 120.0
STANDBY_S = 15.0
"""A worker that stands by is started when the slots have been quiet for some seconds."""
_ASIDE = ".drill"
"""Where corrupt copies are made, in the store."""
_WORKER = b"edge_daemon.slots.worker"


class FaultInjector:
    """Takes turns: a request for a corrupt bundle, and the death of a standby worker.

    `victim` is the bundle whose copy is corrupted; the bundle itself is not touched.
    """

    def __init__(self, station: Station, client: Client, victim: str) -> None:
        self._station = station
        self._client = client
        self._victim = BundleRef.parse(victim)
        self._store = Store(station.settings.models.store)
        self._made: list[BundleRef] = []

    def act(self, number: int) -> tuple[str, str]:
        """What was done, and what went wrong ("" if all is well)."""
        if number % 2 == 0 and (killed := self._kill_standby()):
            return killed, ""
        try:
            corrupt = self._corrupt_copy(number)
        except OSError as error:
            return f"no corrupt bundle: the store cannot be written ({error.strerror})", ""
        return self._ask_for(corrupt)

    def clean_up(self) -> None:
        """Remove what was made, and lift the quarantines that it caused."""
        for ref in self._made:
            self._remove(ref)
            with suppress(EdgeDaemonError):
                self._station.inquire("unquarantine", {"model": str(ref), "by": "drill"})
        self._made.clear()

    # ------------------------------------------------------------------ a corrupt bundle

    def _corrupt_copy(self, number: int) -> BundleRef:
        """A copy under a version of its own, older than any, with one byte of its weights flipped.

        It is made aside and appears whole, as `models add` would bring it.
        """
        ref = BundleRef(self._victim.name, f"0.0.0.dev{time.time_ns() // 1000}{number:04}")
        manifest, source = self._store.manifest(self._victim), self._store.find(self._victim)
        self._made.append(ref)
        with SharedFolder(self._store.root) as shared, shared.workplace(_ASIDE) as aside:
            copy = opened(aside) / ref.version
            shutil.copytree(source, copy, copy_function=shutil.copyfile)
            _flip_a_byte(copy / manifest.weights.file)
            text = (source / MANIFEST_FILE).read_text(encoding="utf-8")
            text = re.sub(r"(?m)^version:.*$", f"version: {ref.version}", text)
            (copy / MANIFEST_FILE).write_text(text, encoding="utf-8")
            for path in (copy, *copy.rglob("*")):
                shared.publish(path)
            with shared.inner(ref.name) as versions:
                move(ref.version, aside, ref.version, versions)
        return ref

    def _remove(self, ref: BundleRef) -> None:
        with (
            suppress(OSError, EdgeDaemonError),
            SharedFolder(self._store.root) as shared,
            shared.workplace(_ASIDE) as aside,
            shared.inner(ref.name) as versions,
        ):
            move(ref.version, versions, ref.version, aside)

    def _ask_for(self, ref: BundleRef) -> tuple[str, str]:
        body = {"model": str(ref), "by": "drill", "reason": "a corrupt bundle"}
        last = list(self._client.request("swap", body, REFUSAL_S))[-1]
        self._remove(ref)
        if last.get("status") == "rejected":
            return "corrupt bundles", ""
        return "corrupt bundles", f"A corrupt bundle was not rejected but {last.get('status')}."

    # ------------------------------------------------------------------ a worker's death

    def _kill_standby(self) -> str:
        """Kill one worker of this daemon that judges no frames; "" where none may be killed."""
        settings = self._station.settings
        if settings.slots.isolation != "process":
            return ""
        pause = threading.Event()
        gives_up_at = time.monotonic() + STANDBY_S
        while time.monotonic() < gives_up_at:
            for pid in standby_workers(settings.state_folder):
                with suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
                    return "killed workers"
            pause.wait(0.2)
        return ""


def _flip_a_byte(weights: Path) -> None:
    if weights.is_dir():
        weights = next(path for path in sorted(weights.rglob("*")) if path.is_file())
    weights.chmod(0o644)
    with weights.open("r+b") as file:
        middle = weights.stat().st_size // 2
        file.seek(middle)
        byte = file.read(1)
        file.seek(middle)
        file.write(bytes([byte[0] ^ 0xFF]))


def standby_workers(state_folder: Path) -> Iterator[int]:
    """Workers of the daemon that holds this state folder, and that give way to others.

    A worker runs with lowered priority until its slot is made active.
    """
    try:
        daemon = (state_folder / "lock").read_text(encoding="ascii").strip()
        usual = os.getpriority(os.PRIO_PROCESS, int(daemon))
    except (OSError, ValueError):
        return
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, IndexError, ValueError):
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
            pid = int(folder.name)
            if parent == daemon and _WORKER in (folder / "cmdline").read_bytes():
                yields = os.sched_getscheduler(pid) == os.SCHED_BATCH
                if yields or os.getpriority(os.PRIO_PROCESS, pid) > usual:
                    yield pid
