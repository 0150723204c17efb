"""The journal's file: its schema, its migrations, and what to do when it is damaged."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from edge_daemon.documents import DocumentError, read_start
from edge_daemon.documents.durable import sync_folder
from edge_daemon.errors import NewerState, StateError
from edge_daemon.host.audit import Anchor
from edge_daemon.host.disk import (
    SetAside,
    free_name,
    set_aside,
    set_aside_unless,
    unusable,
    write_durably,
)

FILE = "journal.db"
ANCHOR_FILE = "audit.anchor"
LOG_BYTES = 4_300_000
"""SQLite begins its log anew, in the same file, after a thousand pages."""
ROOM_BYTES = 256 << 20
MARK_FILE = "journal.recovering"
"""Says why the journal begins anew, until it says so itself: a power cut may come between."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE state (one INTEGER PRIMARY KEY CHECK (one = 0), body BLOB, sha256 TEXT);
    CREATE TABLE requests (
        seq INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, verb TEXT NOT NULL, received_utc REAL,
        status TEXT NOT NULL, reply_to BLOB, body BLOB, outcome BLOB, swap_id TEXT);
    CREATE INDEX open_requests ON requests (seq) WHERE outcome IS NULL;
    CREATE TABLE outbox (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, payload BLOB, qos INTEGER,
        properties BLOB, is_outcome INTEGER NOT NULL);
    CREATE INDEX outbox_drop_order ON outbox (is_outcome, seq);
    CREATE TABLE receipts (
        seq INTEGER PRIMARY KEY, swap_id TEXT UNIQUE NOT NULL, utc REAL, body BLOB);
    CREATE TABLE audit (
        seq INTEGER PRIMARY KEY, utc REAL, kind TEXT NOT NULL, body BLOB,
        prev_hash TEXT NOT NULL, hash TEXT NOT NULL);
    CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
    INSERT INTO counters VALUES ('outbox_dropped', 0);
    """,
    """
    CREATE TABLE order_topics (
        seq INTEGER PRIMARY KEY, topic TEXT UNIQUE NOT NULL, kept BLOB, live BLOB);
    CREATE TABLE order_products (
        seq INTEGER PRIMARY KEY, job_order TEXT UNIQUE NOT NULL, product TEXT, utc REAL);
    """,
    """
    CREATE INDEX answered_requests ON requests (verb, status = 'rejected', seq)
        WHERE outcome IS NOT NULL;
    INSERT INTO counters VALUES ('newest_utc', coalesce(
        (SELECT CAST(utc AS INTEGER) FROM audit ORDER BY seq DESC LIMIT 1), 0));
    """,
    """
    CREATE TABLE parts (
        seq INTEGER PRIMARY KEY, boot TEXT NOT NULL, part INTEGER NOT NULL, utc REAL NOT NULL,
        id TEXT, serial TEXT, verdict TEXT NOT NULL, picture TEXT, body BLOB NOT NULL);
    CREATE INDEX parts_by_id ON parts (id) WHERE id IS NOT NULL;
    CREATE INDEX parts_by_serial ON parts (serial) WHERE serial IS NOT NULL;
    CREATE INDEX parts_by_utc ON parts (utc);
    CREATE TABLE part_counts (one INTEGER PRIMARY KEY CHECK (one = 0), body BLOB NOT NULL);
    """,
    """
    CREATE TABLE proofs (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, bundle TEXT UNIQUE NOT NULL, body BLOB,
        sha256 TEXT NOT NULL);
    """,
    """
    CREATE TABLE rollouts (
        seq INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, began_utc REAL NOT NULL, ended_utc REAL,
        candidate TEXT NOT NULL, reference TEXT NOT NULL, plan BLOB NOT NULL,
        progress BLOB NOT NULL);
    CREATE TABLE pairs (
        seq INTEGER PRIMARY KEY, rollout TEXT NOT NULL, boot TEXT NOT NULL, part INTEGER NOT NULL,
        id TEXT, utc REAL NOT NULL, outcome TEXT NOT NULL, truth TEXT, place BLOB NOT NULL,
        body BLOB NOT NULL, UNIQUE (rollout, boot, part));
    CREATE INDEX pairs_by_part ON pairs (boot, part);
    CREATE INDEX pairs_by_utc ON pairs (utc);
    CREATE TABLE feedback (
        seq INTEGER PRIMARY KEY, request TEXT NOT NULL, utc REAL NOT NULL, boot TEXT NOT NULL,
        part INTEGER NOT NULL, verdict TEXT NOT NULL, source TEXT NOT NULL, by_whom TEXT NOT NULL,
        told TEXT NOT NULL, body BLOB NOT NULL);
    CREATE INDEX feedback_by_part ON feedback (boot, part);
    CREATE INDEX parts_by_number ON parts (boot, part);
    """,
    """
    CREATE TABLE notices (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, url TEXT NOT NULL, utc REAL NOT NULL,
        body BLOB NOT NULL);
    CREATE INDEX notices_by_url ON notices (url, seq);
    CREATE TABLE rollout_looks (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, rollout TEXT NOT NULL, utc REAL NOT NULL,
        body BLOB NOT NULL);
    CREATE INDEX looks_by_rollout ON rollout_looks (rollout, seq);
    """,
    """
    CREATE TABLE bundles (
        seq INTEGER PRIMARY KEY AUTOINCREMENT, model TEXT UNIQUE NOT NULL, sha256 TEXT NOT NULL,
        manifest_sha256 TEXT NOT NULL, seen_utc REAL NOT NULL, lineage BLOB NOT NULL, source BLOB);
    CREATE TABLE active (
        seq INTEGER PRIMARY KEY, boot TEXT NOT NULL, model TEXT NOT NULL, from_utc REAL NOT NULL,
        to_utc REAL NOT NULL, frames INTEGER NOT NULL, UNIQUE (boot, model, from_utc));
    CREATE INDEX active_by_model ON active (model);
    CREATE TABLE judged (
        model TEXT PRIMARY KEY, frames INTEGER NOT NULL, ok INTEGER NOT NULL, ng INTEGER NOT NULL,
        empty INTEGER NOT NULL, uninspected INTEGER NOT NULL, first_utc REAL, last_utc REAL);
    CREATE TABLE written_back (
        rollout TEXT PRIMARY KEY, word TEXT NOT NULL, utc REAL NOT NULL);
    INSERT INTO judged
        SELECT json_extract(CAST(body AS TEXT), '$.model') AS name, 0, sum(verdict = 'ok'),
            sum(verdict = 'ng'), sum(verdict = 'empty'), sum(verdict = 'uninspected'),
            min(utc), max(utc)
        FROM parts WHERE json_valid(CAST(body AS TEXT)) GROUP BY name HAVING name IS NOT NULL;
    INSERT OR REPLACE INTO counters VALUES
        ('lineage_since', CAST(strftime('%s', 'now') AS INTEGER));
    """,
)
"""One script a version, each run once; a script that was released is never changed."""


@dataclass(frozen=True)
class Recovery:
    """The journal was damaged or gone and begins anew; `set_aside` is the old file, if any."""

    cause: str
    set_aside: Path | None


def set_aside_beside(folder: Path) -> tuple[SetAside, ...]:
    """Move away what lies in the places of the journal's companions and is none of them.

    Raises StateError where that cannot be done.
    """
    found = list(set_aside_unless(folder / ANCHOR_FILE, Anchor.parse, 4096))
    for name in (MARK_FILE, *(f"{FILE}{suffix}" for suffix in ("-wal", "-shm", "-journal"))):
        fault = _fault(folder / name)
        if fault:
            found.append(set_aside(folder / name, fault))
    return tuple(found)


def _fault(path: Path) -> str:
    """Why the file cannot be used, before SQLite is asked; empty where it can, or is not there."""
    try:
        if os.path.lexists(path):
            read_start(path, 1)
    except DocumentError as error:
        return error.message
    return ""


def open_database(folder: Path) -> tuple[sqlite3.Connection, Recovery | None]:
    """The only connection to the folder's journal, at the newest schema.

    A damaged file is set aside and begun anew, with the state taken over where it is whole.
    Raises StateError where the disk refuses, NewerState where a newer version wrote the file.
    """
    path = folder / FILE
    if (folder / MARK_FILE).exists():
        return _begin_anew(folder, (folder / MARK_FILE).read_text(errors="replace"))
    if fault := _fault(path) or _emptied(path):
        return _begin_anew(folder, fault)
    if not path.exists() and (folder / ANCHOR_FILE).exists():
        (folder / ANCHOR_FILE).replace(free_name(folder / ANCHOR_FILE))
        return _connect(path), Recovery(f"{path} was gone", None)
    _refuse_newer(_version_on_disk(path), len(MIGRATIONS))
    try:
        connection = _connect(path)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        return _begin_anew(folder, str(error))
    return connection, None


def _emptied(path: Path) -> str:
    """A journal has a header from its first moment on; what it committed may be in its log yet."""
    is_empty = path.exists() and path.stat().st_size == 0
    return "is empty" if is_empty and not _begins(Path(f"{path}-wal")) else ""


def _begins(log: Path) -> bool:
    """Whether anything was committed to it: one that was only written out beforehand is zeros."""
    return log.exists() and any(read_start(log, 4))


def _connect(path: Path) -> sqlite3.Connection:
    """Open, check and upgrade; raises sqlite3.DatabaseError where the file is damaged."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
    with ExitStack() as undo:
        undo.callback(connection.close)
        # EXCLUSIVE first: then WAL needs no shared-memory file, and nobody else can open it.
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if verdict != "ok":
            raise sqlite3.DatabaseError(verdict)
        migrate(connection, MIGRATIONS)
        _write_log_out(path)
        sync_folder(path.parent)
        undo.pop_all()
    return connection


