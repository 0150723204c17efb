"""Real networks in caged workers on a CUDA device: what they see, take, leave, and break."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.core.agreement import Agreement, agree
from edge_daemon.core.values import BundleRef
from edge_daemon.demo.stage import BUNDLES
from edge_daemon.errors import BoxError, BundleError, Code, SlotLost
from edge_daemon.host.gpu import Gpu, open_gpu
from edge_daemon.host.memory import FrameAddress, FrameMemory, FrameShape
from edge_daemon.models.engine import UltralyticsEngine
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ENGINE, ProcessSlot
from edge_daemon.slots.slot import LoadOrder
from edge_daemon.slots.spare import SparePool
from edge_daemon.slots.starter import Start
from tests.sim.device import wait_until
from tests.sim.gpu_weights import add_elsewhere
from tests.sim.weights import CLASSES, made_elsewhere

DEVICE = "cuda:0"
GENEROUS_S = 100.0  # torch is imported anew in each worker, and makes its CUDA context
HEADROOM_MB = 2048
NOISE_BYTES = 1 << 20  # the driver's own books
DEMO = ("bottle/1.0.0", "bottle/1.1.0", "can/1.0.0")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.model,
    pytest.mark.filterwarnings("default"),
    pytest.mark.timeout(300),
    pytest.mark.skipif(open_gpu(DEVICE, os.environ) is None, reason="no device"),
]


def spec(weights: Path) -> WorkerSpec:
    options = {"threads": 1, "device": DEVICE, "headroom_mb": HEADROOM_MB}
    return WorkerSpec(ENGINE, options, readable=(str(weights.parent), str(BUNDLES)))


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = made_elsewhere(tmp_path_factory.mktemp("weights"), "torchscript", "onnx")
    add_elsewhere(folder)
    return folder


@pytest.fixture(scope="module")
def gpu() -> Iterator[Gpu]:
    gpu = open_gpu(DEVICE, os.environ)
    assert gpu is not None
    yield gpu
    gpu.close()


@pytest.fixture(scope="module", params=[Start.SPAWN, Start.FORK], ids=["spawn", "fork"])
def spares(request: pytest.FixtureRequest, weights: Path) -> Iterator[SparePool]:
    pool = SparePool(spec(weights), request.param, settle_s=0.0, start_timeout_s=GENEROUS_S)
    yield pool
    pool.close()


@pytest.fixture(params=[Start.SPAWN, Start.FORK], ids=["spawn", "fork"])
def lone(request: pytest.FixtureRequest, weights: Path) -> Iterator[ProcessSlot]:
    """A slot beside which no spare takes memory of the device."""
    pool = SparePool(spec(weights), request.param, standing=0, start_timeout_s=GENEROUS_S)
    made = ProcessSlot("A", pool)
    yield made
    made.close()
    pool.close()


@pytest.fixture(scope="module")
def frame() -> FrameAddress:
    memory = FrameMemory.allocate(FrameShape(96, 96), places=1)
    memory.pixels(0)[:] = np.random.default_rng(5).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    return FrameAddress(memory, 0)


def order(weights: Path, imgsz: int = 64, confidence: float = 0.5) -> LoadOrder:
    ref = BundleRef("bottle", "1.0.0")
    return LoadOrder(
        ref, "00", weights.parent, weights, "detect", CLASSES, imgsz, confidence, DEVICE, half=True
    )


def used(gpu: Gpu) -> int:
    memory = gpu.memory()
    assert memory is not None
    return memory.used


@pytest.mark.parametrize("name", ["tiny.pt", "tiny.torchscript"])
def test_a_network_judges_frames_and_files_alike(
    slot: ProcessSlot, weights: Path, frame: FrameAddress, tmp_path: Path, name: str
) -> None:
    """In half precision, in the closed cage, through shared memory."""
    loaded = slot.load(order(weights / name), GENEROUS_S)
    image = tmp_path / "golden.png"
    cv2.imwrite(str(image), frame.pixels)
    found = slot.infer(frame, GENEROUS_S)
    assert loaded.classes == CLASSES
    assert loaded.gpu_bytes > 0
    assert found.finite
    assert len(found.detections) > 10
    assert slot.infer_file(image, GENEROUS_S).detections == found.detections


@pytest.mark.parametrize("bundle", DEMO)
def test_half_precision_sees_what_the_cpu_sees(slot: ProcessSlot, bundle: str) -> None:
    """Trained models on their golden images: the same boxes, classes and confidences."""
    folder, confidence = BUNDLES / bundle, 0.5
    on_gpu = order(folder / "weights.pt", 320, confidence)
    slot.load(on_gpu, GENEROUS_S)
    engine = UltralyticsEngine()
    engine.load(replace(on_gpu, device="cpu", half=False))
    total = Agreement()
    for image in sorted((folder / "golden").glob("*.jpg")):
        wanted = engine.infer(cv2.imread(str(image))).detections
        total += agree(wanted, slot.infer_file(image, GENEROUS_S).detections, confidence)
    assert total.is_proof, total


def test_every_thread_of_a_network_is_in_the_cage(
    slot: ProcessSlot, weights: Path, frame: FrameAddress
) -> None:
    """The driver's threads as well, which are there before the cage is closed."""
    slot.load(order(weights / "tiny.pt"), GENEROUS_S)
    slot.infer(frame, GENEROUS_S)
    tasks = list(Path(f"/proc/{slot.pid}/task").iterdir())
    status = [(task / "status").read_text(encoding="utf-8").splitlines() for task in tasks]
    assert len(tasks) > 1
    assert all({"Seccomp:\t2", "NoNewPrivs:\t1"} <= set(lines) for lines in status)


