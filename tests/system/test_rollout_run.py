"""Candidates on a line on which everything goes wrong; many frames by `scripts/bench_rollout`."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sim.rollout_reckoning import KEPT_S, Left, Reckoner, arm_again
from tests.sim.rollout_run import Plan, run

FEW = Plan(frames=80, by="frame", story=("daemon", "candidate"))


@pytest.mark.broker
@pytest.mark.timeout(180)
def test_each_part_is_its_arms_whatever_goes_wrong() -> None:
    """One model a part, by its draw; no frame is lost; no share is wider than the disk has it."""
    found = run(FEW)
    assert found.faults == []
    assert found.frames >= FEW.frames
    assert found.lost == found.by_two == found.outside == found.wider == 0
    assert found.done == {"daemon": 1, "candidate": 1}
    assert (found.deaths, found.deaths_in_share) == (1, 1)
    assert found.ends == {"stopped_by_a_guard": 1}
    assert 0 < found.candidates < found.assigned
    assert found.recomputed > 0


# --------------------------------------------------------------------------- the reckoning itself

OLD, NEW = "bottle@1.0.0", "bottle@2.0.0"
MARKS = {OLD: 0.51, NEW: 0.52}
ROLLOUT, BOOT, SHARE = "b-1", "b", 0.5
THEIRS = next(n for n in range(99) if arm_again(ROLLOUT, BOOT, str(n), SHARE)[1] == "candidate")
OURS = next(n for n in range(99) if arm_again(ROLLOUT, BOOT, str(n), SHARE)[1] == "incumbent")


def line(unit: int, share: float = SHARE, **lie: Any) -> dict[str, Any]:
    drawn, arm = arm_again(ROLLOUT, BOOT, str(unit), share)
    return {"id": ROLLOUT, "arm": arm, "share": share, "draw": drawn, "unit": str(unit), **lie}


def model_of(unit: int) -> str:
    return NEW if unit == THEIRS else OLD


def frame(unit: int, **lie: Any) -> dict[str, Any]:
    model = model_of(unit)
    seen = [{"class": "bottle", "confidence": MARKS[model], "box": [0, 0, 1, 1]}]
    told = {"boot": BOOT, "frame": unit, "model": model, "sha256": "0", "verdict": "ok"}
    return {**told, "detections": seen, "rollout": line(unit), **lie}


def part(unit: int, **lie: Any) -> dict[str, Any]:
    told = {"boot": BOOT, "part": unit, "id": None, "model": model_of(unit), "frames": [unit]}
    return {**told, "verdict": "ng", "causes": [], "rollout": line(unit), **lie}


@pytest.fixture
def reckoner() -> Reckoner:
    """In a share of one half."""
    made = Reckoner(MARKS)
    made.event({"type": "stage_entered", "rollout": ROLLOUT, "message": "share 0.5: enough"})
    return made


def ends(reckoner: Reckoner) -> list[str]:
    """What is found out, with a journal that holds what was told."""
    rows = [(BOOT, part(each)) for each in (OURS, THEIRS)]
    return reckoner.end({ROLLOUT: (NEW, OLD)}, rows).faults


def test_an_honest_run_has_no_faults(reckoner: Reckoner) -> None:
    """Also where a part is delivered twice."""
    for unit in sorted((OURS, THEIRS)):
        reckoner.result(frame(unit))
        reckoner.part(part(unit), 10.0)
        reckoner.part(part(unit), 10.1)
    assert [f for f in ends(reckoner) if "never came" not in f] == []
    assert (reckoner.found.assigned, reckoner.found.candidates) == (2, 1)


@pytest.mark.parametrize(
    ("lie", "word"),
    [
        ({"rollout": line(THEIRS, arm="incumbent")}, "was due"),
        ({"rollout": line(THEIRS, draw=0.1)}, "was due"),
        ({"rollout": line(THEIRS, share=0.9)}, "was entered"),
        ({"model": OLD}, "judged it"),
        ({"causes": ["scratch-1"]}, "causes of another model"),
    ],
)
def test_a_part_that_lies_is_found_out(reckoner: Reckoner, lie: dict[str, Any], word: str) -> None:
    reckoner.part(part(THEIRS, **lie), 10.0)
    assert any(word in fault for fault in ends(reckoner))


@pytest.mark.parametrize(
    ("lie", "word"),
    [
        ({"model": OLD, "detections": []}, "its frame"),
        ({"model": OLD}, "others looked"),
        ({"model": None, "verdict": "uninspected", "reason": "worker_lost"}, "no verdict"),
    ],
)
def test_a_frame_that_lies_is_found_out(reckoner: Reckoner, lie: dict[str, Any], word: str) -> None:
    reckoner.result(frame(THEIRS, **lie))
    reckoner.part(part(THEIRS), 10.0)
    assert any(word in fault for fault in ends(reckoner))


def test_a_journal_that_says_another_thing_is_found_out(reckoner: Reckoner) -> None:
    rows = [(BOOT, part(OURS, rollout=line(OURS, arm="candidate")))]
    assert "the journal gives part" in reckoner.end({ROLLOUT: (NEW, OLD)}, rows).faults[0]


@pytest.mark.parametrize(
    ("units", "kept", "told_at", "word"),
    [
        (1, True, 0.0, None),
        (1, False, KEPT_S + 0.1, "has no pair"),
        (1, False, KEPT_S - 0.1, None),
        (0, True, KEPT_S + 0.1, "0 counted"),
        (90, True, 0.0, "90 are counted"),
    ],
    ids=["all is there", "evidence lost", "of the last second", "not counted", "counted twice"],
)
def test_what_a_death_leaves_is_held_against_what_was_told(
    reckoner: Reckoner, units: int, kept: bool, told_at: float, word: str | None
) -> None:
    reckoner.part(part(THEIRS), 10.0 - told_at)
    pairs = frozenset({(BOOT, THEIRS)} if kept else ())
    reckoner.died(10.0, BOOT, Left(ROLLOUT, SHARE, units, pairs))
    reckoner.end({ROLLOUT: (NEW, OLD)}, ())
    assert bool(reckoner.found.faults) is (word is not None)
    assert all(word in fault for fault in reckoner.found.faults if word)


def test_a_share_that_is_wider_than_the_dead_ones_is_found_out(reckoner: Reckoner) -> None:
    """The disk says what may be until a stage is entered."""
    reckoner.died(10.0, BOOT, Left(ROLLOUT, 0.1))
    reckoner.part(part(THEIRS), 11.0)
    assert reckoner.found.wider == 1
