"""Folders that the tests lend to other programs: gone when the tests end."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from pathlib import Path


def lent_folder(what: str) -> Path:
    """A new one, which another program's own user may enter."""
    folder = Path(tempfile.mkdtemp(prefix=f"edge-daemon-{what}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    folder.chmod(0o755)
    return folder
