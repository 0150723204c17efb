"""Rejected parts as the page shows them: one picture a part, with the boxes that made it ng."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from edge_daemon.core.values import BundleRef
from edge_daemon.documents import MALFORMED
from edge_daemon.frames.rejected import RejectedFolder
from edge_daemon.web.state import FoundLine, RejectedLine

SHOWN = 9
APART_S = 1.5
"""A part stays in the picture for several frames; one of them is enough."""
_LOOKED_AT = 400
_KEPT = 64

_WHEN = re.compile(r"^(\d{8}T\d{6}\.\d{3})Z-")


class Rejects:
    """Reads the folder and the facts beside each picture; one thread at a time asks.

    Args:
        folder: None: pictures are not kept.
        rejects: the classes that make a part ng, by the bundle that judged it.
    """

    def __init__(
        self, folder: RejectedFolder | None, rejects: Callable[[BundleRef], frozenset[str]]
    ) -> None:
        self._folder = folder
        self._rejects = rejects
        self._known: OrderedDict[str, RejectedLine] = OrderedDict()

    @property
    def are_kept(self) -> bool:
        return self._folder is not None

    def lines(self) -> tuple[RejectedLine, ...]:
        """The newest rejected parts, newest first."""
        if self._folder is None:
            return ()
        return tuple(self._line(path) for path in spread(self._folder.recent(_LOOKED_AT)))

    def picture(self, name: str) -> bytes | None:
        """A picture by its file name; None where there is none."""
        return self._folder.read(name) if self._folder else None

    def _line(self, path: Path) -> RejectedLine:
        line = self._known.get(path.name)
        if line is None:
            line = self._known[path.name] = self._read(path)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        return line

    def _read(self, path: Path) -> RejectedLine:
        """The facts beside a picture; they never change."""
        try:
            facts = json.loads(path.with_suffix(".json").read_bytes())
            model = facts["model"]
            bad = self._rejects(BundleRef.parse(model)) if model else frozenset()
            found = tuple(
                FoundLine(
                    label=each["class"],
                    confidence=each["confidence"],
                    box=tuple(each["box"]),
                    rejects=each["class"] in bad,
                    polygon=tuple((x, y) for x, y in each.get("polygon", ())),
                    keypoints=tuple((x, y, sure) for x, y, sure in each.get("keypoints", ())),
                )
                for each in facts["detections"]
            )
        except (OSError, *MALFORMED):
            return RejectedLine(file=path.name)
        return RejectedLine(
            file=path.name,
            time=facts.get("time"),
            model=model,
            product=facts.get("product"),
            job_order=facts.get("job_order"),
            detections=found,
        )


def spread(paths: list[Path]) -> list[Path]:
    """The newest of them, some time apart; `paths` come newest first."""
    chosen: list[Path] = []
    last: float | None = None
    for path in paths:
        at = _taken_at(path)
        if last is None or at is None or last - at >= APART_S:
            chosen.append(path)
            last = at if at is not None else last
        if len(chosen) == SHOWN:
            break
    return chosen


def _taken_at(path: Path) -> float | None:
    found = _WHEN.match(path.name)
    if found is None:
        return None
    when = datetime.strptime(found[1], "%Y%m%dT%H%M%S.%f")
    return when.replace(tzinfo=timezone.utc).timestamp()
