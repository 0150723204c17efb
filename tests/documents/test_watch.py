"""A file is followed whatever goes on beside it, and however often it changes itself."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_daemon.documents.watch import MOST_ROUNDS, Watch, names_on_the_way, settle

DEADLINE_S = 10.0


class Restless(threading.Event):
    """Stirs again as soon as it was cleared."""

    def clear(self) -> None:
        """Somebody writes on."""


class Waits(threading.Event):
    """Never stopped; keeps the waits that it was asked for, and does not wait."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[float | None] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.asked.append(timeout)
        return False


def test_a_wait_for_quiet_has_an_end() -> None:
    """Ten times the quiet that was wanted, then there is a look."""
    restless, waits = Restless(), Waits()
    restless.set()
    settle(restless, waits, 0.3)
    assert waits.asked == [0.3] * MOST_ROUNDS


def test_quiet_is_waited_for_once_where_nothing_follows() -> None:
    """One change costs one wait."""
    stirred, waits = threading.Event(), Waits()
    stirred.set()
    settle(stirred, waits, 0.3)
    assert waits.asked == [0.3]
    assert not stirred.is_set()


def test_the_links_that_lead_to_a_file_count_as_the_file(tmp_path: Path) -> None:
    """As the kubelet lays them out; a link out of the folder ends the way."""
    (tmp_path / "..2026_1").mkdir()
    (tmp_path / "..data").symlink_to("..2026_1")
    (tmp_path / "line.yaml").symlink_to("..data/line.yaml")
    assert names_on_the_way(tmp_path / "line.yaml") == {"line.yaml", "..data", "..2026_1"}
    (tmp_path / "loop").symlink_to("loop")
    assert names_on_the_way(tmp_path / "loop") == {"loop"}
    assert names_on_the_way(tmp_path / "none") == {"none"}


def test_a_folder_that_is_not_there_costs_nothing(tmp_path: Path) -> None:
    """However often it is tried; once it is there it is watched."""
    stirred = threading.Event()
    watch = Watch(tmp_path / "later", stirred)
    before = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        assert not watch.start()
    assert (threading.active_count(), len(os.listdir("/proc/self/fd"))) == before
    (tmp_path / "later").mkdir()
    assert watch.start()
    (tmp_path / "later" / "file").touch()
    assert stirred.wait(DEADLINE_S)
    watch.stop()


@contextmanager
def noise(file: Path, a_second: int) -> Iterator[None]:
    """Somebody appends to the file all the time."""
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(1 / a_second):
            with file.open("a") as log:
                log.write("x\n")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


@pytest.mark.parametrize("a_second", [5, 50])
def test_only_the_file_itself_stirs(tmp_path: Path, a_second: int) -> None:
    """A log beside it is written all day: not one event; the rename is one at once."""
    file, stirred = tmp_path / "desired.yaml", threading.Event()
    file.write_text("old")
    watch = Watch.of_file(file, stirred)
    assert watch.start()
    with noise(tmp_path / "other.log", a_second):
        assert not stirred.wait(0.5)
        (tmp_path / ".new").write_text("new")
        assert not stirred.wait(0.2)
        (tmp_path / ".new").rename(file)
        assert stirred.wait(DEADLINE_S)
    watch.stop()
