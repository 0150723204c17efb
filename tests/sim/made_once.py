"""What takes long to make and is the same for every worker of a run: one makes it for all."""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Made = TypeVar("Made")


def made_once(name: str, make: Callable[[], Made]) -> Made:
    """Make it, or take what another worker of this run made under the same name.

    `name`: what it depends on. A worker that ends takes what it made along; whoever comes later
    makes it again.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    if run is None:
        return make()
    key = hashlib.sha256(f"{run} {name}".encode()).hexdigest()[:32]
    file = Path(tempfile.gettempdir()) / f"edge-daemon-made-{key}"
    with file.open("a+b") as shelf:
        fcntl.flock(shelf, fcntl.LOCK_EX)
        shelf.seek(0)
        kept = shelf.read()
        if kept:
            found: Made = pickle.loads(kept)
            return found
        atexit.register(file.unlink, missing_ok=True)
        made = make()
        shelf.write(pickle.dumps(made))
        return made
