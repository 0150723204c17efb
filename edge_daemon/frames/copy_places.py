"""Where kept pictures are copied to: what every such place does, and a folder as one of them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from edge_daemon.config import PicturesSettings
from edge_daemon.frames.s3_place import S3Place
from edge_daemon.frames.sftp_place import SftpPlace


class Place(Protocol):
    """A place for copies; one thread at a time. Raises OSError, or BoxError in its own words."""

    name: str
    """As a sentence calls it."""

    def open(self) -> None:
        """Reach it; nothing where that is done already."""

    def put(self, path: str, content: bytes) -> None:
        """A file whole, over what was there by this relative path."""

    def close(self) -> None:
        """Let it go; `open` reaches it anew. Never raises."""


class FolderPlace:
    """A folder that must be there: a missing mount is no new folder."""

    def __init__(self, target: Path, keys: str = "results.pictures.copy_to") -> None:
        self._target = target
        self.name = f"the folder of {keys}"

    def open(self) -> None:
        if not self._target.is_dir():
            raise FileNotFoundError(2, "the place to copy to is not there", str(self._target))

    def put(self, path: str, content: bytes) -> None:
        """On the disk when it returns."""
        to = self._target / path
        for folder in (to.parent.parent, to.parent):  # a share that went away is not made anew
            folder.mkdir(exist_ok=True)
        part = to.with_name(f".{to.name}.part")
        try:
            with part.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, to)
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise

    def close(self) -> None:
        """Nothing is held."""


def place_of(settings: PicturesSettings) -> Place | None:
    """Where the settings want copies, not reached yet; None where they want none."""
    if settings.copy_to is not None:
        return FolderPlace(settings.copy_to)
    if settings.copy_to_sftp is not None:
        return SftpPlace(settings.copy_to_sftp)
    if settings.copy_to_s3 is not None:
        return S3Place(settings.copy_to_s3)
    return None
