"""Which pictures lie in a folder and which parts they show: found quickly by serial number.

The pictures and the JSON beside them are the truth. Where this file is damaged or gone, it is made
anew from them, so it needs no fsync. Other processes may read it at any time.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_daemon.errors import StateError

FILE = "index.db"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS pictures (
    seq INTEGER PRIMARY KEY, path TEXT UNIQUE NOT NULL, boot TEXT NOT NULL, frame INTEGER NOT NULL,
    utc REAL NOT NULL, verdict TEXT NOT NULL, bytes INTEGER NOT NULL,
    copied INTEGER NOT NULL DEFAULT 0);
CREATE UNIQUE INDEX IF NOT EXISTS pictures_by_frame ON pictures (boot, frame);
CREATE INDEX IF NOT EXISTS pictures_by_time ON pictures (utc);
CREATE INDEX IF NOT EXISTS pictures_to_copy ON pictures (seq) WHERE copied = 0;
CREATE TABLE IF NOT EXISTS parts (
    boot TEXT NOT NULL, part INTEGER NOT NULL, frame INTEGER NOT NULL, id TEXT, serial TEXT,
    PRIMARY KEY (boot, part, frame)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS parts_by_serial ON parts (serial) WHERE serial IS NOT NULL;
CREATE INDEX IF NOT EXISTS parts_by_id ON parts (id) WHERE id IS NOT NULL;
CREATE INDEX IF NOT EXISTS parts_by_frame ON parts (boot, frame);
"""
_COPIED, _GIVEN_UP = 1, 2  # 0: waits to be copied
_PICTURE = "path, boot, frame, utc, verdict, bytes"


@dataclass(frozen=True)
class PictureRow:
    """One picture; `path` is below the folder, `bytes` with the JSON beside it."""

    path: str
    boot: str
    frame: int
    utc: float
    verdict: str
    bytes: int


@dataclass(frozen=True)
class PartRow:
    """A part that a frame shows, by what the line called it."""

    boot: str
    part: int
    frame: int
    id: str | None = None
    serial: str | None = None


@dataclass(frozen=True)
class FoundPicture:
    """A picture of a part that was asked for."""

    path: Path
    part: PartRow
    utc: float
    verdict: str


