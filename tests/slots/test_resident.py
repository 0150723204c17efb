"""Whose fault it was: what a model's own code raises gets its code and its blame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge_daemon.core.values import BundleRef, Detection
from edge_daemon.errors import BoxError, BundleError, Code, EdgeDaemonError
from edge_daemon.models.engine import ModelFacts, ModelOrder, RawResult
from edge_daemon.slots.resident import DETECTIONS_LIMIT, Resident
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
