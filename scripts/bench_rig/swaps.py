"""A store that fills up as a station's does: signed copies of the demo's bundles."""

from __future__ import annotations

from pathlib import Path

from edge_daemon.config import parse
from edge_daemon.demo.stage import BUNDLES, publish_copy
from edge_daemon.models.trust import generate_keypair

SOURCES = ("1.0.0", "1.1.0")
"""Versions of the demo's bottle, as they were trained."""


class DemoStore:
    """The trained bundles, and as many more versions of them as are published."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "models"
        self.key, self.public = generate_keypair(folder)
        for version in SOURCES:
            self.publish(version, version)

    def publish(self, source: str, version: str) -> str:
        """A signed copy of a version of bottle under another one; its `name@version`."""
        return self.copy(BUNDLES / "bottle" / source, "bottle", version)

    def copy(self, source: Path, name: str, version: str) -> str:
        """A signed copy of a bundle under another name and version; its `name@version`."""
        manifest = parse((source / "model.yaml").read_text(encoding="utf-8")).value
        # A busy box says nothing of the model.
        limits = manifest["limits"] | {"latency_ratio": 10.0}
        changes = {"name": name, "version": version, "limits": limits}
        return publish_copy(source, self.folder, self.key, changes)
