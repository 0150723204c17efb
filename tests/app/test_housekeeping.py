"""What is seen to every second: the disk is tried again, and the log says how the line runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge_daemon.app.housekeeping import SUMMARY_S, TELL_AGAIN_S, DiskWatch, Summary
from edge_daemon.app.status import FramesStatus, JournalStatus
from edge_daemon.core.picture import Measures
from edge_daemon.core.state import SlotState, State
from edge_daemon.core.totals import Totals
from edge_daemon.core.values import Counts, Instant, Latency
from edge_daemon.errors import StateError
from edge_daemon.host.disk import RESERVE_FILE, Reserve
from edge_daemon.host.journal import Entry, Journal
from tests.sim.journals import open_journal
from tests.sim.status import NOW, ONLINE, station

NOBODY = State("boot", (SlotState("A"),))


class Disk:
    """A journal on a disk that can be made to refuse, and the reserve beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal, self._connection = open_journal(folder)
        self.watch = DiskWatch(self.journal, Reserve(folder, 4096))

    def refuses(self, *, does: bool) -> None:
        self._connection.execute(f"PRAGMA query_only = {int(does)}")

    def hear(self, **changes: object) -> None:
        """The next second, with what the journal says of itself."""
        given_up = changes.pop("given_up", 0)
        journal = JournalStatus(trouble=self.journal.trouble, given_up=given_up)  # type: ignore[arg-type]
        self.watch.hear(station(journal=journal, **changes))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    made = Disk(tmp_path)
    yield made
    made.journal.close()


def at(seconds: float) -> Instant:
    return Instant(NOW.at + seconds, NOW.utc + seconds)


def test_a_disk_that_refused_is_tried_again(disk: Disk) -> None:
    """As soon as it takes a write the problem ends, without anybody's doing."""
    disk.refuses(does=True)
    with pytest.raises(StateError):
        disk.journal.commit(Entry(state=b"1"))
    disk.hear()
    assert disk.journal.trouble
    disk.refuses(does=False)
    disk.hear()
    assert disk.journal.trouble == ""


def test_room_for_the_next_start_is_kept_while_a_model_judges(disk: Disk) -> None:
    """It was given up at the start, for the private copy of the bundle."""
    disk.hear(state=NOBODY)
    assert not (disk.folder / RESERVE_FILE).exists()
    disk.hear()
    assert (disk.folder / RESERVE_FILE).stat().st_size == 4096


def test_no_room_is_taken_on_a_disk_that_refuses(disk: Disk) -> None:
    """The journal needs it more."""
    disk.refuses(does=True)
    with pytest.raises(StateError):
        disk.journal.commit(Entry(state=b"1"))
    disk.hear()
    assert not (disk.folder / RESERVE_FILE).exists()


def test_messages_that_were_given_up_are_told_once_a_minute(disk: Disk) -> None:
    """Each is counted in one line; a station that is cut off for a week fills no log."""
    with capture_logs() as lines:
        for second in range(int(2 * TELL_AGAIN_S)):
            disk.hear(given_up=second, now=at(float(second)))
    told = [line["given_up"] for line in lines if line["event"] == "outbox_overflowed"]
    assert told == [1, 60]


def test_an_outbox_that_holds_all_is_no_news(disk: Disk) -> None:
    """No line at all."""
    with capture_logs() as lines:
        for second in range(200):
            disk.hear(now=at(float(second)))
    assert lines == []


def test_the_line_is_summed_up_now_and_then() -> None:
    """Nothing is logged for each frame: this is where a log shows that it runs."""
    summary = Summary(NOW.at)
    with capture_logs() as lines:
        for second in range(int(3 * SUMMARY_S) + 1):
            summary.hear(station(now=at(float(second))))
    assert [line["event"] for line in lines] == ["line"] * 3


def test_the_summary_says_what_a_plot_would() -> None:
    """Model, rate, latency, light, and the counts that balance."""
    counts = Counts(captured=10, inspected=7, dropped=1, uninspected=2)
    camera = replace(ONLINE, fps=29.973, measures=Measures(120.126, 40.0, 9.0))
    status = station(
        now=at(SUMMARY_S),
        camera=camera,
        totals=Totals(counts),
        frames=FramesStatus(latency=Latency(p50=12.346, p99=20.0)),
    )
    with capture_logs() as lines:
        Summary(NOW.at).hear(status)
    (line,) = lines
    assert (line["model"], line["fps"], line["p50_ms"]) == ("bottle@1.0.0", 29.97, 12.35)
    assert (line["captured"], line["inspected"], line["uninspected"]) == (10, 7, 2)
    assert line["mean"] == 120.13


def test_a_station_without_a_model_or_a_camera_is_summed_up_too() -> None:
    """Nothing is known, and nothing is made up."""
    with capture_logs() as lines:
        Summary(NOW.at).hear(station(now=at(SUMMARY_S), state=NOBODY, camera=replace(ONLINE)))
    assert (lines[0]["model"], lines[0]["fps"], lines[0]["p50_ms"]) == (None, None, None)


def test_a_journal_of_a_healthy_disk_is_left_alone(disk: Disk) -> None:
    """A probe is a write, which wears a card of flash."""
    log = disk.folder / "journal.db-wal"
    before = log.stat().st_size
    for second in range(10):
        disk.hear(now=at(float(second)))
    assert log.stat().st_size == before
    assert isinstance(disk.journal, Journal)
