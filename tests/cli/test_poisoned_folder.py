"""An operator may stand in any folder: no command runs a module that lies there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import edge_daemon
from edge_daemon.demo.stage import BUNDLES
from tests.sim.bundles import make_bundle
from tests.sim.device import Device
from tests.sim.folders import poisoned

ROOT = Path(edge_daemon.__file__).parents[1]
PROGRAM = [sys.executable, "-m", "edge_daemon"]
"""The way that looks into the current folder first; the installed command does not."""


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    folder = poisoned(tmp_path)
    yield folder
    assert not list(folder.glob("ran-*"))


@pytest.fixture(scope="module")
def device() -> Device:
    device = Device(settings={"slots": {"isolation": "process", "spare": "off"}})
    make_bundle(device.store, "bottle@1.0.0", golden=1)
    return device


def environ() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f":{ROOT}:"}  # an empty entry means the current folder too


def run(here: Path, device: Device, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *words, "--config", str(device.config)],
        cwd=here,
        env=environ(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    "words",
    [
        ("status",),
        ("config", "show"),
        ("models", "list"),
        ("models", "verify", "bottle@1.0.0"),
        ("swap", "bottle@1.0.0"),
        ("drill",),
        ("snapshot",),
    ],
    ids=" ".join,
)
def test_a_command_runs_nothing_that_lies_around(
    here: Path, device: Device, words: tuple[str, ...]
) -> None:
    """Whatever comes of the command itself, and of the children that it starts."""
    done = run(here, device, *words)
    assert "Traceback" not in done.stderr


@pytest.mark.model
def test_a_support_bundle_tries_libraries_and_workers_elsewhere(here: Path, device: Device) -> None:
    """What `check` does: the libraries' own words, what workers are forked from, and a worker."""
    archive = here / "support.tar.gz"
    done = run(here, device, "support-bundle", "--output", str(archive))
    assert "Traceback" not in done.stderr
    with tarfile.open(archive) as opened:
        (name,) = (each for each in opened.getnames() if each.endswith("check.json"))
        member = opened.extractfile(name)
        assert member is not None
        said = member.read().decode()
    assert "torch" in said
    assert "A worker was ready on cpu" in said
    assert "forked from a process" in said


@pytest.mark.model
def test_engines_are_built_elsewhere(here: Path, device: Device) -> None:
    """A worker that exports is a child like any other."""
    done = run(here, device, "models", "optimize", "bottle@1.0.0", "--for", "onnx")
    assert "Traceback" not in done.stderr
    assert done.returncode == 1  # its weights are none


@pytest.mark.model
def test_the_demo_and_its_daemon_run_nothing_that_lies_around(here: Path) -> None:
    """A daemon as a child, with workers of its own, until the first model judges."""
    assert BUNDLES.is_dir()
    story = subprocess.Popen(
        [*PROGRAM, "demo", "--seconds", "10"],
        cwd=here,
        env=environ() | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert story.stdout is not None
    with story.stdout as told:
        heard = ""
        for line in told:
            heard += line
            if "judges bottles" in line:
                break
        story.send_signal(signal.SIGTERM)
        heard += told.read()
    assert story.wait() == 1, heard
    assert "bottle@1.0.0 judges bottles" in heard
