"""Rollouts in the journal: each with its evidence, pairs worth a look, and what parts truly are.

Feedback is only added to: a later word on a part counts, and the earlier ones stay.
"""

# ruff: noqa: S608 - the SQL is put together from this file's own column lists only

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from edge_daemon.host.journal_sql import Rows, Run, columns, insert, keep_newest

PartKey = tuple[str, int]
"""Boot and number of a part."""

_DRAWN = (
    "CASE WHEN json_extract(CAST(body AS TEXT), '$.audit.draw')"
    " < json_extract(CAST(body AS TEXT), '$.audit.share')"
    " THEN json_extract(CAST(body AS TEXT), '$.audit.share') END"
)
"""The share by which a part was drawn for an audit; NULL where it was not."""
_LISTED = "(SELECT value FROM json_each(?))"
"""The values of a JSON list: as many as there are."""
_PAGE = 500
"""Parts that are read at a time; the journal is locked meanwhile."""
MOST_ROLLOUTS = 1000
MOST_LOOKS = 20_000
REPORT_KIND = "rollout_report"
"""Of the rows of the audit trail that hold the digest of a rollout's report."""


@dataclass(frozen=True)
class RolloutRow:
    """One rollout; `plan` and `progress` are JSON. A later row of the same id replaces it.

    `progress`: its stages so far, its evidence, and how it ended.
    """

    id: str
    began_utc: float
    ended_utc: float | None
    candidate: str
    reference: str
    plan: bytes
    progress: bytes


@dataclass(frozen=True)
class PairRow:
    """One part that both models judged; `place` (where it stands in the evidence) and `body` are
    JSON. A later row of the same rollout and part replaces it.
    """

    rollout: str
    boot: str
    part: int
    id: str | None
    utc: float
    outcome: str
    truth: str | None
    place: bytes
    body: bytes


@dataclass(frozen=True)
class FeedbackRow:
    """One word on one part; `told` is the verdict that the station gave."""

    request: str
    utc: float
    boot: str
    part: int
    verdict: str
    source: str
    by_whom: str
    told: str
    body: bytes = b"{}"


@dataclass(frozen=True)
class LookRow:
    """What the rule saw of a rollout at one moment, compressed; the journal gives `seq`."""

    rollout: str
    utc: float
    body: bytes
    seq: int = 0


@dataclass(frozen=True)
class RolloutsEntry:
    """What becomes durable together; the newest `most` pairs stay, none before `since_utc`."""

    rollout: RolloutRow | None = None
    pairs: tuple[PairRow, ...] = ()
    feedback: tuple[FeedbackRow, ...] = ()
    most: int = 100_000
    since_utc: float = 0.0
    looks: tuple[LookRow, ...] = ()
    over: tuple[RolloutRow, ...] = ()  # that ended, and whose evidence follows late labels


def write(run: Run, entry: RolloutsEntry) -> None:
    """Within the journal's transaction."""
    for row in (*entry.over, *((entry.rollout,) if entry.rollout is not None else ())):
        progress = "SET ended_utc = excluded.ended_utc, progress = excluded.progress"
        insert(run, "rollouts", row, conflict=f"ON CONFLICT (id) DO UPDATE {progress}")
    if entry.rollout is not None:
        keep_newest(run, "rollouts", MOST_ROLLOUTS)
    for pair in entry.pairs:
        truth = "SET truth = excluded.truth, place = excluded.place"
        insert(run, "pairs", pair, conflict=f"ON CONFLICT (rollout, boot, part) DO UPDATE {truth}")
    if entry.pairs:
        keep_newest(run, "pairs", entry.most)
        run("DELETE FROM pairs WHERE utc < ?", entry.since_utc)
    for word in entry.feedback:
        insert(run, "feedback", word)
    if entry.feedback:
        run("DELETE FROM feedback WHERE utc < ?", entry.since_utc)
    for look in entry.looks:
        insert(run, "rollout_looks", look, but="seq")
    if entry.looks:
        keep_newest(run, "rollout_looks", MOST_LOOKS)


