"""What a station knows of the fleet's metadata: it reads what is kept, and asks nobody itself.

Who refreshes (`refresher`) may wait for servers; here nothing does, so that neither the start nor
the threads of the driver and of campaigns ever wait for one.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Protocol

import structlog

from edge_daemon.config.fleet import FleetTrust
from edge_daemon.fleet.freshness.current import CURRENT_FILE, TrustedTime, why_stale
from edge_daemon.fleet.freshness.mirror import version_of
from edge_daemon.fleet.freshness.refresh import recall
from edge_daemon.fleet.freshness.refresher import Refreshed
from edge_daemon.host.clock import SET_BACK_S, Clock
from edge_daemon.host.error_boundary import contained
from edge_daemon.messaging.times import iso_utc

_log = structlog.get_logger(__name__)
POLL_S = 1.0
PATIENCE_S = 30.0
"""A campaign that is opened waits so long for a look at what is current; then what is kept counts,
until it expires."""
MOST_TIMESTAMP_BYTES = 16_384


class Freshness(Protocol):
    """What a station knows of the fleet's metadata; any thread, and nothing here waits."""

    def hear(self, timestamp: bytes) -> None:
        """A timestamp came as a message; it is believed when it was verified."""
        ...

    def ask(self) -> None:
        """A campaign is about to be begun: have it looked at what is current."""
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


class Refreshing(Protocol):
    """Who refreshes, somewhere else; any thread, and nothing here waits."""

    def hear(self, timestamp: bytes) -> None: ...

    def ask(self) -> None: ...


class FreshnessMonitor:
    """Implements `Freshness`. `trust.root` is set; `told` hears how a refresh ended."""

    def __init__(
        self, trust: FleetTrust, state_folder: Path, clock: Clock, refresher: Refreshing
    ) -> None:
        self._trust, self._folder, self._clock = trust, state_folder, clock
        self._refresher = refresher
        self._mark = self._mark_of_file()
        self._kept = recall(state_folder)
        self._time = TrustedTime(clock, self._kept.seen)
        self._asked_at: float | None = None
        self._last: Refreshed | None = None
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="freshness", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    # ------------------------------------------------------------------ any thread

    def hear(self, timestamp: bytes) -> None:
        current = self._kept.current
        known = 0 if current is None else current.timestamp
        if len(timestamp) <= MOST_TIMESTAMP_BYTES and version_of(timestamp) > known:
            self._refresher.hear(timestamp)

    def ask(self) -> None:
        if self._trust.metadata is not None:
            self._asked_at = self._clock.now().at
            self._refresher.ask()

    def told(self, refreshed: Refreshed) -> None:
        """How the last refresh ended."""
        before, self._last = self._last, refreshed
        if refreshed.why and (before is None or before.why != refreshed.why):
            _log.warning("metadata_refused", where=refreshed.where, error=refreshed.why)
        self.look()
        self._asked_at = None

    def why_not(self, campaign: str, sha256: str) -> str:
        current = self._kept.current
        stale = why_stale(current, self._time.now(), self._trust.expires_grace_s)
        if stale or current is None:
            return stale
        asked_at = self._asked_at
        if asked_at is not None and self._clock.now().at - asked_at < PATIENCE_S:
            return "what is current is being looked at"
        known = current.campaigns.get(campaign)
        return "" if known == sha256 else "it is none of the campaigns that are current"

    def fresh_until(self) -> float | None:
        current = self._kept.current
        return None if current is None else current.until + self._trust.expires_grace_s

    def problems(self) -> tuple[str, ...]:
        found = []
        current, last = self._kept.current, self._last
        stale = why_stale(current, self._time.now(), self._trust.expires_grace_s)
        if stale and (current is not None or last is not None):
            why = f": {last.why}" if last is not None and last.why else ""
            found.append(f"{stale}, so no campaign is begun{why}")
        elif last is not None and (last.is_refusal and last.why):
            found.append(last.why)
        if self._time.ahead_s() > SET_BACK_S:
            found.append(
                f"the clock says {iso_utc(self._clock.now().utc)}, and it was later here before: "
                "the fleet's metadata is judged by the later time (if the clock is right now: "
                "edge-daemon fleet keys refresh --trust-clock)"
            )
        return tuple(found)

    # ------------------------------------------------------------------ the file

    def _run(self) -> None:
        while not self._stopped.wait(POLL_S):
            with contained() as attempt:
                self.look()
            if attempt.fault is not None:
                _log.error("metadata_not_read", exc_info=attempt.fault)

    def look(self) -> None:
        """Take what somebody refreshed: the courier, or a person from a USB stick."""
        mark = self._mark_of_file()
        if mark == self._mark:
            return
        kept, before = recall(self._folder), self._kept.current
        self._mark = mark
        self._kept, self._time = kept, TrustedTime(self._clock, kept.seen)
        now = kept.current
        if now != before and self._last is not None and self._last.is_refusal:
            self._last = Refreshed(where=self._last.where)
        if now is not None and (before is None or before.campaigns != now.campaigns):
            _log.info("campaigns_current", campaigns=sorted(now.campaigns), root=now.root)

    def _mark_of_file(self) -> tuple[int, int] | None:
        try:
            found = (self._folder / CURRENT_FILE).stat()
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns
