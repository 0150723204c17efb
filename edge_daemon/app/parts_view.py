"""Parts as the status page shows them."""

from __future__ import annotations

from edge_daemon.app.part_results import PartResults
from edge_daemon.app.resources import Resources
from edge_daemon.core.parts.values import PartOutcome
from edge_daemon.messaging import part_payloads, payloads
from edge_daemon.messaging.times import iso_utc
from edge_daemon.parts.line import PartLine as Line
from edge_daemon.web.state import PartLine, PartsLine, raw


class PartsView:
    """The newest parts and the counts; asked by the page's thread."""

    def __init__(self, resources: Resources, results: PartResults, line: Line) -> None:
        settings = resources.settings.parts
        self._by = settings.by if settings is not None else ""
        self._results, self._line = results, line

    def audited(self) -> tuple[PartOutcome, ...]:
        """Passed parts that a person is to look at, newest first."""
        return self._results.audited

    def lines(self) -> PartsLine:
        return PartsLine(
            by=self._by,
            opened=self._line.opened,
            last=tuple(_line(part) for part in self._results.last),
            counts=raw(payloads.encode(part_payloads.counts(self._results.counts))),
        )


def _line(told: PartOutcome) -> PartLine:
    came = told.triggered or told.captured
    return PartLine(
        part=told.part,
        id=told.id,
        serial=told.serial,
        time=iso_utc(came.utc) if came is not None else None,
        verdict=told.verdict.value,
        causes=told.causes,
        reason=told.reason.value if told.reason else None,
        late=told.late,
    )
