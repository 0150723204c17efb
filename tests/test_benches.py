"""The benches run to their end: each is started with the fewest turns, and says its figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]


def run(name: str, *options: str, figures: Path) -> dict[str, object]:
    """What the bench wrote. Whether its promises hold is not asked: other tests run beside it."""
    program = ROOT / "scripts" / name
    by = [sys.executable] if "python3" in program.read_text(encoding="utf-8")[:40] else ["bash"]
    done = subprocess.run(
        [*by, str(program), *options, "--json", str(figures)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert figures.exists(), done.stdout + done.stderr
    found: dict[str, object] = json.loads(figures.read_text(encoding="utf-8"))
    return found


def test_the_bench_of_workers_measures_both_ways(tmp_path: Path) -> None:
    """A worker that is forked and one that is spawned are loaded with a model of the demo."""
    found = run("bench_workers", "--n", "1", figures=tmp_path / "figures.json")
    assert {"ready", "load", "first inference", "private"} <= set(found)
    assert found["resident models"].keys() == {"1", "2", "4", "8"}  # type: ignore[attr-defined]


@pytest.mark.broker
def test_the_bench_of_changeovers_measures_both_kinds(tmp_path: Path) -> None:
    """Orders that nobody announced, of models that must be loaded and of resident ones."""
    found = run("bench_changeovers", "--n", "1", figures=tmp_path / "figures.json")
    figures = found["changeovers_ms"]
    assert isinstance(figures, dict)
    assert {kind: len(each["total"]) for kind, each in figures.items()} == {
        "known": 1,
        "resident": 1,
    }


@pytest.mark.broker
def test_the_bench_of_swaps_measures_each_kind(tmp_path: Path) -> None:
    """Never proven, proven before and resident, and back to the version before."""
    options = ("--n", "1", "--restarts", "0")
    found = run("swap_times", *options, figures=tmp_path / "figures.json")
    swaps = found["swaps_ms"]
    assert isinstance(swaps, dict)
    turns = {kind: len(figures["total"]) for kind, figures in swaps.items()}
    assert turns == {"cold": 1, "known": 2, "resident": 1}


def test_the_bench_of_the_collector_measures_both_kinds_of_blocks(tmp_path: Path) -> None:
    """Every frame has its verdict, whether it is collected or not."""
    options = (
        "--frames",
        "240",
        "--fps",
        "120",
        "--ms",
        "1",
        "--share",
        "0.1",
        "--size",
        "320x240",
    )
    found = run("bench_collect", *options, figures=tmp_path / "figures.json")
    assert found["verdicts"] == 240
    assert found["p99 on ms"]
    assert found["p99 off ms"]
    assert found["pictures kept"]


def test_the_bench_of_a_bundle_that_arrives_measures_both_kinds_of_blocks(tmp_path: Path) -> None:
    """Every frame has its verdict, and bytes come."""
    pytest.importorskip("libtorrent", reason="needs the extra fleet")
    options = ("--frames", "720", "--fps", "120", "--ms", "1", "--size", "320x240")
    found = run("bench_arrival", *options, figures=tmp_path / "figures.json")
    assert found["verdicts"] == 720
    assert found["p99 comes ms"]
    assert found["p99 rests ms"]
    assert found["MB came"]


def test_the_estimates_of_collected_pictures_are_held_against_the_truth(tmp_path: Path) -> None:
    """A few short runs; the promise is of a hundred long ones."""
    options = ("--n", "4", "--parts", "800")
    found = run("simulate_collecting", *options, figures=tmp_path / "figures.json")
    assert found["runs"] == 4
    assert found["recall covered"]
