"""What a device stands on, in a folder of the test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from edge_daemon.app.resources import Resources
from edge_daemon.config import load
from edge_daemon.host.clock import SystemClock
from tests.sim.settings_file import settings_file


@contextmanager
def resources(folder: Path, **settings: Mapping[str, Any]) -> Iterator[Resources]:
    """A foundation with these groups of settings; its journal is closed at the end."""
    (folder / "models").mkdir(exist_ok=True)
    usual = {
        "models": {"store": str(folder / "models"), "trust": {"required": False}},
        "slots": {"isolation": "thread", "spare": "off"},
    }
    file = settings_file(folder, **{**usual, **settings})
    laid = Resources.lay(load(file), SystemClock())
    try:
        yield laid
    finally:
        laid.journal.close()
