"""The settings file of a station that is stopped, in a folder of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def settings_file(folder: Path, **more: Any) -> Path:
    """`cam1.yaml`, with these keys besides or instead."""
    document = {
        "device": "cam1",
        "camera": {"source": "conveyor:"},
        "models": {"store": str(folder / "store"), "trust": {"required": False}},
        "http": {"listen": None},
        "state_dir": str(folder / "state"),
        **more,
    }
    path = folder / "cam1.yaml"
    path.write_text(json.dumps(document))
    return path
