"""A folder as a source: a USB stick, a mounted share. It is laid out as a store is.

<folder>/<name>/<version>/model.yaml …
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_daemon.core.lineage import Origin
from edge_daemon.errors import BoxError, BundleError
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
        try:
            os.stat(f"{self._root}/.")
            os.listdir(self._root)
        except FileNotFoundError as error:
            hint = "Is it plugged in, or mounted?"
            raise SourceAway(f"{self._root} is not there.", hint=hint) from error
        except (NotADirectoryError, PermissionError) as error:
            message, hint = _closed(self._root, error)
            raise BoxError(message, hint=hint) from error
        except OSError as error:
            raise self._away(error) from error
        there = self._versions(name)
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
        except PermissionError as error:
            raise _refused(Path(offered.base) / path, error) from error
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

    def _versions(self, name: str) -> list[str]:
        """Those that are complete. Raises BundleError where nobody may look."""
        place = self._root / name
        try:
            with suppress(FileNotFoundError):
                os.stat(f"{place}/.")
                os.listdir(place)
            return [each.name for each in visible_folders(place) if _is_complete(each)]
        except (NotADirectoryError, PermissionError) as error:
            raise _refused(Path(error.filename or place), error) from error
        except OSError as error:
            raise self._away(error) from error

    def _offer(self, name: str, version: str) -> Offered:
        place = self._root / name / version
        try:
            with Folder(place) as folder:
                entries, _ = folder.entries()
        except BundleError as error:
            if not place.is_dir():
                raise self._gone(name, version) from error
            raise
        except PermissionError as error:
            raise _refused(place, error) from error
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
            hint="Was it pulled out? Then plug it in again: what came is kept.",
        )


def _is_complete(version: Path) -> bool:
    """One that is still being copied there has no model.yaml yet. Raises OSError."""
    try:
        os.stat(version / MANIFEST_FILE)
    except FileNotFoundError:
        return False
    return True


def _refused(place: Path, error: OSError) -> BundleError:
    """It is there and not to be read: the other bundles of this source come all the same."""
    message, hint = _closed(place, error)
    return BundleError(message, hint=hint)


def _closed(place: Path, error: OSError) -> tuple[str, str]:
    """A sentence, and what to do."""
    if isinstance(error, NotADirectoryError):
        return f"{place} is no folder.", "A source holds NAME/VERSION/model.yaml."
    return f"{place} may not be read by this user.", "Let the daemon's user read all of it."
