"""A real network in a real worker: from an order to detections, and back to nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.core.values import BundleRef
from edge_daemon.errors import BundleError, Code, SlotLost
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ENGINE, ProcessSlot
from edge_daemon.slots.slot import LoadOrder
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.starter import Start
from tests.sim.weights import CLASSES, made_elsewhere

pytestmark = pytest.mark.model

GENEROUS_S = 100.0  # torch is imported anew in each worker that is spawned


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_elsewhere(tmp_path_factory.mktemp("weights"), "onnx", "openvino")


@pytest.fixture(scope="module")
def spares(request: pytest.FixtureRequest, weights: Path) -> Iterator[SparePool]:
    """Workers are forked where the test does not say how they begin."""
    spec = WorkerSpec(ENGINE, {"threads": 2}, readable=(str(weights.parent),))
    start = getattr(request, "param", Start.FORK)
    pool = SparePool(spec, start, settle_s=0.0, start_timeout_s=GENEROUS_S)
    yield pool
    pool.close()


@pytest.fixture(scope="module")
def frame() -> FrameAddress:
    memory = FrameMemory.allocate(FrameShape(96, 128), places=1)
    memory.pixels(0)[:] = np.random.default_rng(5).integers(0, 255, (96, 128, 3), dtype=np.uint8)
    return FrameAddress(memory, 0)


def _order(weights: Path) -> LoadOrder:
    ref = BundleRef("bottle", "1.0.0")
    return LoadOrder(ref, "00", weights.parent, weights, "detect", CLASSES, 64, 0.5)


however_it_begins = pytest.mark.parametrize(
    "spares", [Start.SPAWN, Start.FORK], ids=["spawn", "fork"], indirect=True
)


# The libraries of the last two are imported inside the closed cage.
@however_it_begins
@pytest.mark.parametrize("name", ["tiny.pt", "tiny.onnx", "tiny_openvino_model"])
def test_a_network_judges_frames_and_files_alike(
    slot: ProcessSlot, weights: Path, frame: FrameAddress, tmp_path: Path, name: str
) -> None:
    """A frame in shared memory and the same picture in a file give the same detections."""
    loaded = slot.load(_order(weights / name), GENEROUS_S)
    image = tmp_path / "golden.png"
    cv2.imwrite(str(image), frame.pixels)
    found = slot.infer(frame, GENEROUS_S)
    assert loaded.classes == CLASSES
    assert loaded.load_ms > 0
    assert found.finite
    assert len(found.detections) > 10
    assert slot.infer_file(image, GENEROUS_S).detections == found.detections


@however_it_begins
def test_a_hostile_checkpoint_is_refused_and_its_code_never_runs(
    slot: ProcessSlot, weights: Path
) -> None:
    """The code in a hostile checkpoint is not run, not even in the worker."""
    with pytest.raises(BundleError) as refused:
        slot.load(_order(weights / "hostile_zip.pt"), GENEROUS_S)
    assert refused.value.code is Code.LOAD_FAILED
    assert not (weights / "canary").exists()


@however_it_begins
def test_every_thread_of_a_network_is_in_the_cage(
    slot: ProcessSlot, weights: Path, frame: FrameAddress
) -> None:
    """The thread pools that torch and OpenCV started before the cage closed are held by it."""
    slot.load(_order(weights / "tiny.onnx"), GENEROUS_S)
    slot.infer(frame, GENEROUS_S)
    tasks = list(Path(f"/proc/{slot.pid}/task").iterdir())
    status = [(task / "status").read_text(encoding="utf-8").splitlines() for task in tasks]
    assert len(tasks) > 1
    assert all({"Seccomp:\t2", "NoNewPrivs:\t1"} <= set(lines) for lines in status)


def test_a_network_of_nan_is_told_and_an_interrupted_frame_is_judged_again(
    slot: ProcessSlot, weights: Path, frame: FrameAddress
) -> None:
    """NaN is told apart from an empty scene; a frame whose worker was killed is judged anew."""
    slot.load(_order(weights / "nan.pt"), GENEROUS_S)
    assert not slot.infer(frame, GENEROUS_S).finite
    assert slot.pid is not None
    os.kill(slot.pid, signal.SIGKILL)
    with pytest.raises(SlotLost):
        slot.infer(frame, GENEROUS_S)
    slot.load(_order(weights / "tiny.pt"), GENEROUS_S)
    assert slot.infer(frame, GENEROUS_S).detections


def test_a_lower_floor_changes_nothing_of_what_counts(
    slot: ProcessSlot, weights: Path, frame: FrameAddress
) -> None:
    """The same network, once as usual and once reporting down to almost nothing."""
    order = replace(_order(weights / "tiny.pt"), confidence=0.05)
    slot.load(order, GENEROUS_S)
    usual = slot.infer(frame, GENEROUS_S)
    slot.load(replace(order, floor=0.001), GENEROUS_S)
    more = slot.infer(frame, GENEROUS_S)
    assert more.detections == usual.detections
    assert usual.faint == ()
    assert all(0.001 <= each.confidence < 0.05 for each in more.faint)
