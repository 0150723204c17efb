"""The daemon's own thread: asks each source now and then, and takes what is new."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from edge_daemon.config import BundleSource
from edge_daemon.core.lineage import Origin
from edge_daemon.errors import BoxError, BundleError
from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.models.manifest import Manifest
from edge_daemon.sources.fetch import PullTarget, fetch, is_there, look
from edge_daemon.sources.pace import Pace
from edge_daemon.sources.source import Offered, Source, SourceAway

_log = structlog.get_logger(__name__)

LONGEST_S = 3600.0
"""A source that fails, or an offer that was refused, is tried again after an hour at the latest."""

_STOP_S = 2.0


@dataclass(frozen=True)
class SourceEvent:
    """Something to tell: a bundle came, with where from; or one was refused."""

    message: str
    came: Manifest | None = None
    origin: Origin | None = None


@dataclass(frozen=True)
class Refusal:
    """Why an offer is not taken, how often it was tried, and when it is tried again."""

    why: str
    tries: int
    again_at: float


@dataclass
class Watched:
    """One source and what is known of it. Written by the thread alone; any thread may read."""

    settings: BundleSource
    source: Source
    pace: Pace
    is_up: bool | None = None  # None: not asked yet
    trouble: str = ""
    due_at: float = 0.0
    failures: int = 0
    refusals: Mapping[tuple[str, str], Refusal] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)  # name -> what was last offered


class SourceWatch:
    """Looks at every source on one thread, one after the other.

    Args:
        sources: each with its settings.
        door: what a bundle must pass.
        tell: hears what came and what was refused, on the thread.
        now: monotonic seconds.
    """

    def __init__(
        self,
        sources: tuple[tuple[BundleSource, Source], ...],
        target: PullTarget,
        tell: Callable[[SourceEvent], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stopping = threading.Event()
        self._door, self._tell, self._now = target, tell, now
        self.watched = tuple(
            Watched(settings, source, Pace(settings.rate_kb, self._stopping.wait))
            for settings, source in sources
        )
        self._boundary = ErrorBoundary(_log, "sources_failed")
        self._thread = threading.Thread(target=self._run, name="sources", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """A pull that runs is left where it is; it goes on at the next start."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_S)

    def problems(self) -> tuple[str, ...]:
        """A sentence each; any thread. A folder that is away is none: a stick comes and goes."""
        told = []
        for each in self.watched:
            where = each.source.where
            if each.trouble and (each.is_up or each.settings.kind != "folder"):
                told.append(f"the source {where} gives nothing: {each.trouble}")
            for (name, _), refusal in each.refusals.items():
                told.append(f"{name} from {where} is refused: {refusal.why}")
        return tuple(told)

    def up(self) -> Mapping[str, bool]:
        """Address -> whether the last look reached it; without those not asked yet."""
        return {each.source.where: each.is_up for each in self.watched if each.is_up is not None}

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        wait_s = 0.0
        while not self._stopping.wait(wait_s):
            with self._boundary.turn():
                self.look()
            due_at = min(each.due_at for each in self.watched)
            wait_s = max(1.0, due_at - self._now())

    def look(self) -> None:
        """One turn: every source that is due."""
        for each in self.watched:
            if self._now() >= each.due_at and not self._stopping.is_set():
                each.due_at = self._now() + float(each.settings.every_s)  # if this look breaks off
                each.due_at = self._now() + self._look(each)

    def _look(self, watched: Watched) -> float:
        """Seconds until the next look."""
        every_s = float(watched.settings.every_s)
        seen: set[tuple[str, str]] = set()
        try:
            for name, which in watched.settings.models.items():
                seen |= self._take_all(watched, name, which)
        except BoxError as error:  # SourceAway is one
            watched.failures += 1
            watched.is_up = not isinstance(error, SourceAway)
            if watched.trouble != str(error) and not self._stopping.is_set():
                _log.warning("source_away", source=watched.source.where, error=str(error))
            watched.trouble = str(error)
            if watched.settings.kind == "folder":
                return every_s  # a stick that is plugged in is seen at the next look
            return max(every_s, min(LONGEST_S, every_s * 2.0 ** (watched.failures - 1)))
        if watched.trouble:
            _log.info("source_back", source=watched.source.where)
        watched.is_up, watched.trouble, watched.failures = True, "", 0
        watched.refusals = {key: why for key, why in watched.refusals.items() if key in seen}
        return every_s

    def _take_all(self, watched: Watched, name: str, which: str) -> set[tuple[str, str]]:
        """Everything that is offered of a name; what was offered."""
        try:
            offers = watched.source.offered(name, which)
        except BundleError as error:
            self._refuse(watched, (name, ""), error)
            return {(name, "")}
        for offered in offers:
            self._note_move(watched, name, offered)
            refusal = watched.refusals.get((name, offered.mark))
            if refusal is not None and self._now() < refusal.again_at:
                continue
            try:
                self._take(watched, name, offered)
            except BundleError as error:
                self._refuse(watched, (name, offered.mark), error)
        return {(name, offered.mark) for offered in offers}

    def _take(self, watched: Watched, name: str, offered: Offered) -> None:
        source, target = watched.source, self._door
        manifest = look(source, offered, name, target, watched.pace)
        others = {key: why for key, why in watched.refusals.items() if key != (name, offered.mark)}
        if is_there(manifest, target) or target.pins.has_come(source.where, manifest.ref):
            watched.refusals = others
            return
        facts = {"source": source.where, "model": str(manifest.ref)}
        _log.info("source_pulling", size_bytes=manifest.weights.size, **facts)
        fetched = fetch(source, offered, manifest, target, watched.pace)
        watched.refusals = others
        sizes = {"size_bytes": fetched.size_bytes, "again_bytes": fetched.again_bytes}
        _log.info("source_pulled", **sizes, **facts)
        origin = offered.origin_of(manifest, time.time())
        self._tell(SourceEvent(f"It came from {source.where}.", manifest, origin))

    def _refuse(self, watched: Watched, key: tuple[str, str], error: BundleError) -> None:
        before = watched.refusals.get(key, Refusal("", 0, 0.0))
        every_s = float(watched.settings.every_s)
        wait_s = max(every_s, min(LONGEST_S, every_s * 2.0**before.tries))
        refusal = Refusal(str(error), before.tries + 1, self._now() + wait_s)
        watched.refusals = {**watched.refusals, key: refusal}
        if before.why != refusal.why:
            where, name = watched.source.where, key[0]
            _log.warning("source_refused", source=where, model=name, error=refusal.why)
            self._tell(SourceEvent(f"{name} from {where} is refused: {refusal.why}"))

    def _note_move(self, watched: Watched, name: str, offered: Offered) -> None:
        """A tag or an alias leads to something else than at the last look."""
        if offered.version is not None:
            return
        before = watched.marks.get(name)
        watched.marks[name] = offered.mark
        if before not in (None, offered.mark):
            facts = {"source": watched.source.where, "model": name}
            _log.info("source_moved", before=before, now=offered.mark, **facts)