def _write_log_out(path: Path) -> None:
    """Give the log its usual size at once: a commit that makes the file longer has to wait for the
    file system's own journal as well, which takes nearly twice as long beside other writers.

    Zeros end a log, as everything does whose checksum is wrong. A disk with little room is left
    as it is.
    """
    with suppress(OSError), open(f"{path}-wal", "r+b") as log:
        disk = os.statvfs(path.parent)
        missing = LOG_BYTES - log.seek(0, os.SEEK_END)
        if missing > 0 and disk.f_bavail * disk.f_frsize >= ROOM_BYTES:
            log.write(bytes(missing))
            log.flush()
            os.fsync(log.fileno())


def migrate(connection: sqlite3.Connection, migrations: Sequence[str]) -> None:
    """Bring the schema to the newest version, a step a transaction; never backward."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    _refuse_newer(version, len(migrations))
    try:
        for number, script in enumerate(migrations[version:], start=version + 1):
            connection.executescript(f"BEGIN;{script};PRAGMA user_version={number};COMMIT;")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _version_on_disk(path: Path) -> int:
    """The schema by the file's own header, without opening it as a database; 0 for none."""
    with suppress(OSError), path.open("rb") as file:
        header = file.read(64)
        if header.startswith(b"SQLite format 3\0") and len(header) == 64:
            return int.from_bytes(header[60:64], "big")
    return 0