def test_nan_is_noticed(slot: ProcessSlot, weights: Path, frame: FrameAddress) -> None:
    """Half precision overflows sooner; what is not finite is told."""
    slot.load(order(weights / "nan.pt"), GENEROUS_S)
    assert not slot.infer(frame, GENEROUS_S).finite


def test_what_would_run_on_the_cpu_is_refused(slot: ProcessSlot, weights: Path) -> None:
    """A runtime without CUDA falls back in silence: the settings name a GPU, so it may not."""
    with pytest.raises(BundleError) as refused:
        slot.load(order(weights / "tiny.onnx"), GENEROUS_S)
    assert refused.value.code is Code.INCOMPATIBLE
    assert "cuda:0" in refused.value.message


def test_memory_comes_back_with_the_worker(
    lone: ProcessSlot, weights: Path, frame: FrameAddress, gpu: Gpu
) -> None:
    """Loads leave the device as they found it, to the driver's own noise."""
    levels = []
    for _ in range(5):
        lone.load(order(weights / "tiny.pt"), GENEROUS_S)
        lone.infer(frame, GENEROUS_S)
        with_it = used(gpu)
        lone.free()
        wait_until(lambda level=with_it: used(gpu) < level, "the memory of the worker that ended")
        levels.append((with_it, used(gpu)))
    told = [(with_it >> 20, free >> 20) for with_it, free in levels]
    sys.stdout.write(f"\nMiB on the device with the worker and without: {told}\n")
    assert {abs(free - levels[0][1]) <= NOISE_BYTES for _, free in levels} == {True}
    assert {abs(full - levels[0][0]) <= NOISE_BYTES for full, _ in levels} == {True}


def test_a_greedy_network_leaves_the_headroom_to_the_line(
    slot: ProcessSlot, weights: Path, frame: FrameAddress, gpu: Gpu
) -> None:
    """It is told that there is no memory, and while it tries the active model has its own."""
    slot.load(order(weights / "greedy.torchscript"), GENEROUS_S)
    least, over = [1 << 60], threading.Event()

    def watch() -> None:
        while not over.wait(0.002):
            memory = gpu.memory()
            least[0] = min(least[0], memory.free if memory else 0)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with pytest.raises(BoxError) as refused:
        slot.infer(frame, GENEROUS_S)
    over.set()
    watcher.join()
    sys.stdout.write(f"\nleast free while it tried: {least[0] >> 20} MiB\n")
    assert refused.value.code is Code.NO_MEMORY
    assert least[0] >= (HEADROOM_MB - 64) << 20


def test_a_fault_of_the_device_ends_the_slot_and_nothing_else(
    slot: ProcessSlot, spares: SparePool, weights: Path, frame: FrameAddress
) -> None:
    """A kernel that reads beside its table: the slot is lost, its neighbour judges on, and the
    next load has a fresh context."""
    neighbour = ProcessSlot("B", spares)
    neighbour.load(order(weights / "tiny.pt"), GENEROUS_S)
    before = neighbour.infer(frame, GENEROUS_S).detections
    slot.load(order(weights / "faulty.torchscript"), GENEROUS_S)
    with pytest.raises(SlotLost, match="GPU"):
        slot.infer(frame, GENEROUS_S)
    assert neighbour.infer(frame, GENEROUS_S).detections == before
    slot.load(order(weights / "tiny.pt"), GENEROUS_S)
    assert slot.infer(frame, GENEROUS_S).detections == before
    neighbour.close()


def test_a_killed_worker_is_replaced(
    lone: ProcessSlot, weights: Path, frame: FrameAddress, gpu: Gpu
) -> None:
    """SIGKILL in the middle of its work, and its memory on the device is free again."""
    lone.load(order(weights / "tiny.pt"), GENEROUS_S)
    lone.infer(frame, GENEROUS_S)
    with_it = used(gpu)
    lone.kill()
    with pytest.raises(SlotLost):
        lone.infer(frame, GENEROUS_S)
    wait_until(lambda: used(gpu) < with_it, "the memory of the dead worker")
    lone.load(order(weights / "tiny.pt"), GENEROUS_S)
    assert lone.infer(frame, GENEROUS_S).detections


def test_what_workers_are_forked_from_makes_no_context(
    weights: Path, frame: FrameAddress, gpu: Gpu
) -> None:
    """The parent leaves the device alone, or no child could use it; each child has its own."""
    before = used(gpu)
    pool = SparePool(spec(weights), Start.FORK, standing=0, start_timeout_s=GENEROUS_S)
    slot = ProcessSlot("A", pool)
    slot.load(order(weights / "tiny.pt"), GENEROUS_S)
    assert slot.infer(frame, GENEROUS_S).detections
    with_it = used(gpu)
    slot.free()
    wait_until(lambda: used(gpu) < with_it, "the memory of the worker that ended")
    assert pool.fork_server is not None
    assert pool.fork_server.is_ready
    assert used(gpu) - before <= NOISE_BYTES
    slot.close()
    pool.close()
