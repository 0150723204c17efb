"""What a long run of faults comes to: the same end for each of them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field


@dataclass
class Found:
    """The promises that were not kept, in words; a run adds what it counted."""

    faults: list[str] = field(default_factory=list)


def report(reckoning: Found) -> int:
    """Print it; the exit code."""
    for fault in reckoning.faults:
        sys.stdout.write(f"  {fault}\n")
    sys.stdout.write(f"{reckoning}\n")
    return 1 if reckoning.faults else 0
