"""The journal keeps whole entries, answers once, and survives what a disk and a kill can do."""

from __future__ import annotations

import hashlib
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edge_daemon.control.durable import decode_durable, encode_durable
from edge_daemon.core.state import Durable
from edge_daemon.errors import NewerState, StateError
from edge_daemon.host import journal_orders, journal_outbox, journal_requests
from edge_daemon.host.journal import (
    AuditRow,
    Entry,
    Journal,
    OutboxRow,
    OutcomeRow,
    ReceiptRow,
    RequestRow,
)
from edge_daemon.host.journal_file import MIGRATIONS, migrate
from edge_daemon.host.journal_orders import ProductRow, TopicRow

ROOT = Path(__file__).parents[2]


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal.open(tmp_path)
    yield opened
    opened.close()


def request(number: int) -> RequestRow:
    return RequestRow(f"r{number}", "swap", 1000.0 + number, reply_to=b'{"topic":"t"}')


def test_an_entry_is_there_again_after_a_restart(tmp_path: Path) -> None:
    """Everything of an entry is read back as it was given."""
    first = Journal.open(tmp_path)
    entry = Entry(
        state=b'{"active":"bottle@1"}',
        accepted=(request(1), request(2)),
        outcomes=(OutcomeRow("r1", "succeeded", b'{"ok":1}', "s1"),),
        outbox=(OutboxRow("a/b", b"x", 1, b'{"c":2}', is_outcome=True),),
        receipts=(ReceiptRow("s1", 5.0, b"{}"),),
        audit=(AuditRow(6.0, "swap", b'{"to":"b"}'),),
    )
    first.commit(entry)
    first.close()

    again = Journal.open(tmp_path)
    assert again.recovered is None
    assert again.state() == entry.state
    found = again.find_request("r1")
    assert found is not None
    assert (found.status, found.outcome, found.swap_id) == ("succeeded", b'{"ok":1}', "s1")
    assert again.open_requests() == (request(2),)
    assert again.outbox_peek() == (OutboxRow("a/b", b"x", 1, b'{"c":2}', True, seq=1),)
    assert again.history() == (ReceiptRow("s1", 5.0, b"{}"),)
    assert [link.row for link in again.audit_rows()] == list(entry.audit)
    assert again.audit_faults() == []
    again.close()


def test_a_new_journal_knows_nothing(journal: Journal) -> None:
    """Nothing is invented: no state, no request, no message."""
    assert journal.state() is None
    assert journal.find_request("r1") is None
    assert journal.receipt("s1") is None
    assert (journal.open_requests(), journal.outbox_peek(), journal.outbox_depth()) == ((), (), 0)


@pytest.mark.parametrize(
    "second",
    [
        Entry(state=b"no", outcomes=(OutcomeRow("r1", "failed", b"2"),)),
        Entry(state=b"no", accepted=(request(1),)),
        Entry(state=b"no", outcomes=(OutcomeRow("nobody", "failed", b"2"),)),
    ],
    ids=["second outcome", "same id again", "outcome without a request"],
)
def test_a_request_is_accepted_once_and_answered_once(journal: Journal, second: Entry) -> None:
    """A second outcome, or a second acceptance, is refused with all that came with it."""
    journal.commit(
        Entry(state=b"yes", accepted=(request(1),), outcomes=(OutcomeRow("r1", "ok", b"1"),))
    )
    with pytest.raises(StateError):
        journal.commit(second)
    found = journal.find_request("r1")
    assert found is not None
    assert found.outcome == b"1"
    assert journal.state() == b"yes"


def test_the_outbox_gives_messages_in_order_until_they_are_acknowledged(journal: Journal) -> None:
    """What is removed is gone, what is not comes again, oldest first."""
    journal.commit(Entry(outbox=tuple(OutboxRow("t", b"%d" % n) for n in range(5))))
    assert [row.payload for row in journal.outbox_peek(3)] == [b"0", b"1", b"2"]
    journal.outbox_remove(1, 3, 77)
    assert [row.payload for row in journal.outbox_peek()] == [b"1", b"3", b"4"]
    assert journal.outbox_depth() == 3


def test_a_full_outbox_gives_up_the_oldest_that_is_no_outcome(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound holds, outcomes stay, and what was given up is counted."""
    monkeypatch.setattr(journal_outbox, "OUTBOX_LIMIT", 4)
    journal.commit(Entry(outbox=(OutboxRow("t", b"outcome", is_outcome=True),)))
    journal.commit(Entry(outbox=tuple(OutboxRow("t", b"%d" % n) for n in range(6))))
    assert [row.payload for row in journal.outbox_peek()] == [b"outcome", b"3", b"4", b"5"]
    assert (journal.outbox_depth(), journal.outbox_dropped()) == (4, 3)


def test_old_answers_are_forgotten_but_never_an_open_request(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The requests are bounded; one without an outcome stays however old it is."""
    monkeypatch.setattr(journal_requests, "DONE_LIMIT", 3)
    journal.commit(Entry(accepted=(request(0),)))
    for number in range(1, 9):
        end = OutcomeRow(f"r{number}", "succeeded", b"1")
        journal.commit(Entry(accepted=(request(number),), outcomes=(end,)))
    known = [number for number in range(9) if journal.find_request(f"r{number}")]
    assert known == [0, 6, 7, 8]


def test_a_trial_completes_the_receipt_in_its_place(journal: Journal) -> None:
    """The history has one line a swap, newest first."""
    journal.commit(Entry(receipts=(ReceiptRow("s1", 1.0, b"1"), ReceiptRow("s2", 2.0, b"2"))))
    journal.commit(Entry(receipts=(ReceiptRow("s1", 3.0, b"1+trial"),)))
    assert [row.swap_id for row in journal.history()] == ["s2", "s1"]
    assert journal.receipt("s1") == ReceiptRow("s1", 3.0, b"1+trial")
    assert len(journal.history(1)) == 1


# ---------------------------------------------------------------------------- damage


def test_of_orders_the_newest_are_kept(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each topic and each order has one row; what was told longest ago goes first."""
    monkeypatch.setattr(journal_orders, "TOPIC_LIMIT", 2)
    monkeypatch.setattr(journal_orders, "PRODUCT_LIMIT", 2)
    for name in ("a", "b", "a", "a", "c"):
        topic, product = TopicRow(name, b"k", b"l"), ProductRow(name, "CAN", 1.0)
        journal.commit(Entry(topics=(topic,), products=(product,)))
    told = journal.orders()
    assert [row.topic for row in told.topics] == ["a", "c"]
    assert told.products == (ProductRow("a", "CAN", 1.0), ProductRow("c", "CAN", 1.0))
    journal.commit(Entry(topics=(TopicRow("a"),)))
    assert journal.orders().topics == (TopicRow("c", b"k", b"l"),)


def test_a_second_daemon_is_refused(journal: Journal, tmp_path: Path) -> None:
    """One folder has one owner; the message names it."""
    with pytest.raises(StateError, match=f"in use by another daemon \\(process {os.getpid()}\\)"):
        Journal.open(tmp_path)
    journal.commit(Entry(state=b"still mine"))


def test_no_other_program_can_open_a_second_connection(journal: Journal, tmp_path: Path) -> None:
    """Two connections to one WAL can lose it, so there is never a second one."""
    journal.commit(Entry(state=b"1"))
    other = sqlite3.connect(tmp_path / "journal.db", timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT * FROM state")
    other.close()


def test_a_damaged_journal_is_set_aside_and_begun_anew(tmp_path: Path) -> None:
    """A file that is no database stops nothing: it is kept for inspection and reported."""
    (tmp_path / "journal.db").write_bytes(b"not a database at all" * 500)
    journal = Journal.open(tmp_path)
    assert journal.recovered is not None
    assert journal.recovered.set_aside is not None
    assert journal.recovered.set_aside.read_bytes().startswith(b"not a database")
    assert journal.recovered.set_aside.name.startswith("journal.db.broken-")
    assert journal.state() is None
    journal.commit(Entry(state=b"new"))
    journal.close()


def test_the_state_is_taken_over_from_a_file_damaged_elsewhere(tmp_path: Path) -> None:
    """Damage in another table does not cost the confirmed version."""
    journal = Journal.open(tmp_path)
    filler = tuple(OutboxRow("t", os.urandom(3000)) for _ in range(200))
    journal.commit(Entry(state=b"confirmed", outbox=filler))
    journal.close()
    path = tmp_path / "journal.db"
    content = bytearray(path.read_bytes())
    content[4096 * 100 : 4096 * 110] = b"\xff" * (4096 * 10)
    path.write_bytes(content)

    again = Journal.open(tmp_path)
    assert again.recovered is not None
    assert again.state() == b"confirmed"
    assert again.outbox_peek() == ()
    again.close()


def test_a_journal_that_is_gone_is_reported(tmp_path: Path) -> None:
    """An anchor without its journal means that somebody took the journal away."""
    journal = Journal.open(tmp_path)
    journal.commit(Entry(audit=(AuditRow(1.0, "started"),)))
    journal.close()
    (tmp_path / "journal.db").unlink()
    again = Journal.open(tmp_path)
    assert again.recovered is not None
    assert "gone" in again.recovered.cause
    again.close()


def _digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_newer_journal_is_refused_and_left_alone(tmp_path: Path) -> None:
    """A downgrade says what to install; not one byte of the folder is changed."""
    Journal.open(tmp_path).close()
    raw = sqlite3.connect(tmp_path / "journal.db")
    raw.execute("PRAGMA user_version = 999")
    raw.close()
    before = _digests(tmp_path)
    with pytest.raises(NewerState, match=r"newer edge-daemon \(schema 999"):
        Journal.open(tmp_path)
    assert _digests(tmp_path) == before


def test_a_newer_journal_that_lost_its_power_is_refused_too(tmp_path: Path) -> None:
    """The later schema is in the write-ahead log only; the file is neither used nor set aside."""
    Journal.open(tmp_path).close()
    raw = sqlite3.connect(tmp_path / "journal.db", isolation_level=None)
    raw.execute("PRAGMA wal_autocheckpoint = 0")
    raw.execute("PRAGMA user_version = 999")
    copy = tmp_path / "copy"
    copy.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        shutil.copy(tmp_path / name, copy)
    raw.close()
    with pytest.raises(NewerState, match="nothing of it was changed"):
        Journal.open(copy)
    assert not list(copy.glob("*.broken-*"))
    with closing(sqlite3.connect(copy / "journal.db")) as kept:
        assert kept.execute("PRAGMA user_version").fetchone() == (999,)


FIRST_RELEASE = """
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
INSERT INTO counters VALUES ('outbox_dropped', 7);
INSERT INTO state VALUES (0, CAST('{"selected":[["bottle","1.3.0"]],"held":true}' AS BLOB), 'x');
INSERT INTO requests VALUES (1, 'old-1', 'swap', 1.0, 'succeeded', CAST('{}' AS BLOB),
    CAST('{}' AS BLOB), CAST('{"id":"old-1"}' AS BLOB), 's-1');
INSERT INTO requests VALUES (2, 'old-2', 'swap', 2.0, 'accepted', CAST('{}' AS BLOB),
    CAST('{}' AS BLOB), NULL, 's-2');
INSERT INTO outbox VALUES (5, 't/event', CAST('{}' AS BLOB), 1, NULL, 0);
INSERT INTO receipts VALUES (1, 's-1', 1.0, CAST('{"to":"bottle@1.3.0"}' AS BLOB));
PRAGMA user_version = 1;
"""
"""A journal as the first release wrote it: never to be changed."""


def test_the_first_releases_journal_is_read_and_goes_on(tmp_path: Path) -> None:
    """Nothing of it is lost on the way to today's schema, and it takes new entries."""
    with closing(sqlite3.connect(tmp_path / "journal.db")) as old:
        old.executescript(FIRST_RELEASE)
    journal = Journal.open(tmp_path)
    assert journal.recovered is None
    assert decode_durable(journal.state()) == Durable(selected=(("bottle", "1.3.0"),), held=True)
    answered = journal.find_request("old-1")
    assert answered is not None
    assert answered.outcome == b'{"id":"old-1"}'
    assert [row.id for row in journal.open_requests()] == ["old-2"]
    assert [(row.seq, row.topic) for row in journal.outbox_peek()] == [(5, "t/event")]
    assert journal.outbox_dropped() == 7
    assert [row.swap_id for row in journal.history()] == ["s-1"]
    journal.commit(Entry(state=encode_durable(Durable()), audit=(AuditRow(3.0, "event"),)))
    journal.close()
    with closing(sqlite3.connect(tmp_path / "journal.db")) as new:
        assert new.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)


def test_an_older_journal_is_brought_forward_once() -> None:
    """Each later script runs once, and one that fails leaves the version before it."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    migrate(database, MIGRATIONS)
    database.execute("INSERT INTO state VALUES (0, 'kept', '')")
    later = (*MIGRATIONS, "ALTER TABLE state ADD COLUMN note TEXT")
    migrate(database, later)
    migrate(database, later)
    assert database.execute("SELECT body, note FROM state").fetchone() == ("kept", None)
    with pytest.raises(sqlite3.Error):
        migrate(database, (*later, "CREATE TABLE fine (x); CREATE TABLE state (x)"))
    version = database.execute("PRAGMA user_version").fetchone()[0]
    tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
    assert (version, "fine" in tables) == (len(later), False)
    database.close()


def test_a_full_disk_is_one_sentence_and_costs_only_the_entry(journal: Journal) -> None:
    """What was committed stays, what did not fit is refused, and later entries work again."""
    journal.commit(Entry(state=b"before"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StateError, match=r"journal\.db cannot be used"):
            journal.commit(Entry(state=b"x" * 1_000_000, outbox=(OutboxRow("t", b"1"),)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert (journal.state(), journal.outbox_depth()) == (b"before", 0)
    journal.commit(Entry(state=b"after", outbox=(OutboxRow("t", b"2"),)))
    assert (journal.state(), journal.outbox_depth()) == (b"after", 1)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    """A wrong state folder is the box's fault, with the path in the message."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="file/state"):
        Journal.open(tmp_path / "file" / "state")


def test_a_closed_journal_refuses_and_lets_the_next_one_in(tmp_path: Path) -> None:
    """Closing twice is harmless; writing afterwards is not silently lost."""
    journal = Journal.open(tmp_path)
    journal.close()
    journal.close()
    with pytest.raises(StateError):
        journal.commit(Entry(state=b"x"))
    Journal.open(tmp_path).close()


# ------------------------------------------------------------------------------ kill

WRITER = """
import sys
from pathlib import Path
from edge_daemon.host.journal import Entry, Journal, OutboxRow, RequestRow
journal = Journal.open(Path(sys.argv[1]))
torn = sys.argv[2] == "torn"
for number in range(1, 100_000):
    rows = tuple(OutboxRow("t", b"%d" % number) for _ in range(20))
    if torn:
        journal.commit(Entry(state=b"%d" % number))
        print(number, flush=True)
        sys.stdin.read()
        journal.commit(Entry(outbox=rows))
    else:
        journal.commit(Entry(state=b"%d" % number, outbox=rows,
                             accepted=(RequestRow(f"r{number}", "swap", 0.0),)))
        print(number, flush=True)
"""


def killed_after(folder: Path, lines: int, how: str) -> int:
    """Start the writer, read some acknowledgements, SIGKILL it; the last one it gave."""
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(folder), how],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as child:
        assert child.stdout is not None
        for _ in range(lines):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split()
        child.wait()
    return int(rest[-1]) if rest else lines


