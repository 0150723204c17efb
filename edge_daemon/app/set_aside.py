"""The files of the state folder and what each must be; a damaged one is moved aside.

A damaged file must not stop the line. It is moved aside before anything reads it, and reported in
the log, in health and in the audit trail. The journal handles its own file.
"""

from __future__ import annotations

import os
from pathlib import Path

from edge_daemon.control.desired_state import MEMORY_FILE as DESIRED_FILE
from edge_daemon.control.desired_state import parse_memory
from edge_daemon.fleet.freshness.current import CURRENT_FILE, parse_remembered
from edge_daemon.fleet.memory import MEMORY_FILE as FLEET_FILE
from edge_daemon.fleet.memory import read_kept
from edge_daemon.host.disk import RESERVE_FILE, SetAside, set_aside, set_aside_unless
from edge_daemon.models.first_seen import parse_seen
from edge_daemon.models.store import MEMORY_FILE as SEEN_FILE

SOCKET = "control.sock"

_LIMIT_BYTES = 64 << 20
_PARSERS = {
    SEEN_FILE: parse_seen,
    DESIRED_FILE: parse_memory,
    FLEET_FILE: read_kept,
    CURRENT_FILE: parse_remembered,
}
_FILES = (RESERVE_FILE, SOCKET)


def clear_out(folder: Path, scratch: Path) -> tuple[SetAside, ...]:
    """Move damaged files aside; raises StateError if one cannot be moved."""
    unread = [set_aside_unless(folder / name, _PARSERS[name], _LIMIT_BYTES) for name in _PARSERS]
    found = [each for several in unread for each in several]
    folders = [folder / name for name in _FILES if (folder / name).is_dir()]
    found += [set_aside(path, "is a folder") for path in folders]
    if os.path.lexists(scratch) and (scratch.is_symlink() or not scratch.is_dir()):
        found.append(set_aside(scratch, "is no folder"))
    return tuple(found)
