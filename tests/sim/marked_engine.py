"""An engine that leaves its mark: each model's detections carry a confidence of its own.

So a subscriber can tell from a result which weights really looked at the frame, whatever the
result says of itself. It can be mortal: `lives` inferences, and the next one kills its process;
and what `DOOMED` in the environment names (marks, with commas) kills it as soon as it is loaded.
"""

from __future__ import annotations

import json
import os
import signal
import time

from edge_daemon.core.values import Detection
from edge_daemon.models.engine import ModelFacts, ModelOrder, RawResult
from tests.sim.engine import Pixels, SimEngine

DOOMED = "EDGE_SIM_DOOMED"
KNOWN_SHAPES = {(120, 160), (480, 640)}
"""The camera's pictures, and what the daemon asks with while none comes."""


class MarkedEngine(SimEngine):
    """The weights name the mark, how long a look takes, and how many there may be."""

    def __init__(self, threads: int = 1, device: str = "cpu", headroom_mb: int = 0) -> None:
        super().__init__()
        self._mark = 0.0
        self._pace_s = 0.0
        self._lives: int | None = None
        self._strange_s = 0.0

    def load(self, order: ModelOrder) -> ModelFacts:
        facts = super().load(order)
        weights = json.loads(order.weights.read_text(encoding="utf-8"))
        self._mark, self._pace_s = weights["mark"], weights["pace_ms"] / 1e3
        self._lives = weights["lives"]
        self._strange_s = weights["strange_s"]
        if str(self._mark) in os.environ.get(DOOMED, "").split(","):
            os.kill(os.getpid(), signal.SIGKILL)
        return facts

    def infer(self, pixels: Pixels) -> RawResult:
        if self._lives is not None:
            self._lives -= 1
            if self._lives < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        seen = super().infer(pixels)
        is_strange = pixels.shape[:2] not in KNOWN_SHAPES
        time.sleep(self._strange_s if is_strange else self._pace_s)
        marked = (Detection(d.label, self._mark, d.box) for d in seen.detections)
        return RawResult(tuple(marked), finite=seen.finite)


def marked_weights(
    mark: float,
    classes: tuple[str, ...],
    pace_ms: float = 2.0,
    lives: int | None = None,
    strange_s: float = 0.0,
) -> bytes:
    """A weights file for it; name it `weights-good.pt`, or after another `Behaviour`.

    `strange_s`: how long it takes for a picture that has another shape than those.
    """
    facts = {
        "classes": classes,
        "task": "detect",
        "mark": mark,
        "pace_ms": pace_ms,
        "lives": lives,
        "strange_s": strange_s,
    }
    return json.dumps(facts).encode()
