"""The GPU's memory, energy and heat by its driver (NVML), without a CUDA context."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import pynvml


@dataclass(frozen=True)
class GpuMemory:
    """Bytes on the device, of every process together."""

    free: int
    used: int
    total: int


class Gpu(Protocol):
    """One device; `None` stands for a box without one."""

    @property
    def name(self) -> str:
        """As the vendor calls it."""

    @property
    def driver(self) -> str:
        """The driver's version."""

    @property
    def capability(self) -> str | None:
        """Its compute capability, such as `8.7`; None where the driver does not say."""

    def memory(self) -> GpuMemory | None:
        """Current memory; None if the device shares the host's memory, or the driver is gone."""

    def energy_j(self) -> float | None:
        """Energy since the driver was loaded; None where the device does not count it."""

    def celsius(self) -> float | None:
        """Heat of the chip; None where the device does not tell."""

    def close(self) -> None:
        """Release the driver. Never raises."""


class NvmlGpu:
    """A device that NVML knows."""

    def __init__(self, handle: Any, name: str, driver: str) -> None:
        self._handle = handle
        self.name = name
        self.driver = driver
        self.capability = _capability(handle)

    def memory(self) -> GpuMemory | None:
        with suppress(pynvml.NVMLError):
            said = pynvml.nvmlDeviceGetMemoryInfo(self._handle)
            return GpuMemory(free=int(said.free), used=int(said.used), total=int(said.total))
        return None

    def energy_j(self) -> float | None:
        with suppress(pynvml.NVMLError):
            return float(pynvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) / 1e3
        return None

    def celsius(self) -> float | None:
        with suppress(pynvml.NVMLError):
            sensor = pynvml.NVML_TEMPERATURE_GPU
            return float(pynvml.nvmlDeviceGetTemperature(self._handle, sensor))
        return None

    def close(self) -> None:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def open_gpu(device: str, environ: Mapping[str, str]) -> Gpu | None:
    """The device that torch calls `cuda:N`; None for `cpu` and where there is no driver."""
    if not device.startswith("cuda:"):
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        handle = _handle(int(device[5:]), environ.get("CUDA_VISIBLE_DEVICES"))
        name = _text(pynvml.nvmlDeviceGetName(handle))
        return NvmlGpu(handle, name, _text(pynvml.nvmlSystemGetDriverVersion()))
    except (pynvml.NVMLError, IndexError, ValueError):
        pynvml.nvmlShutdown()
        return None


def _handle(number: int, visible: str | None) -> Any:
    """CUDA counts the visible devices only, NVML all of them."""
    if visible is None:
        return pynvml.nvmlDeviceGetHandleByIndex(number)
    chosen = [part.strip() for part in visible.split(",") if part.strip()][number]
    if chosen.isdigit():
        return pynvml.nvmlDeviceGetHandleByIndex(int(chosen))
    return pynvml.nvmlDeviceGetHandleByUUID(chosen)


def _capability(handle: Any) -> str | None:
    with suppress(pynvml.NVMLError):
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
        return f"{major}.{minor}"
    return None


def _text(said: str | bytes) -> str:
    return said.decode() if isinstance(said, bytes) else said
