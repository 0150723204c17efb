"""Files are replaced whole, and a folder has one owner."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge_daemon.errors import StateError
from edge_daemon.host.disk import FolderLock, Reserve, write_durably
from tests.sim.small_disk import fill, small_disk

ROOT = Path(__file__).parents[2]


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    """The new content is there in one step, without remains."""
    path = tmp_path / "anchor"
    write_durably(path, b"old", mode=0o600)
    write_durably(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    """The target being a folder is one clear sentence, and nothing is lost."""
    (tmp_path / "target").mkdir()
    with pytest.raises(StateError, match="target cannot be used"):
        write_durably(tmp_path / "target", b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["target"]


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    """A killed daemon leaves no lock behind."""
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from edge_daemon.host.disk import FolderLock, Reserve\n"
        "lock = FolderLock(Path(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, check=False, timeout=60
    )
    assert done.returncode == -9
    lock = FolderLock(tmp_path)
    with pytest.raises(StateError, match="in use by another daemon"):
        FolderLock(tmp_path)
    lock.release()
    FolderLock(tmp_path).release()


def test_a_folder_on_a_full_disk_has_one_owner_too(tmp_path: Path) -> None:
    """The lock needs no room; only the owner's number does."""
    with small_disk(tmp_path / "disk", 1) as disk:
        fill(disk)
        lock = FolderLock(disk)
        with pytest.raises(StateError, match="unknown"):
            FolderLock(disk)
        lock.release()


def test_the_reserve_takes_room_until_it_is_given_up(tmp_path: Path) -> None:
    """Real blocks, not a hole in a file; and nothing is left of one that did not fit."""
    reserve = Reserve(tmp_path, 1 << 20)
    assert reserve.keep()
    assert reserve.keep()
    assert (tmp_path / "reserve").stat().st_blocks * 512 >= 1 << 20
    reserve.give_up()
    reserve.give_up()
    assert not Reserve(tmp_path, 1 << 62).keep()
    assert list(tmp_path.iterdir()) == []
