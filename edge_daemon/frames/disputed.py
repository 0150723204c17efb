"""Pictures of parts on which two models disagree: one of each, for the person who labels it.

A frame's picture is encoded when both have judged the frame, and goes to the disk when its part is
known to be one on which they disagree. Until then it waits here, in memory. What each model said
lies in the JSON beside it.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict, deque
from pathlib import Path
from typing import Any

from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.values import By
from edge_daemon.core.rollout.opinions import both
from edge_daemon.core.rollout.values import Opinion, Outcome, Pair
from edge_daemon.core.values import Verdict
from edge_daemon.frames.picture_folder import PictureFolder, stamp
from edge_daemon.frames.rejected import found_facts

MOST_FRAMES = 32
"""Pictures that wait for their part; while so many do, no more are made."""
MOST_PAIRS = 256
"""Parts that wait for a picture that is still encoded; the oldest are left without one."""

_OURS = re.compile(r"\d{8}T\d{6}\.\d{3}Z-\w+-\d{9,}\.jpg")
_DISPUTED = (Outcome.ONLY_INCUMBENT, Outcome.ONLY_CANDIDATE)


def is_disputed(judged: Judged, by: By = By.FRAME) -> bool:
    """Whether both models judged this frame, and its part may be one on which they disagree.

    Of several parts in view each may reject another one.
    """
    if judged.shadow is None:
        return False
    verdicts = {each.verdict for each in both(judged) if each is not None}
    return Verdict.NG in verdicts and (len(verdicts) > 1 or by is By.TRACK)


class DisputedFolder(PictureFolder):
    """At most `quota_bytes` of pictures. `paired` may be called by any thread."""

    def __init__(self, folder: Path, quota_bytes: int) -> None:
        super().__init__(folder, quota_bytes, _OURS)
        self._frames: OrderedDict[int, tuple[Judged, bytes]] = OrderedDict()
        self._inbox: deque[Pair] = deque(maxlen=MOST_PAIRS)
        self._waiting: OrderedDict[int, Pair] = OrderedDict()  # by each frame of theirs
        self._passed = 0

    @property
    def has_room(self) -> bool:
        """Whether one picture more may wait; any thread."""
        return len(self._frames) < MOST_FRAMES

    def paired(self, pair: Pair) -> None:
        """A part that both judged; the next ones began later, but for one that waited for a look.

        Costs microseconds.
        """
        if pair.outcome in _DISPUTED:
            self._inbox.append(pair)
        self._passed = pair.frames[0]

    def write(self, judged: Judged, jpeg: bytes, _drawn: bytes | None = None) -> None:
        """The picture of a frame, whose part may be known or not. Raises OSError."""
        pair = self._waiting.get(judged.frame)
        if pair is not None:
            self._keep(pair, judged, jpeg)
        elif self.has_room and not self._has_one_of(judged):
            self._frames[judged.frame] = (judged, jpeg)

    def tend(self) -> None:
        """Pairs that came meanwhile. Raises OSError."""
        passed = self._passed
        while self._inbox:
            pair = self._inbox.popleft()
            found = next((frame for frame in pair.frames if frame in self._frames), None)
            if found is not None:
                self._keep(pair, *self._frames[found])
            else:
                self._waiting.update(dict.fromkeys(pair.frames, pair))
            while len(self._waiting) > MOST_PAIRS:
                self._waiting.popitem(last=False)
        for frame in [frame for frame in self._frames if frame < passed]:
            del self._frames[frame]  # no part that is still to come has it

    def _has_one_of(self, judged: Judged) -> bool:
        """Whether a picture of the same part waits already."""
        if judged.assigned is None:
            return False
        waiting = (each.assigned for each, _ in self._frames.values())
        return any(each is not None and each.unit == judged.assigned.unit for each in waiting)

    def _keep(self, pair: Pair, judged: Judged, jpeg: bytes) -> None:
        for frame in pair.frames:
            self._frames.pop(frame, None)
            self._waiting.pop(frame, None)
        name = f"{stamp(pair.captured_utc)}-{pair.boot}-{pair.part:09d}"
        facts = json.dumps(_facts(pair, judged), ensure_ascii=False).encode()
        self.put(name, jpeg, facts)


def _facts(pair: Pair, judged: Judged) -> dict[str, Any]:
    """Verdicts are the part's, what was found is the frame's."""
    of_frame = both(judged)
    said = zip(("incumbent", "candidate"), (pair.incumbent, pair.candidate), of_frame, strict=True)
    return {
        "rollout": pair.rollout,
        "boot": pair.boot,
        "part": pair.part,
        "id": pair.id,
        "utc": pair.captured_utc,
        "frame": judged.frame,
        "product": pair.product,
        **{who: _said(part, frame) for who, part, frame in said},
    }


def _said(part: Opinion, frame: Opinion | None) -> dict[str, Any]:
    found = () if frame is None else frame.detections
    rules = part.recipe.rules if part.recipe is not None else ()
    return {
        "model": str(part.model),
        "verdict": part.verdict.value,
        "causes": list(part.causes),
        "rejecting": sorted({rule.label for rule in rules if rule.id in part.causes}),
        "detections": [found_facts(each) for each in found],
    }
