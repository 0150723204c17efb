"""What was on the belt, held against what the models found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from edge_daemon.core.golden import iou
from edge_daemon.demo.conveyor import Conveyor

MIN_IOU = 0.5
KINDS = {"scratch_straight": "scratch", "scratch_curved": "scratch"}
"""The conveyor tells kinds apart that are one class to a model."""


class Truth:
    """Recall of each kind of defect by each model, counted as results come in.

    `previewed`: frames that the conveyor drew before the first one that was captured.
    """

    def __init__(self, conveyor: Conveyor) -> None:
        self._conveyor = conveyor
        self.previewed: int | None = None
        self._there: Counter[tuple[str, str]] = Counter()
        self._found: Counter[tuple[str, str]] = Counter()

    def take(self, result: Mapping[str, Any]) -> None:
        """One result as published; uninspected ones say nothing about a model."""
        model = result["model"]
        if model is None or self.previewed is None:
            return
        scene = model.split("@")[0]
        index = result["frame"] + self.previewed
        for part in self._conveyor.truth(index, scene):
            for defect in part.defects:
                label = KINDS.get(defect.kind, defect.kind)
                self._there[model, defect.kind] += 1
                self._found[model, defect.kind] += any(
                    seen["class"] == label and iou(tuple(seen["box"]), defect.box) >= MIN_IOU
                    for seen in result["detections"]
                )

    def recall(self, model: str, kind: str) -> tuple[int, int]:
        """(found, there) in frames in which the defect was in view."""
        return self._found[model, kind], self._there[model, kind]
