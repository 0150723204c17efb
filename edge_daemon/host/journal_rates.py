"""How many parts came, and which of them were rejected: counted in the journal, day by day.

Each query is short: whoever has to write meanwhile waits for one of them at most.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_daemon.host.journal_sql import Rows

BIN_S = 600.0
"""The line ran in a span of this length where a part came in it."""
DAY_S = 86_400.0
MOST_REJECTED = 5000


@dataclass(frozen=True)
class Rejected:
    """One rejected part that is on record; `product` None: none was running."""

    utc: float
    product: str | None


@dataclass(frozen=True)
class RejectedPair:
    """One part of a rollout that one of both models rejected; `body` is JSON."""

    rollout: str
    utc: float
    body: bytes


class RateTable:
    """Any thread may ask."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def counts(self, since_utc: float, until_utc: float) -> tuple[float, int, int]:
        """Hours of a running line, parts, and rejected parts.

        A line that began a moment ago ran from its first part to one part's time after its last.
        """
        bins = parts = rejected = 0
        times: list[float] = []
        begin = since_utc
        while begin < until_utc:
            end = min(begin + DAY_S, until_utc)
            [found] = self._rows(
                "SELECT count(DISTINCT CAST(utc / ? AS INTEGER)), count(*),"
                " coalesce(sum(verdict = 'ng'), 0), min(utc), max(utc)"
                " FROM parts WHERE utc >= ? AND utc < ?",
                *(BIN_S, begin, end),
            )
            bins, parts, rejected = bins + found[0], parts + found[1], rejected + found[2]
            times += [utc for utc in found[3:] if utc is not None]
            begin = end
        span_s = (times[-1] - times[0]) * parts / (parts - 1) if parts > 1 else 0.0
        ran_s = min(bins * BIN_S, span_s)
        return ran_s / 3600.0, parts, rejected

    def rejected(self, since_utc: float) -> tuple[Rejected, ...]:
        """The newest rejected parts."""
        found = self._rows(
            "SELECT utc, json_extract(CAST(body AS TEXT), '$.product') FROM parts"
            " WHERE utc >= ? AND verdict = 'ng' ORDER BY seq DESC LIMIT ?",
            *(since_utc, MOST_REJECTED),
        )
        return tuple(Rejected(*row) for row in found)

    def pairs(self, since_utc: float) -> tuple[RejectedPair, ...]:
        """The newest pairs of all rollouts that one of both rejects."""
        found = self._rows(
            "SELECT rollout, utc, body FROM pairs WHERE utc >= ? AND outcome <> 'neither'"
            " ORDER BY seq DESC LIMIT ?",
            *(since_utc, MOST_REJECTED),
        )
        return tuple(RejectedPair(rollout, utc, bytes(body)) for rollout, utc, body in found)
