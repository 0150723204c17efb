"""A tiny untrained network, run once while a worker warms up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Throwaway:
    """The order of `warm`'s own little network; confidence 0 leads it through all of NMS."""

    weights: Path
    device: str
    task: str = "detect"
    imgsz: int | tuple[int, int] = 64
    confidence: float = 0.0
    half: bool = False


NETWORK = """
nc: 1
scales: {n: [0.33, 0.125, 1024]}
backbone:
  - [-1, 1, Conv, [64, 3, 2]]
  - [-1, 1, Conv, [128, 3, 2]]
  - [-1, 1, C2f, [128, True]]
  - [-1, 1, Conv, [256, 3, 2]]
  - [-1, 1, SPPF, [256, 5]]
head:
  - [-1, 1, nn.Upsample, [None, 2, nearest]]
  - [[-1, 2], 1, Concat, [1]]
  - [-1, 1, C2f, [128]]
  - [[4, 7], 1, Detect, [nc]]
"""
