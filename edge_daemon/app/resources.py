"""What both sides need: settings, clock, journal, store, trust, metrics, graphics card.

A damaged file of the state folder must not stop the line. It is moved aside before anything reads
it, and reported in the log, in health and in the audit trail. The journal handles its own file.
"""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edge_daemon.config import Settings
from edge_daemon.control.desired_state import MEMORY_FILE as DESIRED_FILE
from edge_daemon.control.desired_state import parse_memory
from edge_daemon.core.values import Instant
from edge_daemon.fleet.freshness.current import CURRENT_FILE, parse_remembered
from edge_daemon.fleet.memory import MEMORY_FILE as FLEET_FILE
from edge_daemon.fleet.memory import read_kept
from edge_daemon.host.clock import Clock
from edge_daemon.host.disk import RESERVE_FILE, Reserve, SetAside, set_aside, set_aside_unless
from edge_daemon.host.gpu import Gpu, open_gpu
from edge_daemon.host.journal import Journal
from edge_daemon.host.metrics import Metrics
from edge_daemon.models.bundle import vouched_reader
from edge_daemon.models.first_seen import parse_seen
from edge_daemon.models.store import MEMORY_FILE as SEEN_FILE
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust

SOCKET = "control.sock"
"""Of the control socket, in systemd's runtime folder or else in the state's."""

_LIMIT_BYTES = 64 << 20
_PARSERS = {
    SEEN_FILE: parse_seen,
    DESIRED_FILE: parse_memory,
    FLEET_FILE: read_kept,
    CURRENT_FILE: parse_remembered,
}


@dataclass(frozen=True)
class Resources:
    """One start of one device; `settings` are those of the start."""

    settings: Settings
    clock: Clock
    boot: str
    started: Instant
    journal: Journal
    metrics: Metrics
    gpu: Gpu | None
    store: Store
    trust: Trust
    scratch: Path
    """The private copies of bundles; there before the workers that may read in it, and stays."""
    reserve: Reserve
    aside: tuple[SetAside, ...] = ()
    """Files of the state folder that were damaged and begin anew."""

    @classmethod
    def lay(cls, settings: Settings, clock: Clock) -> Resources:
        """Open what is kept on disk, and empty the scratch folder.

        Raises StateError when the state folder belongs to another daemon or cannot be used, and
        ConfigurationError when a public key cannot be read.
        """
        folder = settings.state_folder
        started = clock.now()
        reserve = Reserve(folder)
        journal = Journal.open(folder, reserve)
        with ExitStack() as undo:
            undo.callback(journal.close)
            aside = (*journal.aside, *_clear_out(folder, settings.scratch_folder))
            _empty(settings.scratch_folder)
            models = settings.models
            trust = Trust(models.trust.public_keys, models.trust.required, models.revoked)
            laid = cls(
                settings=settings,
                clock=clock,
                boot=uuid.uuid4().hex[:12],
                started=started,
                journal=journal,
                metrics=Metrics(),
                gpu=open_gpu(settings.slots.device, os.environ),
                store=Store(
                    models.store,
                    folder,
                    models.floor,
                    vouched_reader(trust),
                    lambda: trust.required,
                ),
                trust=trust,
                scratch=settings.scratch_folder,
                reserve=reserve,
                aside=aside,
            )
            undo.pop_all()
            return laid


def _clear_out(folder: Path, scratch: Path) -> tuple[SetAside, ...]:
    """Move damaged files aside; raises StateError if one cannot be moved."""
    unread = [set_aside_unless(folder / name, _PARSERS[name], _LIMIT_BYTES) for name in _PARSERS]
    found = [each for several in unread for each in several]
    folders = [folder / name for name in (RESERVE_FILE, SOCKET) if (folder / name).is_dir()]
    found += [set_aside(path, "is a folder") for path in folders]
    if os.path.lexists(scratch) and (scratch.is_symlink() or not scratch.is_dir()):
        found.append(set_aside(scratch, "is no folder"))
    return tuple(found)


def _empty(folder: Path) -> None:
    """Make it, or empty it in place: the cage of an earlier worker holds this very one."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    for entry in tuple(folder.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink()
