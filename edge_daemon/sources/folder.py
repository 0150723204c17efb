"""A folder as a source: a USB stick, a mounted share. It is laid out as a store is.

<folder>/<name>/<version>/model.yaml …
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_daemon.core.lineage import Origin
from edge_daemon.errors import BundleError
from edge_daemon.models.files import Folder
from edge_daemon.models.manifest import MANIFEST_FILE
from edge_daemon.models.misplaced import visible_folders
from edge_daemon.models.versions import is_version
from edge_daemon.sources.choice import FILES, chosen
from edge_daemon.sources.source import Offered, RemoteFile, SourceAway, Stream


class FolderSource:
    """Implements `Source`; no link below the folder is followed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.where = str(root)

    def offered(self, name: str, which: str) -> tuple[Offered, ...]:
        if not self._root.is_dir():
            raise SourceAway(f"{self._root} is not there.", hint="Is it plugged in, or mounted?")
        folders = visible_folders(self._root / name)
        # A version that is still being copied there has no model.yaml yet.
        there = [each.name for each in folders if (each / MANIFEST_FILE).exists()]
        versions = chosen([each for each in there if is_version(each)], which)
        return tuple(self._offer(name, version) for version in versions)

    @contextmanager
    def open(self, offered: Offered, path: str, at: int = 0) -> Iterator[Stream]:
        try:
            with Folder(Path(offered.base)) as folder:
                fd = folder.open(path)
        except (BundleError, FileNotFoundError) as error:
            self._still_there(offered, error)
            raise
        except OSError as error:
            raise self._away(error) from error
        with os.fdopen(fd, "rb", buffering=0) as file:
            file.seek(at)

            def read(count: int) -> bytes:
                try:
                    return file.read(count)
                except OSError as error:
                    raise self._away(error) from error

            yield Stream(at, os.fstat(fd).st_size, read)

    def _offer(self, name: str, version: str) -> Offered:
        place = self._root / name / version
        try:
            with Folder(place) as folder:
                entries, _ = folder.entries()
        except BundleError as error:
            if not place.is_dir():
                raise self._gone(name, version) from error
            raise
        except OSError as error:
            raise self._away(error) from error
        # A folder that a web server gives out too may have its list of files in it.
        of_it = (entry for entry in entries if entry.path != FILES)
        files = {entry.path: RemoteFile(entry.path, entry.size) for entry in of_it}
        origin = Origin("folder", self.where, name, version=version)
        return Offered(version, origin, version, files, base=str(place))

    def _still_there(self, offered: Offered, error: Exception) -> None:
        """Raises SourceAway where all of the bundle has gone: then it is no fault of the bundle."""
        place = Path(offered.base)
        if not place.is_dir():
            raise self._gone(place.parent.name, place.name) from error

    def _gone(self, name: str, version: str) -> SourceAway:
        return SourceAway(
            f"{self._root} has no {name}@{version} any more.",
            hint="Was it pulled out? Plug it in again: what came is kept.",
        )

    def _away(self, error: OSError) -> SourceAway:
        return SourceAway(
            f"{self._root} cannot be read: {error.strerror or type(error).__name__}.",
            hint="Was it pulled out? Let the daemon's user read all of it.",
        )
