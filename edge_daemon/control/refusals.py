"""What cannot be read is reported at once and then counted, so that no sensor fills the log.

A wide topic filter also matches what was never meant as an order. The same refusal from the same
topic is reported once, then counted each minute; so is everything once too much was reported.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

from edge_daemon.core.values import Instant
from edge_daemon.errors import SenderError

EVERY_S = 60.0
"""Between two counts; what is told at once is bounded for as long."""
AT_ONCE = 4
"""Refusals that are told at once within `EVERY_S`, from whichever topics."""
QUIET_S = 180.0
"""After this long without a refusal a topic counts as readable: the next refusal is reported."""
TOPICS = 64
"""Topics that are told apart; what comes from others is counted together."""
KNOWN = 16
"""Different refusals of one topic that may be told at once, until it is quiet again."""
NAMED = 3
"""Topics that a count names."""


@dataclass(frozen=True)
class RefusalReport:
    """What to log and to announce now. `count` is None for a single refusal."""

    topic: str
    error: str
    count: int | None = None

    @property
    def message(self) -> str:
        """For `model/event`; a count names its topics itself."""
        return self.error if self.count else f"{self.topic}: {self.error}"


@dataclass
class _Topic:
    """What was refused from one topic."""

    last_at: float
    last: str
    known: set[str] = field(default_factory=set)
    uncounted: int = 0


class Refusals:
    """`refused` and `tick` on one thread; `problems` on any. `what`: orders, or feedback."""

    def __init__(self, what: str = "orders") -> None:
        self._what = what
        self._lock = threading.Lock()
        self._topics: dict[str, _Topic] = {}
        self._others = 0
        self._told_at: list[float] = []
        self._counting_since: float | None = None

    def refused(self, topic: str, error: SenderError, now: Instant) -> Iterator[RefusalReport]:
        """One refusal; yields what is to be reported now, often nothing."""
        yield from self.tick(now)
        with self._lock:
            is_told = self._take(topic, error.message, now.at)
        if is_told:
            yield RefusalReport(topic, str(error))

    def tick(self, now: Instant) -> Iterator[RefusalReport]:
        """The count of a minute that is over."""
        with self._lock:
            told = self._count(now.at)
            kept = {t: s for t, s in self._topics.items() if s.uncounted or not _quiet(s, now)}
            self._topics = kept
        if told is not None:
            yield told

    def problems(self, now: Instant) -> tuple[str, ...]:
        """One sentence with the topics that cannot be read; none if all can be."""
        with self._lock:
            bad = [(t, s.last) for t, s in self._topics.items() if not _quiet(s, now)]
        if not bad:
            return ()
        topic, last = bad[-1]
        others = len(bad) - 1
        more = f" and {others} other topic{'s' if others > 1 else ''}" if others else ""
        return (f"{self._what} on {topic}{more} cannot be read: {last}",)

    # ------------------------------------------------------------------ parts

    def _take(self, topic: str, message: str, at: float) -> bool:
        """Whether it is reported at once; otherwise it is counted."""
        self._told_at = [told for told in self._told_at if at - told < EVERY_S]
        seen = self._topics.pop(topic, None)
        if seen is None:
            seen = _Topic(at, message)
        seen.last_at, seen.last = at, message
        self._topics[topic] = seen
        while len(self._topics) > TOPICS:
            self._others += self._topics.pop(next(iter(self._topics))).uncounted
        is_new = message not in seen.known and len(seen.known) < KNOWN
        if is_new and len(self._told_at) < AT_ONCE:
            seen.known.add(message)
            self._told_at.append(at)
            return True
        seen.uncounted += 1
        if self._counting_since is None:
            self._counting_since = at
        return False

    def _count(self, at: float) -> RefusalReport | None:
        since = self._counting_since
        if since is None or at - since < EVERY_S:
            return None
        self._counting_since = None
        counts = [(seen.uncounted, topic) for topic, seen in self._topics.items() if seen.uncounted]
        counts.sort(key=lambda one: -one[0])
        others = self._others + sum(count for count, _ in counts[NAMED:])
        total = self._others + sum(count for count, _ in counts)
        names = [f"{topic} ({count})" for count, topic in counts[:NAMED]]
        if others:
            names.append(f"other topics ({others})")
        topic = counts[0][1] if counts else ""
        last = self._topics[topic].last if topic else ""
        for seen in self._topics.values():
            seen.uncounted = 0
        self._others = 0
        message = f"{total} more {self._what} could not be read within {at - since:.0f} s: "
        return RefusalReport(topic, f"{message}{', '.join(names)}. The last: {last}".strip(), total)


def _quiet(seen: _Topic, now: Instant) -> bool:
    return now.at - seen.last_at >= QUIET_S


class LogThrottle:
    """A fault of one kind that repeats: told at once, then as a count each minute."""

    def __init__(self) -> None:
        self._told_at = float("-inf")
        self._untold = 0

    def comes(self, at: float) -> int | None:
        """One more; the count since the last report, or None if it should not be reported now."""
        self._untold += 1
        if at - self._told_at < EVERY_S:
            return None
        count, self._untold, self._told_at = self._untold, 0, at
        return count
