"""The driver's figures where there is a device; nothing, and no fault, where there is none."""

from __future__ import annotations

import os

import pynvml
import pytest

from edge_daemon.host.gpu import Gpu, open_gpu
from tests.sim.gpu import SimGpu


def has_device() -> bool:
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return False
    count: int = pynvml.nvmlDeviceGetCount()
    pynvml.nvmlShutdown()
    return count > 0


def adds_up(gpu: Gpu) -> bool:
    memory = gpu.memory()
    # Newer drivers keep a reserve that is neither free nor used.
    return memory is not None and 0 < memory.free + memory.used <= memory.total


def test_a_cpu_station_asks_no_driver() -> None:
    """`device: cpu` never touches NVML."""
    assert open_gpu("cpu", {}) is None


@pytest.mark.skipif(has_device(), reason="this box has a device")
def test_a_box_without_a_driver_has_no_gpu() -> None:
    """No driver, no exception."""
    assert open_gpu("cuda:0", {}) is None


def test_the_simulator_keeps_the_protocol() -> None:
    """What the tests use elsewhere adds up as the real one does."""
    gpu: Gpu = SimGpu()
    assert adds_up(gpu)
    gpu.close()


@pytest.mark.gpu
@pytest.mark.skipif(not has_device(), reason="no device")
def test_the_device_says_its_name_and_memory() -> None:
    """Name, driver and figures that add up; also by UUID, as containers name it."""
    gpu = open_gpu("cuda:0", {})
    assert gpu is not None
    assert gpu.name
    assert gpu.driver
    assert gpu.capability is not None
    assert float(gpu.capability) >= 3.0
    assert adds_up(gpu)
    pynvml.nvmlInit()
    uuid = pynvml.nvmlDeviceGetUUID(pynvml.nvmlDeviceGetHandleByIndex(0))
    same = open_gpu("cuda:0", {**os.environ, "CUDA_VISIBLE_DEVICES": uuid})
    assert same is not None
    assert same.name == gpu.name
    assert open_gpu("cuda:63", {}) is None
    assert open_gpu("cuda:1", {"CUDA_VISIBLE_DEVICES": uuid}) is None
    gpu.close()
