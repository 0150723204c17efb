"""A worker's scratch folder is bounded, and cleared away whatever lies in it, also by the next."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from edge_daemon.core.values import BundleRef
from edge_daemon.errors import SlotLost
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.scratch import Allowance, Scratch, clear, excess
from edge_daemon.slots.slot import LoadOrder
from edge_daemon.slots.spare import SparePool

GENEROUS_S = 60.0


def test_a_folder_that_is_closed_twice_closes_nobody_elses_file(tmp_path: Path) -> None:
    """Two owners may close a pool of workers; the first frees the descriptor's number."""
    scratch = Scratch(str(tmp_path))
    scratch.close()
    with (tmp_path / "journal").open("w") as other:
        scratch.close()
        other.write("still open")
        other.flush()
    assert (tmp_path / "journal").read_text() == "still open"


@pytest.mark.parametrize(
    ("way", "found"),
    [
        ("bytes", "more than 256 MB"),
        ("files", "more than 10000 files"),
        ("deeper", "more than 64 deep"),
        ("listed", "cannot be read"),
    ],
)
def test_a_worker_that_fills_its_folder_is_ended_and_nothing_stays(
    tmp_path: Path, way: str, found: str
) -> None:
    """Bytes, files, depth, and a folder that nobody may read end the worker, with the reason; its
    own folder goes with it, however it was filled."""
    if way == "listed" and os.getuid() == 0:
        pytest.skip("root may read any folder")
    spec = WorkerSpec("tests.sim.hog:FillEngine", {"way": way}, (str(tmp_path),), str(tmp_path))
    pool = SparePool(spec, standing=0)
    slot = ProcessSlot("A", pool)
    memory = FrameMemory.allocate(FrameShape(8, 8), places=1)
    weights = tmp_path / "weights"
    weights.touch()
    try:
        ref = BundleRef("bottle", "1")
        order = LoadOrder(ref, "00", tmp_path, weights, "detect", ("bottle",), 64, 0.5)
        slot.load(order, GENEROUS_S)
        with pytest.raises(SlotLost, match=found):
            slot.infer(FrameAddress(memory, 0), GENEROUS_S)
        slot.free()
        (of_pool,) = tmp_path.glob("edge-daemon-*")
        assert list(of_pool.iterdir()) == []
    finally:
        slot.close()
        pool.close()
        memory.close()
    assert list(tmp_path.iterdir()) == [weights]


def test_what_a_worker_usually_writes_is_no_excess(tmp_path: Path) -> None:
    """A few small files, links and folders are what libraries leave."""
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / "settings.json").write_text("{}", encoding="utf-8")
    (tmp_path / "engine" / "alias").symlink_to("/")
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 1 << 40)
    assert excess(str(tmp_path)) == ""
    assert excess(str(tmp_path / "gone")) == ""
    assert excess(str(tmp_path), Allowance(bytes=1)) != ""


DAEMON = """
import os, signal, sys
from edge_daemon.slots.scratch import Scratch
scratch = Scratch(sys.argv[1])
os.makedirs(scratch.path + "/worker/engine")
open(scratch.path + "/worker/engine/half", "wb").close()
print(scratch.path, flush=True)
signal.pause()
"""


def test_what_a_killed_daemon_left_is_swept_and_what_lives_is_not(tmp_path: Path) -> None:
    """The next start clears away the folders of the dead; those of the living, strangers' and
    links stay as they are."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p or "." for p in sys.path)}
    command = [sys.executable, "-c", DAEMON, str(tmp_path)]
    stranger = tmp_path / "edge-daemon-demo-x"
    stranger.mkdir()
    link = tmp_path / "edge-daemon-workers-link"
    link.symlink_to(stranger)
    daemons = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    try:
        folders = [Path(d.stdout.readline().strip()) for d in daemons if d.stdout]
        daemons[0].kill()
        daemons[0].wait()
        with Scratch(str(tmp_path)) as own:
            assert not folders[0].exists()
            assert (folders[1] / "worker" / "engine" / "half").exists()
            assert {*tmp_path.iterdir()} == {stranger, link, folders[1], Path(own)}
        assert not Path(own).exists()
    finally:
        for daemon in daemons:
            daemon.kill()
            daemon.communicate()


def test_a_tree_of_any_shape_is_cleared(tmp_path: Path) -> None:
    """Folders without end, without permissions, and links to elsewhere: all go, and only they."""
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(kept)
    here = os.open(tree, os.O_RDONLY)
    for depth in range(3_000):
        os.mkdir("d", dir_fd=here)
        if depth % 500 == 0:
            os.symlink(kept, "inner link", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(here)
    (tree / "locked").mkdir()
    (tree / "locked" / "inner").mkdir(0o000)
    (tree / "locked").chmod(0o300)
    clear(str(tree))
    assert not tree.exists()
    assert (kept / "file").exists()
