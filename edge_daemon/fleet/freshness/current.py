"""What this station believes of the fleet's metadata, as the file `fleet-current.json`.

It is read at the start, so that nothing has to be asked or verified there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_daemon.documents import MALFORMED
from edge_daemon.host.clock import Clock
from edge_daemon.messaging.times import iso_utc

CURRENT_FILE = "fleet-current.json"


@dataclass(frozen=True)
class Current:
    """The newest metadata that was verified here. Times are POSIX seconds.

    Args:
        at: when it was verified last.
        until: when the first part of it expires.
        campaigns: id -> SHA-256 of the campaign's text, in hex.
        root, timestamp: their versions.
    """

    at: float
    until: float
    campaigns: Mapping[str, str] = field(default_factory=dict)
    root: int = 1
    timestamp: int = 1


@dataclass(frozen=True)
class Remembered:
    """What survives a restart; `seen`: the latest time that this box ever had."""

    current: Current | None = None
    seen: float = 0.0


def write_remembered(kept: Remembered) -> bytes:
    """As the file holds it."""
    current = None if kept.current is None else {**vars(kept.current)}
    return json.dumps({"current": current, "seen": kept.seen}, sort_keys=True).encode()


def parse_remembered(content: bytes) -> Remembered:
    """What was remembered; raises ValueError for anything else."""
    try:
        plain = json.loads(content)
        seen, current = float(plain["seen"]), plain["current"]
        if current is None:
            return Remembered(None, seen)
        campaigns = {str(name): str(sha256) for name, sha256 in current["campaigns"].items()}
        versions = int(current["root"]), int(current["timestamp"])
        made = Current(float(current["at"]), float(current["until"]), campaigns, *versions)
        return Remembered(made, seen)
    except MALFORMED as error:
        raise ValueError(f"no memory of the fleet's metadata: {error}") from error


def why_stale(current: Current | None, now_utc: float, grace_s: float) -> str:
    """Why nothing may be begun by it; empty: it may be believed."""
    if current is None:
        return "no fresh word of the fleet has come yet"
    if now_utc >= current.until + grace_s:
        return f"no fresh word since {iso_utc(current.at)}"
    return ""


class TrustedTime:
    """The clock, but never earlier than the latest time seen here: for boxes without a clock.

    Where the clock is behind, the time goes on from the latest one, so that metadata expires there
    too.
    """

    def __init__(self, clock: Clock, seen: float) -> None:
        self._clock = clock
        self._seen, self._seen_at = seen, clock.now().at

    def now(self) -> float:
        """POSIX seconds."""
        now = self._clock.now()
        return max(now.utc, self._seen + now.at - self._seen_at)

    def ahead_s(self) -> float:
        """How far it is ahead of the clock."""
        return self.now() - self._clock.now().utc