def _refuse_newer(version: int, known: int) -> None:
    if version > known:
        raise NewerState(
            f"The journal was written by a newer edge-daemon (schema {version}, "
            f"this one knows {known}); nothing of it was changed.",
            hint="Install that version again, or move the state folder away.",
        )


def recovery_told(folder: Path) -> None:
    """The new journal records its recovery, so that the next start need not recover again."""
    (folder / MARK_FILE).unlink(missing_ok=True)
    sync_folder(folder)


def _begin_anew(folder: Path, cause: str) -> tuple[sqlite3.Connection, Recovery]:
    path = folder / FILE
    write_durably(folder / MARK_FILE, cause.encode())
    state = _salvaged_state(path)
    aside = free_name(path)
    for suffix in ("", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{aside}{suffix}")
    with suppress(FileNotFoundError):
        (folder / ANCHOR_FILE).replace(free_name(folder / ANCHOR_FILE))
    connection = _connect(path)
    if state is not None:
        sha256 = hashlib.sha256(state).hexdigest()
        connection.execute("INSERT INTO state VALUES (0, ?, ?)", (state, sha256))
    return connection, Recovery(f"{path} is damaged: {cause}", aside)


def _salvaged_state(path: Path) -> bytes | None:
    """The state out of a damaged file, if it is there and intact."""
    if _fault(path) or not path.exists():
        return None
    with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as connection:
        row = connection.execute("SELECT body, sha256 FROM state").fetchone()
        if row and hashlib.sha256(row[0]).hexdigest() == row[1]:
            return bytes(row[0])
    return None


@contextmanager
def clearly(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and the system into one sentence and the next step."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "full" in text:
            hint = "Free some space on its disk; nothing of this step was done."
        elif "readonly" in text or "unable to open" in text:
            hint = "Let the daemon's user write there; after disk errors, remount the file system."
        elif "locked" in text:
            hint = "Close the program that has it open; only one daemon may."
        elif "I/O" in text:
            hint = "Look at the kernel's log and replace the disk if it is failing."
        elif "UNIQUE" in text or "closed" in text:
            hint = "This is a fault of the daemon itself; nothing of this step was done."
        else:
            hint = "Restart the daemon: it sets a damaged journal aside."
        raise StateError(f"The journal {path} cannot be used: {text}.", hint=hint) from error
    except OSError as error:
        raise unusable(path, error) from error
