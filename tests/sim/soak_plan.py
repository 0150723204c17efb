"""What a soak does, and what came of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from tests.sim.proctree import Hold, slopes


@dataclass
class Plan:
    """What runs, and for how long."""

    minutes: float = 0.0
    swaps: int = 0
    failed_loads: int = 0
    real: bool = False
    seed: int = 1
    kills: int = 0
    """Among the swaps: of the judging worker, the fork server and a prepared worker, in turns."""


@dataclass
class Reckoning:
    """What came of a run."""

    faults: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[float, Hold]] = field(default_factory=list)
    unit: str = "minute"
    longest_s: tuple[float, str] = (0.0, "")
    """Until verdicts came again after a fault, and which."""
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        told = ", ".join(f"{count} {name}" for name, count in sorted(self.faults.items()))
        ended = ", ".join(f"{count} {name}" for name, count in sorted(self.outcomes.items()))
        first, last = self.samples[0][1], self.samples[-1][1]
        grown = ", ".join(
            f"{name} {getattr(first, name):.0f} -> {getattr(last, name):.0f} "
            f"({slope:+.3f} a {self.unit})"
            for name, slope in slopes(self.samples).items()
        )
        return (
            f"{told or 'no faults'}; requests: {ended}; longest without a verdict "
            f"{self.longest_s[0]:.1f} s ({self.longest_s[1] or 'none'}); {grown}; "
            f"{len(self.wrong)} things wrong"
        )
