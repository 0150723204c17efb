"""A folder of pictures with their facts, within a quota: the oldest go for the newest.

Files that this room has not named are left alone.
"""

from __future__ import annotations

import os
import re
from collections import deque
from contextlib import ExitStack, suppress
from datetime import datetime, timezone
from pathlib import Path

from edge_daemon.host.disk import write_whole


class PictureFolder:
    """JPEG and JSON, at most `quota_bytes` of them. One thread writes, any thread reads.

    Args:
        ours: the file names that this room gives; they sort by time.
    """

    def __init__(self, folder: Path, quota_bytes: int, ours: re.Pattern[str]) -> None:
        self._folder = folder
        self._quota_bytes = quota_bytes
        self._ours = ours
        self._kept: deque[tuple[str, int]] | None = None  # stems, oldest first, with their bytes
        self._size_bytes = 0
        self.removed = 0
        """Pictures that went to keep to the quota, since the start."""

    def put(self, stem: str, jpeg: bytes, facts: bytes) -> Path:
        """Keep one picture; gives its path. Raises OSError."""
        if self._kept is None:
            self._kept = self._scan()
        self._make_room(len(jpeg) + len(facts))
        path = self._folder / f"{stem}.jpg"
        with ExitStack() as undo:  # nobody would remove facts without their picture
            undo.callback(path.with_suffix(".json").unlink, missing_ok=True)
            write_whole(path.with_suffix(".json"), facts)
            write_whole(path, jpeg)  # last: a picture that is there has its facts
            undo.pop_all()
        self._kept.append((stem, len(jpeg) + len(facts)))
        self._size_bytes += len(jpeg) + len(facts)
        return path

    def tend(self) -> None:
        """Nothing is to be done between pictures."""

    def close(self) -> None:
        """Nothing is open."""

    def recent(self, most: int) -> list[Path]:
        """The newest pictures on the disk, newest first. Empty without the folder."""
        try:
            names = [name for name in os.listdir(self._folder) if self._ours.fullmatch(name)]
        except OSError:
            return []
        return [self._folder / name for name in sorted(names, reverse=True)[:most]]

    def read(self, name: str) -> bytes | None:
        """The picture of a file name that this room gave; None where there is none. Any thread."""
        with suppress(OSError):
            return (self._folder / name).read_bytes() if self._ours.fullmatch(name) else None
        return None

    def _scan(self) -> deque[tuple[str, int]]:
        """What an earlier run has left."""
        self._folder.mkdir(parents=True, exist_ok=True)
        kept: deque[tuple[str, int]] = deque()
        for path in sorted(self._folder.iterdir()):
            if self._ours.fullmatch(path.name):
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


def stamp(utc: float) -> str:
    """POSIX seconds as file names begin with them: `20261128T143001.123Z`."""
    when = datetime.fromtimestamp(utc, timezone.utc)
    return f"{when:%Y%m%dT%H%M%S}.{when.microsecond // 1000:03d}Z"
