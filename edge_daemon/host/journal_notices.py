"""What waits to be told by HTTP, in the journal: by address, in order, within bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_daemon.host.journal_sql import Rows, Run, insert

NOTICE_LIMIT = 1000
"""Notices that wait for one address; beyond it the oldest goes."""

Change = Callable[..., int]
"""Executes one statement in a transaction of its own that does not wait for the disk; tells how
many rows it changed."""


@dataclass(frozen=True)
class NoticeRow:
    """One notice for one address; `body` is JSON. The journal gives `seq`."""

    url: str
    utc: float
    body: bytes
    seq: int = 0


def write(run: Run, notices: tuple[NoticeRow, ...]) -> None:
    """Within the journal's transaction."""
    for row in notices:
        insert(run, "notices", row, but="seq")
    for url in {row.url for row in notices}:
        gone = run(
            "DELETE FROM notices WHERE url = ? AND seq <="
            " (SELECT seq FROM notices WHERE url = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)",
            *(url, url, NOTICE_LIMIT),
        ).rowcount
        if gone:
            run(
                "INSERT INTO counters VALUES ('notices_dropped', ?)"
                " ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
                gone,
            )


class NoticeTable:
    """What is read and forgotten of them; any thread may ask."""

    def __init__(self, rows: Rows, change: Change) -> None:
        self._rows = rows
        self._change = change

    def oldest(self, url: str) -> NoticeRow | None:
        """The one that is to be sent next."""
        found = self._rows(
            "SELECT url, utc, body, seq FROM notices WHERE url = ? ORDER BY seq LIMIT 1", url
        )
        return NoticeRow(*found[0]) if found else None

    def waiting(self) -> dict[str, int]:
        """Address -> how many wait for it."""
        return dict(self._rows("SELECT url, count(*) FROM notices GROUP BY url"))

    def dropped(self) -> int:
        """Notices that had to go for newer ones, since the journal began."""
        found = self._rows("SELECT value FROM counters WHERE name = 'notices_dropped'")
        return int(found[0][0]) if found else 0

    def forget(self, seq: int) -> None:
        """It is delivered, or given up. After a power cut it may be sent once more."""
        self._change("DELETE FROM notices WHERE seq = ?", seq)

    def forget_all(self, url: str) -> int:
        """All that wait for an address that may not be called; how many they were."""
        return self._change("DELETE FROM notices WHERE url = ?", url)
