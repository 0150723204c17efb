"""A device whose memory the test fills."""

from __future__ import annotations

from edge_daemon.host.gpu import GpuMemory


class SimGpu:
    """Implements `Gpu`; `lost` makes its driver silent."""

    name = "Simulated GPU"
    driver = "0.0"
    capability = "8.7"

    def __init__(self, total: int = 8 << 30, used: int = 1 << 30) -> None:
        self.total = total
        self.used = used
        self.lost = False
        self.closed = False
        self.joules: float | None = None
        self.heat_c: float | None = None

    def memory(self) -> GpuMemory | None:
        return None if self.lost else GpuMemory(self.total - self.used, self.used, self.total)

    def energy_j(self) -> float | None:
        return self.joules

    def celsius(self) -> float | None:
        return self.heat_c

    def close(self) -> None:
        self.closed = True
