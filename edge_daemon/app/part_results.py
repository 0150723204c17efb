"""Results of parts: durable on the parts' thread, then on their way to the broker."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from edge_daemon.app.resources import Resources
from edge_daemon.core.parts.values import PartTold
from edge_daemon.core.state import State
from edge_daemon.host.journal import Entry, OutboxRow
from edge_daemon.messaging import part_payloads
from edge_daemon.messaging.topics import Topics
from edge_daemon.parts.line import PartLine


def part_line(resources: Resources) -> PartLine | None:
    """What counts parts by the settings; None where they say nothing of parts."""
    settings = resources.settings.parts
    if settings is None:
        return None
    return PartLine(
        settings.rules,
        resources.clock.now,
        zone=settings.polygon,
        zone_name=settings.zone_name,
    )


class PartResults:
    """Implements the part line's `PartOutlets`.

    Args:
        wake: tells the outbox that there is something to send.
        state: the planner's, of now.
        pictured: told each part, for the pictures of its frames; None: none are kept.
    """

    def __init__(
        self,
        resources: Resources,
        wake: Callable[[], None],
        state: Callable[[], State],
        pictured: Callable[[Sequence[PartTold]], None] | None = None,
    ) -> None:
        self._journal, self._metrics = resources.journal, resources.metrics
        self._boot, self._topic = resources.boot, Topics(resources.settings.root).part
        self._wake, self._state = wake, state
        self._pictured = pictured

    def tell(self, parts: Sequence[PartTold]) -> None:
        """Durable when it returns; raises StateError."""
        rows = (OutboxRow(self._topic, part_payloads.part(self._boot, each)) for each in parts)
        self._journal.commit(Entry(outbox=tuple(rows)))
        self._wake()
        self._metrics.parts(parts)
        if self._pictured is not None:
            self._pictured(parts)

    def is_trial(self) -> bool:
        """Whether what judges is on trial."""
        return self._state().durable.trial is not None
