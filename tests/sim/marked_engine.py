"""An engine that leaves its mark: each model's detections carry a confidence of its own.

So a subscriber can tell from a result which weights really looked at the frame, whatever the
result says of itself.
"""

from __future__ import annotations

import json
import time

from edge_daemon.core.values import Detection
from edge_daemon.models.engine import ModelFacts, ModelOrder, Sight
from tests.sim.engine import Pixels, SimEngine


class MarkedEngine(SimEngine):
    """The weights name the mark, and how long a look takes."""

    def __init__(self, threads: int = 1, device: str = "cpu") -> None:
        super().__init__()
        self._mark = 0.0
        self._pace_s = 0.0

    def load(self, order: ModelOrder) -> ModelFacts:
        facts = super().load(order)
        weights = json.loads(order.weights.read_text(encoding="utf-8"))
        self._mark, self._pace_s = weights["mark"], weights["pace_ms"] / 1e3
        return facts

    def infer(self, pixels: Pixels) -> Sight:
        seen = super().infer(pixels)
        time.sleep(self._pace_s)
        marked = (Detection(d.label, self._mark, d.box) for d in seen.detections)
        return Sight(tuple(marked), finite=seen.finite)


def marked_weights(mark: float, classes: tuple[str, ...], pace_ms: float = 2.0) -> bytes:
    """A weights file for it; name it `weights-good.pt`, or after another `Behaviour`."""
    facts = {"classes": classes, "task": "detect", "mark": mark, "pace_ms": pace_ms}
    return json.dumps(facts).encode()
