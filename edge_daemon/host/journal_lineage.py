"""Bundles that were here, where each came from, when it judged, and how much.

The counts outlive the parts and receipts that they were made from.
"""

# ruff: noqa: S608 - the SQL is put together from this file's own column lists only

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge_daemon.host.journal_sql import Rows, Run, columns, insert, keep_newest

MOST_BUNDLES = 4096
MOST_ACTIVE = 10_000


@dataclass(frozen=True)
class BundleRow:
    """One bundle; `sha256` is that of its weights. `lineage` and `source` are JSON.

    No `source`: nobody told where it came from, and what was told before stays.
    """

    model: str
    sha256: str
    manifest_sha256: str
    seen_utc: float
    lineage: bytes = b"{}"
    source: bytes | None = None


@dataclass(frozen=True)
class ActiveRow:
    """A span in which one bundle was active; a later row of the same beginning replaces it."""

    boot: str
    model: str
    from_utc: float
    to_utc: float
    frames: int


@dataclass(frozen=True)
class JudgedRow:
    """All that one version judged: frames, and parts by verdict, from when to when."""

    frames: int = 0
    ok: int = 0
    ng: int = 0
    empty: int = 0
    uninspected: int = 0
    first_utc: float | None = None
    last_utc: float | None = None


_BUNDLE, _ACTIVE, _JUDGED = map(columns, (BundleRow, ActiveRow, JudgedRow))


@dataclass(frozen=True)
class LineageEntry:
    """What becomes durable together; `frames`: judged since the last entry, by name@version."""

    bundles: tuple[BundleRow, ...] = ()
    active: tuple[ActiveRow, ...] = ()
    frames: Mapping[str, int] = field(default_factory=dict)
    utc: float = 0.0
    told: Mapping[str, str] = field(default_factory=dict)
    """Rollout -> the word that the source of its candidate has now."""


def write(run: Run, entry: LineageEntry) -> None:
    """Within the journal's transaction."""
    for bundle in entry.bundles:
        newer = (
            "ON CONFLICT (model) DO UPDATE"
            " SET source = CASE WHEN manifest_sha256 = excluded.manifest_sha256"
            " THEN coalesce(excluded.source, source) ELSE excluded.source END,"
            " sha256 = excluded.sha256, manifest_sha256 = excluded.manifest_sha256,"
            " lineage = excluded.lineage"
        )
        insert(run, "bundles", bundle, conflict=newer)
    if entry.bundles:
        keep_newest(run, "bundles", MOST_BUNDLES)
    for span in entry.active:
        longer = (
            "ON CONFLICT (boot, model, from_utc) DO UPDATE"
            " SET to_utc = excluded.to_utc, frames = excluded.frames"
        )
        insert(run, "active", span, conflict=longer)
    if entry.active:
        keep_newest(run, "active", MOST_ACTIVE)
    for model, frames in entry.frames.items():
        count(run, model, JudgedRow(frames, first_utc=entry.utc, last_utc=entry.utc))
    for rollout, word in entry.told.items():
        run("INSERT OR REPLACE INTO written_back VALUES (?,?,?)", rollout, word, entry.utc)
        run("DELETE FROM written_back WHERE rollout NOT IN (SELECT id FROM rollouts)")


def count(run: Run, model: str, more: JudgedRow) -> None:
    """So much more was judged by one version; within the journal's transaction."""
    run(
        f"INSERT INTO judged (model, {_JUDGED}) VALUES (?,?,?,?,?,?,?,?)"
        " ON CONFLICT (model) DO UPDATE SET frames = frames + excluded.frames,"
        " ok = ok + excluded.ok, ng = ng + excluded.ng, empty = empty + excluded.empty,"
        " uninspected = uninspected + excluded.uninspected,"
        " first_utc = min(first_utc, excluded.first_utc),"
        " last_utc = max(last_utc, excluded.last_utc)",
        *(model, *vars(more).values()),
    )


class LineageTable:
    """What is read of it; any thread may ask."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def since_utc(self) -> float:
        """When this journal began to count what each version judges."""
        found = self._rows("SELECT value FROM counters WHERE name = 'lineage_since'")
        return float(found[0][0]) if found else 0.0

    def told(self) -> dict[str, str]:
        """Rollout -> the word that the source of its candidate has."""
        return dict(self._rows("SELECT rollout, word FROM written_back"))

    def bundles(self) -> tuple[BundleRow, ...]:
        """All that were ever here, in the order in which they came."""
        found = self._rows(f"SELECT {_BUNDLE} FROM bundles ORDER BY seq")
        return tuple(BundleRow(*row) for row in found)

    def judged(self, model: str) -> JudgedRow:
        found = self._rows(f"SELECT {_JUDGED} FROM judged WHERE model = ?", model)
        return JudgedRow(*found[0]) if found else JudgedRow()

    def active(self, model: str, limit: int) -> tuple[ActiveRow, ...]:
        """When this version was active, the newest span first."""
        found = self._rows(
            f"SELECT {_ACTIVE} FROM active WHERE model = ? ORDER BY seq DESC LIMIT ?", model, limit
        )
        return tuple(ActiveRow(*row) for row in found)

    def receipts(self, model: str, limit: int) -> tuple[bytes, ...]:
        """The receipts of swaps to or from this version, newest first."""
        found = self._rows(
            "SELECT body FROM receipts WHERE ? IN (json_extract(CAST(body AS TEXT), '$.to'),"
            " json_extract(CAST(body AS TEXT), '$.from')) ORDER BY seq DESC LIMIT ?",
            *(model, limit),
        )
        return tuple(bytes(body) for (body,) in found)

    def rollouts(self, model: str, limit: int) -> tuple[str, ...]:
        """The ids of the rollouts of this version, or beside it, newest first."""
        found = self._rows(
            "SELECT id FROM rollouts WHERE candidate = ? OR reference = ? ORDER BY seq DESC"
            " LIMIT ?",
            *(model, model, limit),
        )
        return tuple(rollout for (rollout,) in found)
