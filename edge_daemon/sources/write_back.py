"""Tells a source what became of its bundle: a tag at MLflow, a referrer in an OCI registry.

What is to be told follows from the journal's rollouts, and what was told last stands beside them.
So nothing is lost while a server is away or the daemon is stopped, and only the newest word is
sent then. A word may be sent twice, which changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog

from edge_daemon.core.lineage import Origin
from edge_daemon.errors import BoxError, BundleError
from edge_daemon.host.error_boundary import ErrorBoundary

_log = structlog.get_logger(__name__)

LOOK_S = 10.0
FIRST_S, LONGEST_S = 10.0, 3600.0
"""Between two tries at one server: twice as long each time."""
_STOP_S = 2.0


@dataclass(frozen=True)
class Outcome:
    """How one rollout stands: `shadow`, `share 0.1`, `stopped: …`, `confirmed`.

    `is_over`: it does not change any more. `told`: the word that its source has; None: none yet.
    """

    rollout: str
    model: str
    word: str
    is_over: bool
    origin: Origin
    told: str | None = None


class Writer(Protocol):
    """One source that takes words. Raises SourceAway where it may work later, FileNotFoundError and
    BundleError where it never will."""

    only_endings: bool

    def write(self, outcome: Outcome, report: Callable[[], bytes]) -> None:
        """`report`: everything that is on record of the rollout, as JSON."""
        ...


@dataclass(frozen=True)
class Records:
    """What is to be told, and what was. `note`: this rollout's source has this word now."""

    outcomes: Callable[[], Iterable[Outcome]]
    note: Callable[[str, str], None]
    report: Callable[[str], bytes]


@dataclass
class _Server:
    writer: Writer
    trouble: str = ""
    failures: int = 0
    due_at: float = float("-inf")
    behind: str = ""
    """The model whose word it does not have yet."""


class WriteBack:
    """Looks on a thread of its own.

    Args:
        writers: by (kind, address) of the sources that want to be told.
        now: monotonic seconds.
    """

    def __init__(
        self,
        writers: Mapping[tuple[str, str], Writer],
        records: Records,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._servers = {key: _Server(writer) for key, writer in writers.items()}
        self._records, self._now = records, now
        self._stopping = threading.Event()
        self._boundary = ErrorBoundary(_log, "write_back_broken")
        self._thread = threading.Thread(target=self._run, name="write-back", daemon=True)

    def start(self) -> None:
        """Without a source that wants to be told, nothing is started."""
        if self._servers:
            self._thread.start()

    def stop(self) -> None:
        """What was not told is told after the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def problems(self) -> tuple[str, ...]:
        """A sentence for each server that cannot be told; any thread."""
        return tuple(
            f"{url} is not told of the rollout of {server.behind}: {server.trouble}"
            for (_, url), server in self._servers.items()
            if server.trouble
        )

    def look(self) -> None:
        """Tell what is new, the oldest first; a server that failed has to wait."""
        fresh = [each for each in self._records.outcomes() if each.word != each.told]
        for outcome in fresh:
            server = self._servers.get((outcome.origin.kind, outcome.origin.url))
            if server is None or self._stopping.is_set() or self._now() < server.due_at:
                continue
            if outcome.is_over or not server.writer.only_endings:
                self._tell(server, outcome)

    def _tell(self, server: _Server, outcome: Outcome) -> None:
        facts = {"source": outcome.origin.url, "model": outcome.model, "word": outcome.word}
        try:
            server.writer.write(outcome, lambda: self._records.report(outcome.rollout))
        except (BundleError, FileNotFoundError) as error:
            why = error.strerror if isinstance(error, FileNotFoundError) else str(error)
            _log.error("write_back_given_up", error=why, **facts)
        except BoxError as error:  # SourceAway is one
            if server.trouble != str(error):
                _log.warning("write_back_failed", error=str(error), **facts)
            server.trouble, server.behind = str(error), outcome.model
            server.due_at = self._now() + min(LONGEST_S, FIRST_S * 2.0 ** min(server.failures, 30))
            server.failures += 1
            return
        else:
            _log.info("written_back", **facts)
        server.trouble, server.failures = "", 0
        self._records.note(outcome.rollout, outcome.word)

    def _run(self) -> None:
        while not self._stopping.is_set():
            with self._boundary.turn():
                self.look()
            self._stopping.wait(LOOK_S)
