"""Whose fault it was: what a model's own code raises gets its code and its blame."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_daemon.core.values import BundleRef, Detection
from edge_daemon.errors import BoxError, BundleError, Code, EdgeDaemonError
from edge_daemon.models.engine import ModelFacts, ModelOrder, RawResult
from edge_daemon.slots.resident import DETECTIONS_LIMIT, Resident
from edge_daemon.slots.sightings import FAINT_LIMIT
from edge_daemon.slots.slot import LoadOrder

ORDER = LoadOrder(BundleRef("b", "2"), "bb", Path(), Path(), "detect", ("x",), 32, 0.2)
FRAME = np.zeros((4, 6, 3), np.uint8)


class Moody:
    """An engine that raises, or finds too much."""

    def __init__(self, mood: Exception | int) -> None:
        self.mood = mood

    def warm(self) -> None: ...

    def load(self, order: ModelOrder) -> ModelFacts:
        if isinstance(self.mood, Exception):
            raise self.mood
        return ModelFacts(("x",), "detect")

    def infer(self, pixels: object) -> RawResult:
        if isinstance(self.mood, Exception):
            raise self.mood
        return RawResult((Detection("x", 0.9, (0.0, 0.0, 1.0, 1.0)),) * self.mood)

    def gpu_bytes(self) -> int:
        return 0


def caught(mood: Exception | int, *, loading: bool = False) -> EdgeDaemonError:
    resident = Resident(Moody(mood))
    with pytest.raises(EdgeDaemonError) as raised:
        resident.load(ORDER) if loading else resident.judge(FRAME)
    return raised.value


def test_a_model_that_raises_at_an_inference_fails_the_gate() -> None:
    """It was tried, so it is quarantined: unlike a bundle that was refused unread."""
    error = caught(ValueError("shapes"))
    assert isinstance(error, BundleError)
    assert error.code is Code.GATE_FAILED
    assert "shapes" in error.detail


def test_a_model_that_finds_everything_fails_the_gate() -> None:
    """As many as are taken are taken; one more is a fault."""
    assert len(Resident(Moody(DETECTIONS_LIMIT)).judge(FRAME).detections) == DETECTIONS_LIMIT
    assert caught(DETECTIONS_LIMIT + 1).code is Code.GATE_FAILED


def test_a_loader_that_raises_is_the_bundles_fault() -> None:
    """Whatever it raises."""
    error = caught(KeyError("model"), loading=True)
    assert isinstance(error, BundleError)
    assert error.code is Code.LOAD_FAILED


@pytest.mark.parametrize("loading", [True, False])
def test_too_little_memory_is_the_boxs_fault(loading: bool) -> None:
    """The same bundle may fit another day."""
    error = caught(MemoryError(), loading=loading)
    assert isinstance(error, BoxError)
    assert error.code is Code.NO_MEMORY


class Graded:
    """An engine that finds one object at each of some confidences, and reports as it is told."""

    def __init__(self, *confidences: float) -> None:
        self._all = tuple(Detection("x", each, (0.0, 0.0, 1.0, 1.0)) for each in confidences)
        self.asked = 0.0

    def warm(self) -> None: ...

    def load(self, order: ModelOrder) -> ModelFacts:
        self.asked = order.confidence
        return ModelFacts(("x",), "detect")

    def infer(self, pixels: object) -> RawResult:
        return RawResult(tuple(each for each in self._all if not each.confidence < self.asked))

    def gpu_bytes(self) -> int:
        return 0


@pytest.mark.parametrize("floor", [0.1, 0.01, 0.5])
def test_a_floor_tells_more_and_changes_nothing_that_is_judged(floor: float) -> None:
    """The very same detections as without one; what lies below is told apart, the surest first."""
    found = (0.9, 0.05, math.nan, 0.4, 0.2, 0.39, 0.11)
    plain, lowered = Resident(Graded(*found)), Resident(Graded(*found))
    order = replace(ORDER, confidence=0.4)
    plain.load(order)
    lowered.load(replace(order, floor=floor))
    usual, more = plain.judge(FRAME), lowered.judge(FRAME)
    assert [str(each) for each in more.detections] == [str(each) for each in usual.detections]
    assert usual.faint == ()
    expected = [each for each in (0.39, 0.2, 0.11, 0.05) if each >= floor]
    assert [each.confidence for each in more.faint] == expected


def test_a_flood_below_the_recipe_is_no_fault() -> None:
    """However much is faint, the bundle is as good as it was; only the surest are told."""
    resident = Resident(Graded(0.9, *(0.2 + n * 1e-6 for n in range(2 * DETECTIONS_LIMIT))))
    resident.load(replace(ORDER, confidence=0.5, floor=0.1))
    seen = resident.judge(FRAME)
    assert len(seen.detections) == 1
    assert len(seen.faint) == FAINT_LIMIT
