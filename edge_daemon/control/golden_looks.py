"""What the candidate and the active model see on the golden images, one image at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from edge_daemon.control.comparison import Incumbent
from edge_daemon.control.idle_time import IdleTime
from edge_daemon.core.golden import Golden
from edge_daemon.core.recipe import counted
from edge_daemon.core.values import Detection
from edge_daemon.core.verdicts import Reference
from edge_daemon.errors import Code, SlotLost
from edge_daemon.host.clock import Clock
from edge_daemon.host.memory import FrameAddress
from edge_daemon.models.bundle import Verified
from edge_daemon.models.manifest import GoldenImage, Manifest
from edge_daemon.models.picture_size import picture_size
from edge_daemon.slots.slot import Inference, Loaded, Slot

MOST_DETECTIONS = 20_000
"""Of all models together, some megabytes; beyond it the model that came first is forgotten."""

IDLE_TASK_S = 1.0
"""If the active model takes longer for a picture that is not of the line, it is asked no more."""

ASKED_PIXELS = 16_000_000
"""Of larger golden images it is not asked at all: the line's own frames are no larger."""

Detected = tuple[Detection, ...]

NOT_SEEN: Mapping[int, Detected] = {}

_R = TypeVar("_R")


@dataclass(frozen=True)
class Candidate:
    """What is to be proven, where it is loaded, and what it is compared with."""

    slot: Slot
    verified: Verified
    loaded: Loaded
    incumbent: Incumbent | None
    reference: Reference | None = None


@dataclass(frozen=True)
class Deadline:
    """When a proof must be done."""

    at: float
    clock: Clock

    def run(self, work: Callable[[float], _R]) -> _R:
        """One call to a slot within the time that is left; a model that hangs is killed."""
        left_s = self.at - self.clock.now().at
        if left_s <= 0:
            raise _late()
        try:
            return work(left_s)
        except SlotLost as lost:
            if self.clock.now().at < self.at:
                raise
            raise _late() from lost


class GoldenCache:
    """What models saw on golden images, so that each image is inferred once; for this boot only.

    By model and image, each identified by its digest. Consecutive versions share most of their
    images. What a version saw when it was proven is what it sees as the active one: same weights,
    same box. Inferring it again would cost the line time.
    """

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


class GoldenLooks:
    """One candidate's golden images.

    Args:
        on_record: what the candidate saw on these images earlier; for them the active model is not
            asked anew.
    """

    def __init__(
        self,
        gaps: IdleTime,
        cache: GoldenCache,
        candidate: Candidate,
        deadline: Deadline,
        on_record: Mapping[int, Detected] = NOT_SEEN,
    ) -> None:
        self._gaps = gaps
        self._cache = cache
        self._candidate = candidate
        self._deadline = deadline
        self._on_record = on_record
        verified = candidate.verified
        self._left = enumerate(zip(verified.manifest.golden, verified.golden, strict=True))
        self._seen: list[Golden] = []

    def one(self) -> bool:
        """Look at the next image; False where there is none left."""
        number, (image, path) = next(self._left, (0, (None, None)))
        if image is None or path is None:
            return False
        candidate = self._candidate
        if number in self._on_record:
            found, usual = self._on_record[number], self._recalled(image)
        else:
            usual, found = self._both(image, path)
            if usual is None:  # the active model is lost, or slow
                self._candidate = replace(candidate, incumbent=None)
        self._cache.keep(candidate.verified.manifest, image, found)
        if usual is not None and candidate.incumbent is not None:
            usual = counted(usual, candidate.incumbent.manifest.recipe)
        self._seen.append(Golden(image.expectation, found, usual, image.sha256, picture_size(path)))
        return True

    def rest(self) -> tuple[Golden, ...]:
        """Look at all that are left; what was seen on every image."""
        while self.one():
            pass
        if self._candidate.incumbent is not None:
            return tuple(self._seen)
        # Where the active model did not see every image, nothing is compared.
        return tuple(replace(golden, incumbent=None) for golden in self._seen)

    def _recalled(self, image: GoldenImage) -> Detected | None:
        incumbent = self._candidate.incumbent
        return self._cache.recall(incumbent.manifest, image) if incumbent else None

    def _both(self, image: GoldenImage, path: Path) -> tuple[Detected | None, Detected]:
        """What the active model, if there is one, and the candidate see; within one gap of the
        line.

        A foreign file is decoded by the candidate's worker. Where the active model must be asked,
        it gets pixels, as for a frame.
        """
        incumbent, slot = self._candidate.incumbent, self._candidate.slot
        usual, run = self._recalled(image), self._deadline.run
        picture = None
        if incumbent is not None and usual is None and not _is_large(path):
            picture = run(partial(slot.decode, path))
        if incumbent is None or picture is None:
            self._gaps.begin(slot)
            return usual, run(partial(slot.infer_file, path)).detections
        try:
            address = FrameAddress(picture, 0)
            answer = ask(self._gaps, incumbent, address)
            if answer is None:
                self._gaps.begin(slot)
            else:
                usual = answer.detections
                self._cache.keep(incumbent.manifest, image, usual)
            return usual, run(partial(slot.infer, address)).detections
        finally:
            picture.close()


def ask(gaps: IdleTime, incumbent: Incumbent | None, picture: FrameAddress) -> Inference | None:
    """The active model's answer between two frames; None if there is none, or it came late."""
    if incumbent is None:
        return None
    return gaps.ask(incumbent.manifest.ref, lambda slot: slot.infer_picture(picture, IDLE_TASK_S))


def _is_large(path: Path) -> bool:
    width, height = picture_size(path) or (0, 0)
    return width * height > ASKED_PIXELS


def _late() -> SlotLost:
    return SlotLost(
        "The gate was not done within its time.",
        hint="Raise gate.timeout_s, or use fewer golden images.",
        code=Code.LOAD_TIMEOUT,
    )