def torn_entries(folder: Path, acknowledged: int) -> list[str]:
    """What contradicts `whole entries only, none acknowledged is lost`."""
    journal = Journal.open(folder)
    faults = [] if journal.recovered is None else [journal.recovered.cause]
    last = int(journal.state() or b"0")
    if last < acknowledged:
        faults.append(f"{acknowledged} was acknowledged, the state is {last}")
    if journal.outbox_depth() != min(last * 20, journal_outbox.OUTBOX_LIMIT):
        faults.append(f"the state is {last}, the outbox {journal.outbox_depth()}")
    journal.close()
    return faults


@pytest.mark.parametrize("seed", range(4))
def test_a_kill_in_the_middle_leaves_whole_entries(tmp_path: Path, seed: int) -> None:
    """SIGKILL at any moment: every acknowledged entry is there, and no part of another."""
    lines = random.Random(seed).randrange(3, 60)
    acknowledged = killed_after(tmp_path, lines, "whole")
    assert torn_entries(tmp_path, acknowledged) == []


def test_the_check_sees_an_entry_torn_in_two(tmp_path: Path) -> None:
    """The control: two commits instead of one, killed in between, are noticed."""
    acknowledged = killed_after(tmp_path, 1, "torn")
    assert torn_entries(tmp_path, acknowledged) == ["the state is 1, the outbox 0"]
