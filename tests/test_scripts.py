"""Every script that a README names: `--help` by whatever Python there is, and nothing changes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted(
    path.name
    for path in (ROOT / "scripts").iterdir()
    if path.is_file() and os.access(path, os.X_OK)
)
IN_PYTHON = [
    n for n in SCRIPTS if "python3" in (ROOT / "scripts" / n).open("rb").readline().decode()
]
SYSTEM = shutil.which("python3", path="/usr/bin:/bin")
BARE = [sys.executable, "-I", "-S", "-B"]
"""A Python without a single package beside its own library."""


def run(command: list[str], cwd: Path, tmp: Path) -> subprocess.CompletedProcess[str]:
    tmp.mkdir(exist_ok=True)
    environ = {"PATH": "/usr/sbin:/usr/bin:/bin", "HOME": str(tmp), "TMPDIR": str(tmp)}
    environ["PYTHONDONTWRITEBYTECODE"] = "1"
    return subprocess.run(
        command, cwd=cwd, env=environ, capture_output=True, text=True, timeout=100, check=False
    )


def started_by(name: str) -> list[str]:
    return BARE if name in IN_PYTHON else ["bash"]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A checkout as it was fetched: nothing is set up in it."""
    there = tmp_path / "clone"
    shutil.copytree(
        ROOT / "scripts", there / "scripts", ignore=shutil.ignore_patterns("__pycache__")
    )
    return there


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_fresh_clone_shows_the_help_of_each_script(
    name: str, clone: Path, tmp_path: Path
) -> None:
    """Nothing is set up, fetched or written by it."""
    before = tree(clone)
    done = run([*started_by(name), f"scripts/{name}", "--help"], clone, tmp_path / "tmp")
    assert done.returncode == 0, done.stderr
    assert f"scripts/{name}" in done.stdout or len(done.stdout) > 80
    assert tree(clone) == before
    assert not list((tmp_path / "tmp").iterdir())


@pytest.mark.parametrize("name", [*IN_PYTHON, "kill", "soak", "network", "powercut", "every_step"])
def test_a_fresh_clone_says_in_one_sentence_what_sets_it_up(
    name: str, clone: Path, tmp_path: Path
) -> None:
    """No traceback of a module that is not there."""
    done = run([*started_by(name), f"scripts/{name}"], clone, tmp_path / "tmp")
    assert done.returncode == 1
    assert "scripts/setup --test" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("name", IN_PYTHON)
def test_any_python_finds_its_way_to_the_one_that_is_set_up(name: str, tmp_path: Path) -> None:
    """The options of each script, though the Python that was asked has no package at all."""
    if not (ROOT / ".venv" / "bin" / "python").exists():
        pytest.skip("this checkout has no .venv")
    for python in (BARE, [SYSTEM] if SYSTEM else BARE):
        done = run([*python, f"scripts/{name}", "--help"], ROOT, tmp_path / "tmp")
        assert done.returncode == 0, done.stderr
        assert "usage:" in done.stdout
    assert not [p for p in (tmp_path / "tmp").iterdir() if p.name.startswith("demo-models")]


@pytest.mark.skipif(SYSTEM is None, reason="the system has no Python")
def test_without_a_network_the_setup_says_what_it_needs(clone: Path, tmp_path: Path) -> None:
    """pip's own words first, then one sentence with the next step; no traceback of ours."""
    (clone / "pyproject.toml").write_text("[project]\nname = 'x'\nversion = '1'\n")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", clone / ".venv"], check=True)
    pip = clone / "pip.py"
    pip.write_text("import sys\nsys.exit('--version' not in sys.argv and 'no index answers')\n")
    packages = next((clone / ".venv" / "lib").glob("python3*")) / "site-packages"
    (packages / "pip.py").write_bytes(pip.read_bytes())
    done = run(["bash", "scripts/setup"], clone, tmp_path / "tmp")
    assert done.returncode == 1
    assert done.stderr.index("no index answers") < done.stderr.index("PIP_INDEX_URL")
    assert not (clone / ".venv" / "edge-daemon.stamp").exists()