class PictureIndex:
    """The index of one folder, open for writing. One thread at a time; raises StateError."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._db = self._open()
        self.bytes: int = self._one("SELECT coalesce(sum(bytes), 0) FROM pictures")
        """Of all pictures."""

    def close(self) -> None:
        self._db.close()

    def add(self, *pictures: tuple[PictureRow, Iterable[PartRow]]) -> None:
        """Pictures that are there now, with the parts that they show; all or none.

        A picture of the same frame, such as a copy that somebody made, takes the other's place.
        """
        replaced = 0
        with self._transaction():
            for row, parts in pictures:
                replaced += self._one(
                    "SELECT coalesce(sum(bytes), 0) FROM pictures"
                    " WHERE path = ? OR (boot = ? AND frame = ?)",
                    *(row.path, row.boot, row.frame),
                )
                self._db.execute(
                    f"INSERT OR REPLACE INTO pictures ({_PICTURE}) VALUES (?,?,?,?,?,?)",  # noqa: S608
                    (row.path, row.boot, row.frame, row.utc, row.verdict, row.bytes),
                )
                self._add_parts(parts)
        self.bytes += sum(row.bytes for row, _ in pictures) - replaced

    def change(self, row: PictureRow, path: str, size_bytes: int, parts: Iterable[PartRow]) -> None:
        """A picture has another name, and shows these parts too."""
        with self._transaction():
            self._db.execute(
                "UPDATE pictures SET path = ?, bytes = ?, copied = 0 WHERE path = ?",
                (path, size_bytes, row.path),
            )
            self._add_parts(parts)
        self.bytes += size_bytes - row.bytes

    def remove(self, row: PictureRow) -> bool:
        """A picture has gone; whether it still waited to be copied."""
        with self._transaction():
            waited = self._db.execute(
                "SELECT 1 FROM pictures WHERE path = ? AND copied = 0", (row.path,)
            ).fetchone()
            self._db.execute("DELETE FROM pictures WHERE path = ?", (row.path,))
            self._db.execute(
                "DELETE FROM parts WHERE boot = ? AND frame = ?", (row.boot, row.frame)
            )
        self.bytes -= row.bytes
        return waited is not None

    def mark_copied(self, row: PictureRow) -> None:
        """A picture lies in the other place too, unless it was changed since `row` was read."""
        self._mark(row, _COPIED)

    def give_up_copy(self, row: PictureRow) -> None:
        """The other place does not take this picture."""
        self._mark(row, _GIVEN_UP)

    def _mark(self, row: PictureRow, copied: int) -> None:
        with self._transaction():
            self._db.execute(
                "UPDATE pictures SET copied = ? WHERE path = ? AND bytes = ?",
                (copied, row.path, row.bytes),
            )

    def of_frame(self, boot: str, frame: int) -> PictureRow | None:
        found = self._rows("WHERE boot = ? AND frame = ?", boot, frame)
        return found[0] if found else None

    def oldest(self) -> PictureRow | None:
        """The picture that goes first."""
        found = self._rows("ORDER BY utc, seq LIMIT 1")
        return found[0] if found else None

    def to_copy(self, most: int) -> list[PictureRow]:
        """Pictures that were not copied yet, in the order in which they came."""
        return self._rows("WHERE copied = 0 ORDER BY seq LIMIT ?", most)

    def waiting(self) -> int:
        return self._one("SELECT count(*) FROM pictures WHERE copied = 0")

    def paths(self) -> set[str]:
        with self._clearly():
            return {path for (path,) in self._db.execute("SELECT path FROM pictures")}

    def forget(self, paths: Iterable[str]) -> None:
        """Pictures that somebody took away."""
        for path in paths:
            for row in self._rows("WHERE path = ?", path):
                self.remove(row)

    def _add_parts(self, parts: Iterable[PartRow]) -> None:
        self._db.executemany(
            "INSERT OR REPLACE INTO parts (boot, part, frame, id, serial) VALUES (?,?,?,?,?)",
            [(each.boot, each.part, each.frame, each.id, each.serial) for each in parts],
        )

    def _rows(self, where: str, *values: object) -> list[PictureRow]:
        with self._clearly():
            found = self._db.execute(f"SELECT {_PICTURE} FROM pictures {where}", values)  # noqa: S608
            return [PictureRow(*row) for row in found]

    def _one(self, sql: str, *values: object) -> int:
        with self._clearly():
            value: int = self._db.execute(sql, values).fetchone()[0]
            return value

    def _open(self) -> sqlite3.Connection:
        """A damaged file goes: all that it says stands beside the pictures too."""
        with self._clearly():
            try:
                return _connect(self._path)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                for suffix in ("", "-journal"):
                    with suppress(FileNotFoundError):
                        self._path.with_name(f"{FILE}{suffix}").unlink()
                return _connect(self._path)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._clearly(), ExitStack() as undo:
            self._db.execute("BEGIN IMMEDIATE")
            undo.callback(self._db.execute, "ROLLBACK")
            yield
            self._db.execute("COMMIT")
            undo.pop_all()

    @contextmanager
    def _clearly(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StateError(
                f"The index of pictures {self._path} cannot be used: {error}.",
                hint="Is there room on its disk? It may be removed: it is made anew.",
            ) from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    with ExitStack() as undo:
        undo.callback(connection.close)
        connection.execute("PRAGMA synchronous=OFF")
        if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise sqlite3.DatabaseError("it is damaged")
        connection.executescript(_SCHEMA)
        undo.pop_all()
    return connection


def find_pictures(folder: Path, wanted: str) -> tuple[FoundPicture, ...]:
    """The pictures of the parts with this serial number or trigger id, the oldest 1,000 first.

    Also while a daemon writes. Empty where the folder has no index; raises StateError.
    """
    path = folder / FILE
    if not path.exists():
        return ()
    sql = (
        "SELECT p.path, t.boot, t.part, t.frame, t.id, t.serial, p.utc, p.verdict FROM parts t"
        " JOIN pictures p ON p.boot = t.boot AND p.frame = t.frame"
        " WHERE t.serial = ? OR t.id = ? ORDER BY p.utc, p.seq LIMIT 1000"
    )
    rows = _read_only(path, sql, wanted, wanted)
    return tuple(
        FoundPicture(folder / at, PartRow(*part), utc, verdict) for at, *part, utc, verdict in rows
    )


def picture_of_part(folder: Path, boot: str, part: int) -> Path | None:
    """A picture of one part, of an ng frame if there is one. Raises StateError."""
    path = folder / FILE
    if not path.exists():
        return None
    sql = (
        "SELECT p.path FROM parts t JOIN pictures p ON p.boot = t.boot AND p.frame = t.frame"
        " WHERE t.boot = ? AND t.part = ? ORDER BY p.verdict = 'ng' DESC, p.seq LIMIT 1"
    )
    row = next(iter(_read_only(path, sql, boot, part)), None)
    return None if row is None else folder / row[0]


def _read_only(path: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(uri, uri=True, timeout=5.0)) as connection:
            return connection.execute(sql, values).fetchall()
    except sqlite3.Error as error:
        raise StateError(
            f"The index of pictures {path} cannot be read: {error}.",
            hint="May this user read it? A running daemon makes it anew where it is damaged.",
        ) from error
