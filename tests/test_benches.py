"""The benches run to their end: each is started with the fewest turns, and says its figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [pytest.mark.model, pytest.mark.timeout(300)]

LEISURELY = ("--fps", "8", "--size", "320x240")
"""What is proven runs in the gaps between frames: on a busy machine, too, there are such."""


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
    options = ("--n", "1", *LEISURELY)
    found = run("bench_changeovers", *options, figures=tmp_path / "figures.json")
    figures = found["changeovers_ms"]
    assert isinstance(figures, dict)
    assert {kind: len(each["total"]) for kind, each in figures.items()} == {
        "known": 1,
        "resident": 1,
    }


@pytest.mark.broker
def test_the_bench_of_swaps_measures_each_kind(tmp_path: Path) -> None:
    """Never proven, proven before and resident, and back to the version before."""
    options = ("--n", "1", "--restarts", "0", *LEISURELY)
    found = run("swap_times", *options, figures=tmp_path / "figures.json")
    swaps = found["swaps_ms"]
    assert isinstance(swaps, dict)
    turns = {kind: len(figures["total"]) for kind, figures in swaps.items()}
    assert turns == {"cold": 1, "known": 2, "resident": 1}


def test_the_bench_of_the_collector_measures_both_kinds_of_blocks(tmp_path: Path) -> None:
    """Every frame has its verdict, whether it is collected or not."""
    options = "--frames 240 --fps 120 --ms 1 --share 0.1 --size 320x240"
    found = run("bench_collect", *options.split(), figures=tmp_path / "figures.json")
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


def test_the_bench_of_a_candidate_measures_both_kinds_of_blocks(tmp_path: Path) -> None:
    """Every frame has its verdict, with the candidate beside it or not."""
    options = "--frames 180 --fps 120 --ms 1 --candidate-ms 1 --size 320x240"
    found = run("bench_shadow", *options.split(), figures=tmp_path / "figures.json")
    assert found["verdicts"] == 180
    assert found["compared"]
    assert found["p99 on ms"]
    assert found["p99 off ms"]


def test_the_cost_of_a_frame_is_measured_before_and_after_cutovers(tmp_path: Path) -> None:
    """The way of a frame from ring to result, with an engine that costs nothing."""
    options = "--frames 2 --swaps 4 --only swaps"
    found = run("frame_cost", *options.split(), figures=tmp_path / "figures.json")
    assert set(found) == {"before any swap", "after 4 swaps"}
    assert all(row["n"] == 2 and row["whole"] for row in found.values())  # type: ignore[index]


def test_the_cost_of_parts_is_measured_step_by_step(tmp_path: Path) -> None:
    """Objects leave the picture within these frames, and their parts are told."""
    options = "--objects 6 --frames 300"
    found = run("part_cost", *options.split(), figures=tmp_path / "figures.json")
    assert {"rules", "parts", "track", "ledger", "together", "empty"} <= set(found)
    assert found["parts"]


@pytest.mark.broker
def test_a_flood_of_orders_loses_no_frame(tmp_path: Path) -> None:
    """Each kind of order once; frames are counted on both sides of it."""
    options = "--orders 5 --rounds 1 --fps 30 --size 320x240 --quiet-s 0.3"
    found = run("order_flood", *options.split(), figures=tmp_path / "figures.json")
    assert len(found["rows"]) == 4  # type: ignore[arg-type]
    assert (found["lost"], found["dropped"], found["wrong"]) == (0, 0, 0)


@pytest.mark.broker
def test_what_viewers_cost_is_measured(tmp_path: Path) -> None:
    """One row of it: a viewer of the picture, and each result told."""
    options = ("--only", "1 viewer", "--size", "320x240", "--seconds", "0.5")
    found = run("viewers", *options, figures=tmp_path / "figures.json")
    (row,) = found.values()
    assert row["frames"]  # type: ignore[index]


def test_pulls_are_spoilt_and_cut(tmp_path: Path) -> None:
    """One of each fault from a folder: refused, and nothing of it is in the store."""
    options = "--n 1 --cuts 1 --size-mb 1 --only folder"
    found = run("pull_faults", *options.split(), figures=tmp_path / "figures.json")["folder"]
    assert isinstance(found, dict)
    assert found["tried"] == found["refused"]
    assert (found["listed"], found["cuts"]) == (0, 1)


@pytest.mark.broker
def test_a_campaign_of_a_few_stations_is_simulated(tmp_path: Path) -> None:
    """All have the bundle in the end, and no wave opened early."""
    options = "--n 8 --kills 0"
    found = run("simulate_campaign", *options.split(), figures=tmp_path / "figures.json")
    assert (found["have"], found["stopped"], found["early"]) == (8, False, 0)


def test_rollouts_are_simulated_beside_what_must_fail(tmp_path: Path) -> None:
    """A few of each row: whether a promise is kept needs thousands."""
    found = run("simulate_rollouts", "--n", "4", figures=tmp_path / "figures.json")
    assert any(line["what"].startswith("must fail") for line in found)  # type: ignore[index]
