"""The folder of rejected parts: pictures with their facts, within a quota.

The picture is kept as the camera gave it, and the boxes stand in the JSON beside it, so that it
can train the next model. Files that this room has not named are left alone.
"""

from __future__ import annotations

import json
import os
import re
from collections import deque
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_daemon.core.values import Detection, Judged

_OURS = re.compile(r"^\d{8}T\d{6}\.\d{3}Z-\d{9,}-\w+\.jpg$")


class RejectedFolder:
    """JPEG and JSON of rejected parts, at most `quota_bytes` of them. One thread writes."""

    def __init__(self, folder: Path, quota_bytes: int) -> None:
        self._folder = folder
        self._quota_bytes = quota_bytes
        self._kept: deque[tuple[str, int]] | None = None  # stems, oldest first, with their bytes
        self._size_bytes = 0
        self.removed = 0
        """Pictures that went to keep to the quota, since the start."""

    def write(self, judged: Judged, jpeg: bytes, _drawn: bytes | None = None) -> Path:
        """Keep one frame; gives the picture's path. Raises OSError."""
        if self._kept is None:
            self._kept = self._scan()
        stem = _stem(judged)
        facts = json.dumps(_facts(judged), ensure_ascii=False).encode()
        self._make_room(len(jpeg) + len(facts))
        self._put(f"{stem}.json", facts)
        self._put(f"{stem}.jpg", jpeg)  # last: a picture that is there has its facts
        self._kept.append((stem, len(jpeg) + len(facts)))
        self._size_bytes += len(jpeg) + len(facts)
        return self._folder / f"{stem}.jpg"

    def tend(self) -> None:
        """Nothing is to be done between pictures."""

    def close(self) -> None:
        """Nothing is open."""

    def recent(self, most: int = 20) -> list[Path]:
        """The newest pictures on the disk, newest first; any thread. Empty without the folder."""
        try:
            names = [name for name in os.listdir(self._folder) if _OURS.match(name)]
        except OSError:
            return []
        return [self._folder / name for name in sorted(names, reverse=True)[:most]]

    def find(self, name: str) -> Path | None:
        """The picture of this file name, where this room has named it so; any thread."""
        return self._folder / name if _OURS.fullmatch(name) else None

    def _scan(self) -> deque[tuple[str, int]]:
        """What an earlier run has left; names sort by time."""
        self._folder.mkdir(parents=True, exist_ok=True)
        kept: deque[tuple[str, int]] = deque()
        for path in sorted(self._folder.iterdir()):
            if _OURS.match(path.name):
                facts = path.with_suffix(".json")
                size = path.stat().st_size + (facts.stat().st_size if facts.exists() else 0)
                kept.append((path.stem, size))
        self._size_bytes = sum(size for _, size in kept)
        return kept

    def _make_room(self, wanted_bytes: int) -> None:
        kept = self._kept
        while kept and self._size_bytes + wanted_bytes > self._quota_bytes:
            stem, size = kept[0]
            (self._folder / f"{stem}.jpg").unlink(missing_ok=True)
            (self._folder / f"{stem}.json").unlink(missing_ok=True)
            kept.popleft()
            self._size_bytes -= size
            self.removed += 1

    def _put(self, name: str, content: bytes) -> None:
        """Whole or not at all. Not fsynced: a picture lost in a power cut is no lost verdict."""
        part = self._folder / f".{name}.part"
        try:
            part.write_bytes(content)
            os.replace(part, self._folder / name)
        except OSError:
            part.unlink(missing_ok=True)
            raise


def _stem(judged: Judged) -> str:
    when = datetime.fromtimestamp(judged.captured_utc, timezone.utc)
    stamp = f"{when:%Y%m%dT%H%M%S}.{when.microsecond // 1000:03d}Z"
    name = re.sub(r"\W", "_", judged.model.name) if judged.model else "none"
    return f"{stamp}-{judged.frame:09d}-{name}"


def _facts(judged: Judged) -> dict[str, Any]:
    """The words of the result topic."""
    when = datetime.fromtimestamp(judged.captured_utc, timezone.utc)
    return {
        "frame": judged.frame,
        "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
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