class RolloutTable:
    """What is read of them; any thread may ask."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def newest(self, limit: int) -> tuple[RolloutRow, ...]:
        """The newest rollouts, newest first."""
        return self._rollouts("ORDER BY seq DESC LIMIT ?", limit)

    def find(self, rollout: str) -> RolloutRow | None:
        """One rollout by its id."""
        return next(iter(self._rollouts("WHERE id = ?", rollout)), None)

    def ended(self, candidate: str, reference: str) -> tuple[RolloutRow, ...]:
        """Rollouts of these two versions that are over, newest first."""
        both = "candidate = ? AND reference = ?"
        where = f"WHERE {both} AND ended_utc IS NOT NULL ORDER BY seq DESC"
        return self._rollouts(where, candidate, reference)

    def _rollouts(self, where: str, *values: object) -> tuple[RolloutRow, ...]:
        found = self._rows(f"SELECT {columns(RolloutRow)} FROM rollouts {where}", *values)
        return tuple(RolloutRow(*row) for row in found)

    def open(self, running: str) -> tuple[RolloutRow, ...]:
        """Rollouts of which no end is on record, but for the one that runs."""
        return self._rollouts("WHERE ended_utc IS NULL AND id != ?", running)

    def ending(self, rollout: str, events: Sequence[str]) -> tuple[float, str, str] | None:
        """When one of these events ended it, which, and why, by the audit trail; None: none did."""
        found = self._rows(
            "SELECT utc, json_extract(CAST(body AS TEXT), '$.event') AS event,"
            " json_extract(CAST(body AS TEXT), '$.reason') FROM audit WHERE kind = 'event'"
            f" AND json_extract(CAST(body AS TEXT), '$.rollout') = ? AND event IN {_LISTED}"
            " ORDER BY seq DESC LIMIT 1",
            *(rollout, json.dumps(events)),
        )
        return tuple(found[0]) if found else None

    def pairs(self, rollout: str, limit: int, but: str = "") -> tuple[PairRow, ...]:
        """Pairs of one rollout, the oldest first; those with the outcome `but` are left out."""
        where = "WHERE rollout = ? AND outcome != ? ORDER BY seq LIMIT ?"
        return self._pairs(where, rollout, but, limit)

    def unlabelled(
        self, rollout: str, outcomes: tuple[str, ...], limit: int
    ) -> tuple[PairRow, ...]:
        """The newest pairs of one rollout with these outcomes and without a true verdict."""
        places = ",".join("?" * len(outcomes))
        where = f"WHERE rollout = ? AND truth IS NULL AND outcome IN ({places})"
        return self._pairs(f"{where} ORDER BY seq DESC LIMIT ?", rollout, *outcomes, limit)

    def _pairs(self, where: str, *values: object) -> tuple[PairRow, ...]:
        found = self._rows(f"SELECT {columns(PairRow)} FROM pairs {where}", *values)
        return tuple(PairRow(*row) for row in found)

    def looks(self, rollout: str, limit: int, after: int = 0) -> tuple[LookRow, ...]:
        """What the rule saw of one rollout, the oldest first; `after` this number."""
        where = "WHERE rollout = ? AND seq > ? ORDER BY seq LIMIT ?"
        sql = f"SELECT {columns(LookRow)} FROM rollout_looks {where}"
        return tuple(LookRow(*row) for row in self._rows(sql, rollout, after, limit))

    def pairs_of(self, parts: Iterable[PartKey]) -> tuple[PairRow, ...]:
        """The pairs of these parts."""
        found: list[PairRow] = []
        for boot, numbers in _by_boot(parts):
            found += self._pairs(f"WHERE boot = ? AND part IN {_LISTED}", boot, numbers)
        return tuple(found)

    def relabelled(self, rollout: str) -> tuple[tuple[PairRow, str], ...]:
        """Pairs of one rollout whose part has another last word than they bear, with that word."""
        found = self._rows(
            f"SELECT {columns(PairRow)}, said FROM (SELECT *, (SELECT verdict FROM feedback f"
            " WHERE f.boot = p.boot AND f.part = p.part ORDER BY f.seq DESC LIMIT 1) AS said"
            " FROM pairs p WHERE rollout = ?) WHERE said IS NOT NULL AND said IS NOT truth",
            rollout,
        )
        return tuple((PairRow(*row[:-1]), row[-1]) for row in found)

    def last_words(self, parts: Iterable[PartKey]) -> dict[PartKey, str]:
        """The last true verdict that was said of each of these parts; others are missing."""
        said: dict[PartKey, str] = {}
        for boot, numbers in _by_boot(parts):
            found = self._rows(
                f"SELECT part, verdict FROM feedback WHERE boot = ? AND part IN {_LISTED}"
                " ORDER BY seq",
                *(boot, numbers),
            )
            said.update(((boot, part), verdict) for part, verdict in found)
        return said

    def feedback_of(self, boot: str, part: int) -> tuple[FeedbackRow, ...]:
        """All that was said of one part, the last word last."""
        where = "WHERE boot = ? AND part = ? ORDER BY seq"
        sql = f"SELECT {columns(FeedbackRow)} FROM feedback {where}"
        return tuple(FeedbackRow(*row) for row in self._rows(sql, boot, part))

    def report_row(self, sha256: str) -> int | None:
        """The row of the audit trail that holds this digest of a report; None: no row does."""
        found = self._rows(
            "SELECT max(seq) FROM audit WHERE kind = ?"
            " AND json_extract(CAST(body AS TEXT), '$.sha256') = ?",
            *(REPORT_KIND, sha256),
        )
        row: int | None = found[0][0]
        return row

    def precision(self) -> tuple[int, int]:
        """Of the parts that were told ng and looked at: truly ng, and all. The last word counts."""
        found = self._rows(
            "SELECT sum(verdict = 'ng'), count(*) FROM feedback WHERE told = 'ng' AND seq IN"
            " (SELECT max(seq) FROM feedback GROUP BY boot, part)"
        )
        return (found[0][0] or 0, found[0][1])

    def part_of(self, boot: str | None, part: int | str | None, frame: int | None) -> Part | None:
        """The newest part of this number, id, serial or frame; of this boot, where one is given."""
        of_boot = "(? IS NULL OR boot = ?)"
        if isinstance(part, int):
            where = f"{of_boot} AND part = ?"
            values: tuple[object, ...] = (boot, boot, part)
        elif part is not None:
            where, values = f"(id = ? OR serial = ?) AND {of_boot}", (part, part, boot, boot)
        else:
            where = (
                f"{of_boot} AND EXISTS (SELECT 1 FROM"
                " json_each(CAST(body AS TEXT), '$.frames') WHERE value = ?)"
            )
            values = (boot, boot, frame)
        found = self._rows(
            f"SELECT boot, part, verdict, {_DRAWN} FROM parts WHERE {where}"
            " ORDER BY seq DESC LIMIT 1",
            *values,
        )
        return Part(*found[0]) if found else None

    def audits(self) -> tuple[AuditRow, ...]:
        """What operators said of drawn parts, for each boot of which parts are still kept."""
        boots = self._rows(
            "SELECT DISTINCT boot FROM feedback"
            " WHERE json_extract(CAST(body AS TEXT), '$.audit') > 0"
        )
        return tuple(self._audit(boot) for (boot,) in boots)

    def _audit(self, boot: str) -> AuditRow:
        ((passed, rejected),) = self._rows(
            "SELECT coalesce(sum(verdict = 'ok'), 0), coalesce(sum(verdict = 'ng'), 0)"
            " FROM parts WHERE boot = ?",
            boot,
        )
        kept = "EXISTS (SELECT 1 FROM parts p WHERE p.boot = f.boot AND p.part = f.part)"
        ((looked_at, missed),) = self._rows(
            "SELECT count(*), coalesce(sum(verdict = 'ng'), 0) FROM feedback f WHERE boot = ?"
            " AND json_extract(CAST(body AS TEXT), '$.audit') > 0 AND seq IN (SELECT max(seq)"
            f" FROM feedback WHERE source = 'operator' GROUP BY boot, part) AND {kept}",
            boot,
        )
        ((verified, confirmed),) = self._rows(
            "SELECT count(*), coalesce(sum(verdict = 'ng'), 0) FROM feedback f WHERE boot = ?"
            " AND told = 'ng' AND seq IN (SELECT max(seq) FROM feedback GROUP BY boot, part)"
            f" AND {kept}",
            boot,
        )
        return AuditRow(passed, rejected, looked_at, missed, verified, confirmed)

    def appraisals(self) -> tuple[tuple[str, str, str], ...]:
        """(who, true verdict, said) of each operator's last word on a challenge part."""
        found = self._rows(  # the few challenge parts first: labels are many
            "SELECT f.seq, f.boot, f.part, f.by_whom, c.verdict, f.verdict FROM feedback c"
            " CROSS JOIN feedback f ON f.boot = c.boot AND f.part = c.part"
            " WHERE c.source = 'challenge' AND f.source = 'operator' ORDER BY c.seq, f.seq"
        )
        last = {(boot, part, who): (seq, who, *words) for seq, boot, part, who, *words in found}
        return tuple((who, truth, said) for _, who, truth, said in sorted(last.values()))

    def assigned(self, rollout: str) -> Iterator[tuple[str, bytes]]:
        """(boot, result) of the parts that are kept and were assigned by this rollout, in order.

        They are read page by page: a commit meanwhile waits for one page at most.
        """
        seq = 0
        while page := self._rows(
            "SELECT seq, boot, CASE WHEN json_extract(CAST(body AS TEXT), '$.rollout.id') = ?"
            " THEN body END FROM parts WHERE seq > ? ORDER BY seq LIMIT ?",
            *(rollout, seq, _PAGE),
        ):
            seq = page[-1][0]
            yield from ((boot, bytes(body)) for _, boot, body in page if body is not None)


def _by_boot(parts: Iterable[PartKey]) -> Iterator[tuple[str, str]]:
    """Each boot with the numbers of its parts, as JSON."""
    numbers: dict[str, list[int]] = {}
    for boot, part in parts:
        numbers.setdefault(boot, []).append(part)
    for boot, of_boot in numbers.items():
        yield boot, json.dumps(of_boot)


@dataclass(frozen=True)
class Part:
    """A part that the station told of."""

    boot: str
    number: int
    verdict: str
    audit: float | None = None
    """With which probability it was drawn, if it was: a person is to look at it."""


@dataclass(frozen=True)
class AuditRow:
    """One boot: parts that were passed and rejected; of the drawn ones, those that were looked at
    and are truly bad; of the rejected ones, those that were verified and confirmed.
    """

    passed: int
    rejected: int
    looked_at: int
    missed: int
    verified: int
    confirmed: int
