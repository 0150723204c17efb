"""What a device stands on, in a folder of the test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from edge_daemon.app.resources import Resources
from edge_daemon.config import load
from edge_daemon.host.clock import SystemClock


@contextmanager
def resources(folder: Path, **settings: Mapping[str, Any]) -> Iterator[Resources]:
    """A foundation with these groups of settings; its journal is closed at the end."""
    (folder / "models").mkdir(exist_ok=True)
    document = {
        "device": "cam1",
        "camera": {"source": "conveyor:"},
        "models": {"store": str(folder / "models"), "trust": {"required": False}},
        "slots": {"isolation": "thread", "spare": "off"},
        "http": {"listen": None},
        "state_dir": str(folder / "state"),
        **settings,
    }
    file = folder / "cam1.yaml"
    file.write_text(yaml.safe_dump(document))
    laid = Resources.lay(load(file), SystemClock())
    try:
        yield laid
    finally:
        laid.journal.close()
