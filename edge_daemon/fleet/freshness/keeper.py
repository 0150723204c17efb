"""A station's own thread for the fleet's metadata: it asks now and then, and when a message comes.

It waits for servers, and reads what strangers may have written. So it is neither on the start path
nor on the thread of the driver or of campaigns; `Freshness` is all that they see of it.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

import structlog

from edge_daemon.config.fleet import FleetTrust
from edge_daemon.errors import BoxError, EdgeDaemonError, SenderError
from edge_daemon.fleet.freshness.current import CURRENT_FILE, Remembered, TrustedTime, why_stale
from edge_daemon.fleet.freshness.mirror import HeardTimestamp, Mirror, mirror_of, version_of
from edge_daemon.fleet.freshness.refresh import recall, refresh_once
from edge_daemon.host.boundary import contained
from edge_daemon.host.clock import SET_BACK_S, Clock
from edge_daemon.messaging.times import iso_utc

_log = structlog.get_logger(__name__)
EVERY_S = 600.0
AGAIN_S = 60.0
"""After a try that failed."""
POLL_S = 1.0
MOST_TIMESTAMP_BYTES = 16_384


class Freshness(Protocol):
    """What a station knows of the fleet's metadata; any thread, and nothing here waits."""

    def hear(self, timestamp: bytes) -> None:
        """A timestamp came as a message; it is believed when it was verified."""
        ...

    def why_not(self, campaign: str, sha256: str) -> str:
        """Why this campaign may not be begun; empty: it is current."""
        ...

    def fresh_until(self) -> float | None:
        """POSIX seconds until which campaigns may be begun; None: never was."""
        ...

    def problems(self) -> tuple[str, ...]:
        """What people should know of it."""
        ...


class Keeper:
    """Implements `Freshness`. `trust.root` is set."""

    def __init__(self, trust: FleetTrust, state_folder: Path, clock: Clock) -> None:
        self._trust, self._folder, self._clock = trust, state_folder, clock
        self._mirror: Mirror | None = None
        if trust.metadata is not None:
            self._mirror = mirror_of(trust.metadata, trust.metadata_ca)
        self._mark = self._mark_of_file()
        self._kept = recall(state_folder)
        self._time = TrustedTime(clock, self._kept.seen)
        self._due = float("-inf")
        self._heard: bytes | None = None
        self._tried = False
        self._trouble: EdgeDaemonError | None = None
        self._stirred, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="freshness", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a refresh that waits for a server is left behind."""
        self._stopped.set()
        self._stirred.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    # ------------------------------------------------------------------ any thread

    def hear(self, timestamp: bytes) -> None:
        current = self._kept.current
        known = 0 if current is None else current.timestamp
        if len(timestamp) <= MOST_TIMESTAMP_BYTES and version_of(timestamp) > known:
            self._heard = timestamp
            self._stirred.set()

    def why_not(self, campaign: str, sha256: str) -> str:
        current = self._kept.current
        stale = why_stale(current, self._time.now(), self._trust.expires_grace_s)
        if stale or current is None:
            return stale
        known = current.campaigns.get(campaign)
        return "" if known == sha256 else "it is none of the campaigns that are current"

    def fresh_until(self) -> float | None:
        current = self._kept.current
        return None if current is None else current.until + self._trust.expires_grace_s

    def problems(self) -> tuple[str, ...]:
        found = []
        current, trouble = self._kept.current, self._trouble
        stale = why_stale(current, self._time.now(), self._trust.expires_grace_s)
        if stale and (current is not None or self._tried):
            why = f": {trouble.message}" if trouble is not None else ""
            found.append(f"{stale}, so no campaign is begun{why}")
        elif isinstance(trouble, SenderError):
            found.append(trouble.message)
        if self._time.ahead_s() > SET_BACK_S:
            found.append(
                f"the clock says {iso_utc(self._clock.now().utc)}, and it was later here before: "
                "the fleet's metadata is judged by the later time (if the clock is right now: "
                "edge-daemon fleet keys refresh --trust-clock)"
            )
        return tuple(found)

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        while not self._stopped.is_set():
            with contained() as attempt:
                self.look()
            if attempt.fault is not None:
                _log.error("metadata_not_refreshed", exc_info=attempt.fault)
                self._due = self._clock.now().at + AGAIN_S
            self._stirred.wait(POLL_S)
            self._stirred.clear()

    def look(self) -> None:
        """Take what a person refreshed, what was heard, and ask the mirror where that is due."""
        self._take_file()
        heard, self._heard = self._heard, None
        if heard is not None:
            self._try_heard(heard)
        elif self._mirror is not None and self._clock.now().at >= self._due:
            fine = self._try(self._mirror)
            self._due = self._clock.now().at + (EVERY_S if fine else AGAIN_S)

    def _try_heard(self, timestamp: bytes) -> None:
        """Mostly it names the snapshot that is here already, and no server has to be up for it."""
        if self._mirror is not None:
            try:
                alone = HeardTimestamp(timestamp, None)
                kept = refresh_once(self._trust, self._folder, alone, self._clock)
            except (SenderError, BoxError):
                pass
            else:
                self._trouble = None
                return self._believe(kept)
        self._try(HeardTimestamp(timestamp, self._mirror))
        return None

    def _try(self, mirror: Mirror) -> bool:
        before, self._tried = self._trouble, True
        try:
            kept = refresh_once(self._trust, self._folder, mirror, self._clock)
        except (SenderError, BoxError) as error:
            self._trouble = error
            if before is None or before.message != error.message:
                _log.warning("metadata_refused", where=mirror.where, error=error.message)
            return False
        self._trouble = None
        self._believe(kept)
        return True

    def _take_file(self) -> None:
        """Somebody refreshed by hand: from a USB stick."""
        if self._mark_of_file() != self._mark:
            kept = recall(self._folder)
            if kept.current is not None and kept.current != self._kept.current:
                self._trouble = None
            self._believe(kept)

    def _believe(self, kept: Remembered) -> None:
        before = self._kept.current
        self._mark = self._mark_of_file()
        self._kept, self._time = kept, TrustedTime(self._clock, kept.seen)
        now = kept.current
        if now is not None and (before is None or before.campaigns != now.campaigns):
            _log.info("campaigns_current", campaigns=sorted(now.campaigns), root=now.root)

    def _mark_of_file(self) -> tuple[int, int] | None:
        try:
            found = (self._folder / CURRENT_FILE).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns
