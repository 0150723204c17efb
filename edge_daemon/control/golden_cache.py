"""What models saw on golden images, cached, so that each image is inferred once.

Consecutive versions share most of their golden images. What a version saw when it was proven is
what it sees as the active one: same weights, same box. Inferring it again would cost the line time.
"""

from __future__ import annotations

import threading

from edge_daemon.core.values import Detection
from edge_daemon.models.manifest import GoldenImage, Manifest

MOST_DETECTIONS = 20_000
"""Of all models together, some megabytes; beyond it the model that came first is forgotten."""

Detected = tuple[Detection, ...]


class GoldenCache:
    """By model and image, each identified by its digest; for this boot only."""

    def __init__(self, most_detections: int = MOST_DETECTIONS) -> None:
        self._most = most_detections
        self._lock = threading.Lock()
        self._models: dict[str, dict[str, Detected]] = {}

    def keep(self, model: Manifest, image: GoldenImage, found: Detected) -> None:
        """Remember it; an image without a digest of its own is not kept."""
        if image.sha256 is None:
            return
        with self._lock:
            self._models.setdefault(model.sha256, {})[image.sha256] = found
            while len(self._models) > 1 and self._size() > self._most:
                del self._models[next(iter(self._models))]

    def recall(self, model: Manifest, image: GoldenImage) -> Detected | None:
        """What the model saw; None if it was not asked, or that was dropped."""
        with self._lock:
            return self._models.get(model.sha256, {}).get(image.sha256 or "")

    def _size(self) -> int:
        return sum(1 + len(found) for seen in self._models.values() for found in seen.values())
