"""Asks for the fleet's metadata now and then, when a timestamp is heard, and before a campaign.

It waits for servers, and reads what strangers may have written: a station runs it in the courier, a
process of its own, and an evaluator on a thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from edge_daemon.config.fleet import FleetTrust
from edge_daemon.errors import BoxError, EdgeDaemonError, SenderError
from edge_daemon.fleet.freshness.mirror import HeardTimestamp, Mirror, mirror_of
from edge_daemon.fleet.freshness.refresh import refresh_once
from edge_daemon.host.clock import Clock
from edge_daemon.host.error_boundary import contained

_log = structlog.get_logger(__name__)
EVERY_S = 600.0
AGAIN_S = 60.0
"""After a try that failed."""
LATELY_S = 10.0
"""Who asks so soon after the last time is answered by it."""
POLL_S = 1.0


@dataclass(frozen=True)
class Refreshed:
    """How a try ended. `why`: why nothing new is believed; empty: all is well. `is_refusal`:
    whether there was something, and it must not be believed. `where` it was read."""

    why: str = ""
    is_refusal: bool = False
    where: str = ""


class Refresher:
    """`trust.root` is set. `tell` hears of every try, on the thread that makes it."""

    def __init__(
        self,
        trust: FleetTrust,
        state_folder: Path,
        clock: Clock,
        tell: Callable[[Refreshed], None] = lambda _: None,
    ) -> None:
        self._trust, self._folder, self._clock, self.tell = trust, state_folder, clock, tell
        self._mirror: Mirror | None = None
        if trust.metadata is not None:
            self._mirror = mirror_of(trust.metadata, trust.metadata_ca)
        self._due = self._lately = float("-inf")
        self._last = Refreshed()
        self._heard: bytes | None = None
        self._is_asked = False
        self._stirred, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="refresher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a refresh that waits for a server is left behind."""
        self._stopped.set()
        self._stirred.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def hear(self, timestamp: bytes) -> None:
        """A timestamp came as a message; any thread."""
        self._heard = timestamp
        self._stirred.set()

    def ask(self) -> None:
        """Look now, whenever that would be due; any thread."""
        self._is_asked = True
        self._stirred.set()

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        while not self._stopped.is_set():
            with contained() as attempt:
                self.look()
            if attempt.fault is not None:
                _log.error("metadata_not_refreshed", exc_info=attempt.fault)
                self._due = self._clock.now().at + AGAIN_S
                self.tell(Refreshed("it could not be looked at"))
            self._stirred.wait(POLL_S)
            self._stirred.clear()

    def look(self) -> None:
        """Take what was heard, and ask the mirror where that is due or wanted."""
        heard, self._heard = self._heard, None
        is_asked, self._is_asked = self._is_asked, False
        now = self._clock.now().at
        if heard is not None:
            self._try_heard(heard)
        elif self._mirror is not None and (
            now >= self._due or (is_asked and now - self._lately >= LATELY_S)
        ):
            fine = self._try(self._mirror)
            self._lately = self._clock.now().at
            self._due = self._lately + (EVERY_S if fine else AGAIN_S)
        elif is_asked:
            self.tell(self._last)

    def _try_heard(self, timestamp: bytes) -> None:
        """Mostly it names the snapshot that is here already, and no server has to be up for it."""
        alone = HeardTimestamp(timestamp, None)
        if self._mirror is not None and self._fault(alone) is None:
            self._say(Refreshed(where=alone.where))
        else:
            self._try(HeardTimestamp(timestamp, self._mirror))

    def _try(self, mirror: Mirror) -> bool:
        fault = self._fault(mirror)
        why = "" if fault is None else fault.message
        self._say(Refreshed(why, isinstance(fault, SenderError), mirror.where))
        return fault is None

    def _fault(self, mirror: Mirror) -> EdgeDaemonError | None:
        """Why what the mirror has is not believed; None: it is, and it is kept."""
        try:
            refresh_once(self._trust, self._folder, mirror, self._clock)
        except (SenderError, BoxError) as error:
            return error
        return None

    def _say(self, said: Refreshed) -> None:
        self._last = said
        self.tell(said)
