"""Children run our code, whatever lies in the folder that they were started from."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from edge_daemon.host.interpreter import FOLDER, code_command, import_path, module_command
from edge_daemon.slots.child import WorkerProcess, WorkerSpec
from tests.sim.folders import poisoned

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder full of modules that leave a mark, with this process in it, as `python -m` is."""
    folder = poisoned(tmp_path)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    return folder


def marks(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("ran-*"))


def test_the_current_folder_is_no_place_for_modules(here: Path) -> None:
    """Neither by its name nor as the empty entry; where the package lies in it, it is ours."""
    assert not {"", str(here)} & set(import_path())
    assert any(Path(entry).resolve() == ROOT for entry in import_path())


def test_the_folder_of_the_package_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout is worked in from its root."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    assert str(ROOT) in import_path()


def test_a_child_runs_nothing_that_lies_around(here: Path) -> None:
    """By module and by text, and from its first line on; it gets its arguments as they are."""
    text = "import argparse, ctypes, json, sys; print(json.dumps(sys.argv[1:]))"
    done = subprocess.run(
        code_command(text, "a b", "c"), capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == ["a b", "c"]
    command = module_command("edge_daemon", "--version")
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("edge-daemon ")
    assert not marks(here)


def test_workers_stand_elsewhere_and_run_nothing_that_lies_around(here: Path) -> None:
    """The current folder is not where a worker finds its modules."""
    worker = WorkerProcess.start(WorkerSpec("tests.sim.device:engine"))
    try:
        worker.await_ready(60.0)
        assert Path(f"/proc/{worker.pid}/cwd").resolve() == Path(FOLDER)
    finally:
        worker.end()
    assert not marks(here)
