"""What a start makes of a journal that kept less than it was given."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_daemon.app.load_state import load_state
from edge_daemon.control.durable import encode_durable
from edge_daemon.core.state import Durable
from edge_daemon.core.values import BundleRef, Instant
from edge_daemon.errors import NewerState
from edge_daemon.host.journal import Entry, Journal
from tests.sim.device import Device

NOW = Instant(1.0, 1_763_800_000.0)
B1, B2 = "bottle@1.0.0", "bottle@2.0.0"
CONFIRMED = Durable(selected=(("bottle", "2.0.0"),), confirmed=(BundleRef("bottle", "2.0.0"),))


def kept(folder: Path, body: bytes) -> None:
    """The journal of a device whose last state was this."""
    journal = Journal.open(folder)
    journal.commit(Entry(state=body))
    journal.close()


def events(journal: Journal) -> list[str]:
    return [json.loads(link.row.body)["event"] for link in journal.audit_rows()]


def test_a_whole_state_is_remembered(tmp_path: Path) -> None:
    """What was confirmed before the restart is known after it, and nothing is put on record."""
    kept(tmp_path, encode_durable(CONFIRMED))
    journal = Journal.open(tmp_path)
    assert load_state(journal, tmp_path, NOW) == CONFIRMED
    assert events(journal) == []
    journal.close()


@pytest.mark.parametrize("body", [b"", b"\xff\x00", b"[]", b'{"tries": "many"}', b'{"selected": 1'])
def test_an_unreadable_state_is_set_aside(tmp_path: Path, body: bytes) -> None:
    """It is kept for a person, put on record once, and forgotten for good."""
    kept(tmp_path, body)
    journal = Journal.open(tmp_path)
    assert load_state(journal, tmp_path, NOW) == Durable()
    assert [path.read_bytes() for path in tmp_path.glob("state-unreadable-*")] == [body]
    assert events(journal) == ["state_set_aside"]
    assert load_state(journal, tmp_path, NOW) == Durable()
    assert events(journal) == ["state_set_aside"]
    assert journal.audit_faults() == []
    journal.close()


def test_a_state_of_a_later_version_is_refused_and_left(tmp_path: Path) -> None:
    """A downgrade does not guess, and sets nothing aside: the later version will want it."""
    later = b'{"schema": 99, "selected": [], "mood": "new"}'
    kept(tmp_path, later)
    journal = Journal.open(tmp_path)
    with pytest.raises(NewerState, match="newer edge-daemon"):
        load_state(journal, tmp_path, NOW)
    assert journal.state() == later
    assert events(journal) == []
    journal.close()


def test_a_downgrade_ends_with_a_sentence_and_78(tmp_path: Path) -> None:
    """What only a person can mend is not tried for ever by the service manager."""
    device = Device(B1)
    later = b'{"schema": 99}'
    kept(device.folder / "state" / "cam1", later)
    done = subprocess.run(
        [sys.executable, "-m", "edge_daemon", "run", "--config", str(device.config)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78, done
    assert "Traceback" not in done.stderr
    assert "newer edge-daemon" in done.stderr
    journal = Journal.open(device.folder / "state" / "cam1")
    assert journal.state() == later
    assert journal.audit_rows() == ()
    journal.close()
    shutil.rmtree(device.folder)


def test_a_damaged_journal_is_put_on_record(tmp_path: Path) -> None:
    """The trail that begins anew says so in its first row."""
    kept(tmp_path, encode_durable(CONFIRMED))
    database = tmp_path / "journal.db"
    database.write_bytes(b"not a database" + database.read_bytes()[14:])
    journal = Journal.open(tmp_path)
    load_state(journal, tmp_path, NOW)
    assert events(journal)[0] == "journal_recovered"
    journal.close()


def test_the_line_runs_without_its_memory() -> None:
    """The daemon starts on its configured version, although the newer one was confirmed."""
    device = Device(B1, B2)
    folder, damaged = device.folder / "state" / "cam1", b'{"confirmed": "everything"}'
    kept(folder, damaged)
    with device:
        device.await_active(B1)
        assert [path.read_bytes() for path in folder.glob("state-unreadable-*")] == [damaged]
