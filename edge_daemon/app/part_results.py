"""Results of parts: stored on the thread of the parts, then sent to the broker."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Sequence
from itertools import repeat

from edge_daemon.app.resources import Resources
from edge_daemon.config.parts import PartsSettings
from edge_daemon.core.parts.counts import Counter
from edge_daemon.core.parts.values import PartOutcome
from edge_daemon.core.rollout.audit import sampled
from edge_daemon.core.state import State
from edge_daemon.frames.part_pictures import PartPictures
from edge_daemon.host.journal import Entry, OutboxRow
from edge_daemon.host.journal_parts import PartRow, PartsEntry
from edge_daemon.messaging import part_payloads, payloads
from edge_daemon.messaging.topics import Topics
from edge_daemon.parts.line import PartLine

MOST_SHOWN = 12
"""Parts on the status page."""
MOST_AUDITED = 100
"""Drawn parts that are asked for; of more, the oldest are not asked for any more."""


def part_line(resources: Resources) -> PartLine | None:
    """What counts parts, by the settings; None if parts are not configured."""
    settings = resources.settings.parts
    if settings is None:
        return None
    return PartLine(
        settings.rules,
        resources.clock.now,
        zone=settings.polygon,
        zone_name=settings.zone_name,
        boot=resources.boot,
    )


class PartResults:
    """Implements the part line's `PartOutlets`.

    Args:
        wake: tells the outbox that there is something to send.
        state: the planner's, of now.
        say: publishes the counts, where they are others than before.
        pictures: told each part, and names the pictures of its frames; None: none are kept.
    """

    def __init__(
        self,
        resources: Resources,
        wake: Callable[[], None],
        state: Callable[[], State],
        say: Callable[[bytes], None],
        pictures: PartPictures | None = None,
    ) -> None:
        settings = resources.settings.parts or PartsSettings()
        self._keep, self._audit = settings.keep, settings.audit
        self._journal, self._metrics = resources.journal, resources.metrics
        self._clock, self._boot = resources.clock, resources.boot
        self._topic = Topics(resources.settings.root).part
        self._wake, self._state, self._say = wake, state, say
        self._pictures = pictures
        self._counter = Counter(
            settings.shift_minutes,
            part_payloads.kept_counts(resources.journal.part_counts()),
            resources.started.utc,
        )
        self.counts = self._counter.counts  # the last that were stored; any thread
        self._last: deque[PartOutcome] = deque(maxlen=MOST_SHOWN)
        self._audited: deque[PartOutcome] = deque(maxlen=MOST_AUDITED)
        self.listeners: list[Callable[[Sequence[PartOutcome]], None]] = []
        """Each is told of parts that are durable; complete before the start."""

    @property
    def last(self) -> tuple[PartOutcome, ...]:
        """The newest parts that were told, newest first; any thread."""
        return tuple(reversed(tuple(self._last)))

    @property
    def audited(self) -> tuple[PartOutcome, ...]:
        """Passed parts of this boot that a person is to look at, newest first; any thread."""
        return tuple(reversed(tuple(self._audited)))

    def tell(self, parts: Sequence[PartOutcome]) -> None:
        """Record them; durable when it returns. Raises StateError, and then nothing is counted."""
        now_utc = self._clock.now().utc
        counter = copy.copy(self._counter)
        names = [self._pictures.names(each) if self._pictures else () for each in parts]
        audits = [sampled(self._boot, each.part, each.verdict, self._audit) for each in parts]
        bodies = list(map(part_payloads.part, repeat(self._boot), parts, names, audits))
        for each in parts:
            counter.add(each, now_utc)
        rows = tuple(map(self._row, parts, bodies, names))
        self._commit(counter, tuple(OutboxRow(self._topic, body) for body in bodies), rows)
        self._last.extend(parts)
        chosen = zip(parts, audits, strict=True)
        self._audited.extend(each for each, audit in chosen if audit and audit.is_drawn)
        self._wake()
        self._metrics.parts(parts)
        if self._pictures is not None:
            self._pictures.told(parts)
        for tell in self.listeners:
            tell(parts)

    def look(self) -> None:
        """Check whether an order or a shift began without a part; raises StateError."""
        counter = copy.copy(self._counter)
        counter.look(self._state().line, self._clock.now().utc)
        if counter.counts == self.counts:
            self._counter = counter
        else:
            self._commit(counter)
        self._say(payloads.encode(part_payloads.counts(self.counts)))

    def is_trial(self) -> bool:
        return self._state().durable.trial is not None

    def _commit(
        self,
        counter: Counter,
        outbox: tuple[OutboxRow, ...] = (),
        rows: tuple[PartRow, ...] = (),
    ) -> None:
        kept = part_payloads.keep_counts(counter.counts)
        since_utc = self._clock.now().utc - self._keep.days * 86_400.0
        entry = PartsEntry(rows, kept, self._keep.most, since_utc)
        self._journal.commit(Entry(outbox=outbox, parts=entry))
        self._counter, self.counts = counter, counter.counts

    def _row(self, told: PartOutcome, body: bytes, names: tuple[str, ...]) -> PartRow:
        # By this station's clock, that of the sender may be years away: it decides how long the row
        # is kept, whether a trigger is known when it comes again, and every rate.
        utc = self._clock.now().utc if told.captured is None else told.captured.utc
        picture = names[0] if names else None
        who = (self._boot, told.part, utc, told.id, told.serial)
        model = None if told.model is None else str(told.model)
        return PartRow(*who, told.verdict.value, body, picture, model)
