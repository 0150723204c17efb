"""The folder of rejected parts: pictures with their facts, within a quota.

The picture is kept as the camera gave it, and the boxes stand in the JSON beside it, so that it
can train the next model.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from edge_daemon.core.judged import Judged
from edge_daemon.core.values import Detection
from edge_daemon.frames.picture_folder import PictureFolder, stamp
from edge_daemon.messaging.times import iso_utc

_OURS = re.compile(r"^\d{8}T\d{6}\.\d{3}Z-\d{9,}-\w+\.jpg$")


class RejectedFolder(PictureFolder):
    """JPEG and JSON of rejected parts, at most `quota_bytes` of them. One thread writes."""

    def __init__(self, folder: Path, quota_bytes: int) -> None:
        super().__init__(folder, quota_bytes, _OURS)

    def write(self, judged: Judged, jpeg: bytes, _drawn: bytes | None = None) -> Path:
        """Keep one frame; gives the picture's path. Raises OSError."""
        facts = json.dumps(frame_facts(judged), ensure_ascii=False).encode()
        name = re.sub(r"\W", "_", judged.model.name) if judged.model else "none"
        return self.put(f"{stamp(judged.captured_utc)}-{judged.frame:09d}-{name}", jpeg, facts)


def frame_facts(judged: Judged) -> dict[str, Any]:
    """A frame in the words of the result topic."""
    return {
        "frame": judged.frame,
        "time": iso_utc(judged.captured_utc),
        "model": str(judged.model) if judged.model else None,
        "sha256": judged.sha256,
        "product": judged.assignment.product,
        "job_order": judged.assignment.job_order,
        "verdict": judged.verdict.value,
        "detections": [found_facts(each) for each in judged.detections],
    }


def found_facts(each: Detection) -> dict[str, Any]:
    """A detection in the words of the result topic."""
    more = {
        "area_px": each.area_px,
        "polygon": each.polygon,
        "angle_deg": each.angle_deg,
        "keypoints": each.keypoints,
    }
    return {
        "class": each.label,
        "confidence": round(each.confidence, 4),
        "box": list(each.box),
        **{key: value for key, value in more.items() if value is not None},
    }
