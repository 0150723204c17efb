"""What lies in the store but not where a bundle belongs: reported, so nothing is overlooked.

Of a folder that nobody may look into, `Path.is_dir` and `exists` raise, and `os.path` says no.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from edge_daemon.errors import BundleError
from edge_daemon.models.manifest import MANIFEST_FILE

_MOUNT = "lost+found"  # a file system's own


def misplaced(root: Path) -> Iterator[tuple[str, BundleError]]:
    """Each with its place within the store, and the rule that it breaks."""
    for path in _visible(root):
        place = path.name
        if not os.path.isdir(path):
            yield place, _misplaced(place)
            continue
        if os.path.exists(path / MANIFEST_FILE):
            yield (
                place,
                BundleError(
                    f"{place} holds a {MANIFEST_FILE} where its versions should lie.",
                    hint=f"Move the bundle to {place}/VERSION.",
                ),
            )
        elif not os.access(path, os.R_OK | os.X_OK, effective_ids=True):
            hint = "Let the daemon's user read all of it."
            yield place, BundleError(f"{place} cannot be read.", hint=hint)
        else:
            for inner in _visible(path):
                if not os.path.isdir(inner):
                    yield place_of(inner), _misplaced(place_of(inner))


def place_of(folder: Path) -> str:
    """A bundle's folder as it is named to people: NAME/VERSION."""
    return f"{folder.parent.name}/{folder.name}"


def visible_folders(folder: Path) -> tuple[Path, ...]:
    """Those in a folder whose names do not begin with a dot, sorted."""
    return tuple(path for path in _visible(folder) if os.path.isdir(path))


def _visible(folder: Path) -> tuple[Path, ...]:
    try:
        inner = (path for path in folder.iterdir() if path.name[0] != "." and path.name != _MOUNT)
        return tuple(sorted(inner))
    except OSError:
        return ()  # not there yet, or removed while looking: nothing is offered from it


def _misplaced(place: str) -> BundleError:
    return BundleError(
        f"{place} is no folder of a bundle.",
        hint="The store holds NAME/VERSION/model.yaml and what lies beside it; remove the rest.",
    )
