"""Parts on a belt whose truth is known, with all that goes wrong; many by `scripts/bench_parts`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.sim.belt import Belt
from tests.sim.parts_reckoning import Heard, Reckoner
from tests.sim.parts_run import Plan, run

FEW = Plan(parts=26, rate=8.0, swap=4, order=7, worker=10, daemon=15, cut=5, broker=20)


@pytest.mark.broker
@pytest.mark.parametrize("by", ["trigger", "track"])
def test_every_part_has_one_result_whatever_goes_wrong(by: str) -> None:
    """By one model, its own, and none that is late is told as in time."""
    found = run(replace(FEW, by=by, broker_away_s=0.3))
    assert found.faults == []
    assert found.parts >= FEW.parts
    assert found.done.keys() >= {"swap", "order", "worker", "daemon", "cut", "broker"}
    assert found.flawed >= found.found > 0


# --------------------------------------------------------------------------- the reckoning itself

BELT = Belt(1000.0, 0.125)
GOOD = next(n for n in range(10, 99) if BELT.has_part(n) and not BELT.has_scratch(n))
FLAWED = next(n for n in range(10, 99) if BELT.has_part(n) and BELT.has_scratch(n))


def part(number: int, **more: Any) -> dict[str, Any]:
    """An honest result of this place, in a boot of its own."""
    flawed = BELT.has_scratch(number)
    at = f"1970-01-01T00:16:{BELT.passes_at(number) - 960:09.6f}Z"
    return {
        "boot": "b",
        "part": 0,
        "id": f"T-{number}",
        "serial": f"S-{number}",
        "by": "trigger",
        "triggered_at": at,
        "captured_at": at,
        "frames": [7],
        "model": "bottle@1.0.0",
        "product": "BTL",
        "verdict": "ng" if flawed else "ok",
        "causes": ["scratch-1"] if flawed else [],
        "reason": None,
        "age_ms": 20.0,
        "late": False,
        **more,
    }


def frame(number: int, part_number: int, model: str = "bottle@1.0.0") -> dict[str, Any]:
    box = [part_number % 100, part_number // 100, 0, 0]
    return {
        "boot": "b",
        "frame": number,
        "time": f"1970-01-01T00:16:{BELT.passes_at(part_number) - 960:09.6f}Z",
        "model": model,
        "verdict": "ok",
        "detections": [{"class": "code", "box": box}],
        "latency_ms": {"queue": 1.0, "inference": 2.0},
    }


def reckon(*parts: dict[str, Any], frames: tuple[dict[str, Any], ...] = ()) -> list[str]:
    heard = Heard(list(parts), {("b", each["frame"]): each for each in frames})
    heard.announced = {f"T-{number}": number for number in (GOOD, FLAWED)}
    both = {each["id"] for each in parts}
    heard.announced = {name: n for name, n in heard.announced.items() if name in both}
    return Reckoner(BELT, heard, 0.0).triggered().faults


def test_an_honest_run_has_no_faults() -> None:
    """Also where a result is delivered twice."""
    one, two = part(GOOD), part(FLAWED, part=1, frames=[8])
    frames = (frame(7, GOOD), frame(8, FLAWED))
    assert reckon(one, two, json.loads(json.dumps(one)), frames=frames) == []


@pytest.mark.parametrize(
    ("lie", "frames", "word"),
    [
        ({"verdict": "ng"}, (), "without a scratch"),
        ({"age_ms": 401.0}, (), "deadline"),
        ({"late": True}, (), "late"),
        ({"part": 1}, (), "was due"),
        ({"model": "can@1.0.0"}, (), "another product's"),
        ({"causes": ["scratch-2"]}, (), "another model"),
        ({}, (frame(7, GOOD, "bottle@2.0.0"),), "was judged by"),
        ({}, (frame(7, FLAWED),), "shows"),
        ({}, ({**frame(7, GOOD), "latency_ms": {"queue": 900.0}},), "after the deadline"),
        ({"id": "T-5"}, (), "never announced"),
    ],
)
def test_a_lie_is_found_out(
    lie: dict[str, Any], frames: tuple[dict[str, Any], ...], word: str
) -> None:
    """Each thing that must not be, by its word."""
    assert any(word in fault for fault in reckon(part(GOOD, **lie), frames=frames))


def test_two_results_of_one_part_are_found_out() -> None:
    """Whether they agree or not, also by the frames that they share."""
    faults = reckon(part(GOOD), part(GOOD, part=1))
    assert any("has 2 results" in fault for fault in faults)
    assert any("belongs to another part too" in fault for fault in faults)
