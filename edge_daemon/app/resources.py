"""What both sides need: settings, clock, journal, store, trust, metrics, graphics card."""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edge_daemon.app.set_aside import clear_out
from edge_daemon.config import Settings
from edge_daemon.core.values import Instant
from edge_daemon.host.clock import Clock
from edge_daemon.host.disk import Reserve, SetAside
from edge_daemon.host.gpu import Gpu, open_gpu
from edge_daemon.host.journal import Journal
from edge_daemon.host.metrics import Metrics
from edge_daemon.models.bundle import vouched_reader
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust


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
        journal = Journal.open(folder)
        with ExitStack() as undo:
            undo.callback(journal.close)
            aside = (*journal.aside, *clear_out(folder, settings.scratch_folder))
            reserve = Reserve(folder)
            reserve.give_up()
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


def _empty(folder: Path) -> None:
    """Make it, or empty it in place: the cage of an earlier worker holds this very one."""
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    for entry in tuple(folder.iterdir()):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            entry.unlink()
