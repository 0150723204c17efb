"""Folders that the tests lend to other programs and users: gone when the tests end."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


def lent_folder(what: str) -> Path:
    """A new one, which another program's own user may enter."""
    folder = Path(tempfile.mkdtemp(prefix=f"edge-daemon-{what}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    return folder


@contextmanager
def nobody() -> Iterator[None]:
    """This process without root's rights, so that those of files count; pytest's own folders are
    closed to it."""
    is_root = os.geteuid() == 0
    if is_root:
        os.setegid(_NOBODY)
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)
            os.setegid(0)


POISON = (
    *("argparse", "cv2", "ctypes", "json", "msgspec", "numpy", "structlog", "torch", "typer"),
    *("ultralytics", "yaml"),
)


def poisoned(folder: Path) -> Path:
    """A folder whose modules shadow ours: each leaves a file `ran-NAME` there when it is run."""
    there = folder / "poisoned"
    there.mkdir()
    for name in POISON:
        mark = there / f"ran-{name}"
        (there / f"{name}.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    return there
