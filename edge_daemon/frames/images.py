"""Pictures for people: the live view with boxes.

The lane only offers frames; a thread of their own draws and encodes them, one at a time. While
there is no viewer, it costs nothing; a slow viewer costs pictures, never frames.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import structlog

from edge_daemon.core.judged import Judged
from edge_daemon.core.values import Verdict
from edge_daemon.errors import CameraError
from edge_daemon.frames.captured import Captured
from edge_daemon.frames.ring import Ring
from edge_daemon.host.box import yield_to_judging
from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.host.memory import Pixels

_log = structlog.get_logger(__name__)

Colour = tuple[int, int, int]
"""Blue, green and red, 0 to 255."""

_COLOURS = {
    Verdict.OK: (80, 175, 76),
    Verdict.NG: (54, 67, 244),
    Verdict.EMPTY: (200, 180, 90),
    Verdict.UNINSPECTED: (158, 158, 158),
}
_BOX = (0, 193, 255)
_ZONE = (235, 160, 60)
_LEAST_SURE = 0.5
"""Key points of a lower confidence are guesses at what is hidden, and are not drawn."""
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_VIEW_QUALITY = 80
_COARSE = (_VIEW_QUALITY, 60, 40)
_LEAST_WIDTH = 160
_LINGER_S = 3.0  # a viewer who asked so long ago has gone
_PERIOD_S = 0.1  # between two pictures, for all viewers together


def annotate(pixels: Pixels, judged: Judged) -> Pixels:
    """A copy of the frame with the recipe's zones, what was found, and its verdict on it."""
    picture: Pixels = pixels.copy()
    scale = max(0.4, picture.shape[0] / 1000)
    line = max(1, round(2 * scale))
    height, width = picture.shape[:2]
    rules = judged.recipe.rules if judged.recipe else ()
    for zone in dict.fromkeys(rule.zone for rule in rules if rule.zone is not None):
        outline(picture, [(x * width, y * height) for x, y in zone.points], _ZONE, line)
    for each in judged.detections:
        x1, y1, x2, y2 = (round(value) for value in each.box)
        outline(picture, each.polygon or ((x1, y1), (x2, y1), (x2, y2), (x1, y2)), _BOX, line)
        for x, y, confidence in each.keypoints or ():
            if confidence >= _LEAST_SURE:
                cv2.circle(picture, (round(x), round(y)), 2 * line, _BOX, cv2.FILLED)
        label = f"{each.label} {each.confidence:.2f}"
        # what is true of the whole picture stands at its foot: the verdict stands at its head
        at = (x1, y1) if each.top5 is None else (0, height)
        _write(picture, label, at, scale, _BOX)
    why = judged.reason.value if judged.reason else ""
    words = f"{judged.verdict.value.upper()}  {judged.model or why}"
    _write(picture, f"{words}  #{judged.frame}", (0, 0), 1.4 * scale, _COLOURS[judged.verdict])
    return picture


def outline(
    picture: Pixels, points: Sequence[tuple[float, float]], colour: Colour, line: int
) -> None:
    """Draw a closed line through these points, `line` pixels wide; `colour` is BGR."""
    corners = np.array([[round(x), round(y)] for x, y in points], np.int32)
    cv2.polylines(picture, [corners], isClosed=True, color=colour, thickness=line)


def _write(picture: Pixels, text: str, at: tuple[int, int], scale: float, back: Colour) -> None:
    """Black on a coloured ground whose lower left corner is `at`, pushed into the picture."""
    (width, height), below = cv2.getTextSize(text, _FONT, scale, 1)
    x = min(max(0, at[0]), max(0, picture.shape[1] - width))
    y = max(height + below, at[1])
    cv2.rectangle(picture, (x, y - height - below), (x + width, y), back, cv2.FILLED)
    cv2.putText(picture, text, (x, y - below // 2), _FONT, scale, (0, 0, 0), 1, cv2.LINE_AA)


def narrowed(pixels: Pixels, width: int | None) -> Pixels:
    """The picture no wider than this, in its proportions.

    Linear: from 1080 to 720 lines it takes 4 ms and saves 6 of encoding; by area it takes 11.
    """
    if width is None or pixels.shape[1] <= width:
        return pixels
    height = max(1, round(pixels.shape[0] * width / pixels.shape[1]))
    smaller = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(smaller, np.uint8)


def encode(pixels: Pixels, quality: int = _VIEW_QUALITY) -> bytes:
    """The frame as JPEG. Raises ValueError when it is no picture."""
    good, data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not good:
        raise ValueError("the frame cannot be encoded as JPEG")
    return bytes(data)


def encode_as(suffix: str, pixels: Pixels) -> bytes:
    """The picture as a file of this suffix, such as `.png`. Raises ValueError for one unknown."""
    if not suffix or not cv2.haveImageWriter(suffix):
        raise ValueError(f"no picture is written as {suffix or 'a file without a suffix'}")
    return bytes(cv2.imencode(suffix, pixels)[1])


def reduced(jpeg: bytes, most_bytes: int) -> bytes | None:
    """The picture within so many bytes: coarser, then smaller. None: it would show nothing."""
    if len(jpeg) <= most_bytes:
        return jpeg
    pixels = np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)
    while pixels.shape[1] >= _LEAST_WIDTH:
        for quality in _COARSE:
            coarser = encode(pixels, quality)
            if len(coarser) <= most_bytes:
                return coarser
        pixels = narrowed(pixels, pixels.shape[1] * 3 // 4)
    return None


@dataclass(frozen=True)
class Picture:
    """One annotated frame as JPEG; `serial` counts the pictures, `frame` is the frame's number."""

    serial: int
    frame: int
    verdict: Verdict
    jpeg: bytes


class Pictures:
    """Takes the frames that were asked for.

    Args:
        ring: holds a frame while it is drawn and encoded.
        view_width: pixels, at most, of a live picture; a snapshot has all that the camera gave.
        now: monotonic seconds.
    """

    def __init__(
        self,
        ring: Ring,
        *,
        view_width: int | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ring = ring
        self._view_width = view_width
        self._whole_wanted = False
        self._now = now
        # The one frame that is held: the lane puts it where there is none, the thread takes it.
        self._job: tuple[Judged, Captured] | None = None
        self._work = threading.Event()
        self._stopping = False
        self._drawn = threading.Condition()  # guards what follows
        self._latest: Picture | None = None
        self._wanted_until = float("-inf")
        self._due_at = float("-inf")
        self._boundary = ErrorBoundary(_log, "picture_failed")
        self._thread = threading.Thread(target=self._run, name="pictures", daemon=True)

    # ---------------------------------------------------------------------- the lane's side

    def offer(self, judged: Judged, captured: Captured) -> None:
        """Here is a judged frame, still leased to the caller: take it along if it is wanted.

        Costs microseconds and never raises or waits. While one frame is held, others pass by.
        """
        if self._wanted_until == float("-inf") or captured.address is None or self._stopping:
            return
        if self._job is not None or not self._due_at <= self._now() < self._wanted_until:
            return
        self._ring.retain(captured)
        self._job = judged, captured
        self._work.set()

    # -------------------------------------------------------------------- the viewers' side

    def snapshot(self, timeout_s: float = 2.0) -> bytes:
        """The next judged frame as an annotated JPEG; CameraError when none comes in time."""
        with self._drawn:
            last = self._latest.serial if self._latest else 0
            self._due_at = float("-inf")
            self._whole_wanted = True
        picture = self.watch(last, timeout_s)
        if picture is not None and self._whole_wanted:  # it was in hand already, for a viewer
            picture = self.watch(picture.serial, timeout_s)
        if picture is None:
            raise CameraError(
                f"No frame was judged within {timeout_s:g} s, so there is no picture.",
                hint="`edge-daemon status` tells whether the camera or the model is missing.",
            )
        return picture.jpeg

    def watch(self, after: int, timeout_s: float) -> Picture | None:
        """The newest picture after serial `after`, waiting for it; None when none comes in time.

        A viewer calls it again and again; when all stop asking, nothing more is drawn.
        """
        with self._drawn:
            self._wanted_until = max(self._wanted_until, self._now() + timeout_s + _LINGER_S)
            self._drawn.wait_for(
                lambda: (
                    self._stopping or (self._latest is not None and self._latest.serial > after)
                ),
                timeout_s,
            )
            latest = self._latest
            return latest if latest is not None and latest.serial > after else None

    # ------------------------------------------------------------------------- the thread

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Finish the frame in hand and end. The lane must have stopped offering."""
        with self._drawn:
            self._stopping = True
            self._drawn.notify_all()
        self._work.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        yield_to_judging()
        while True:
            self._work.wait()
            self._work.clear()
            if self._job is not None:
                judged, captured = self._job
                with self._boundary.turn():  # a picture is not worth a thread
                    self._show(judged, captured)
                self._ring.release(captured)
                self._job = None
            if self._stopping:
                return

    def _show(self, judged: Judged, captured: Captured) -> None:
        assert captured.address is not None
        pixels = captured.address.pixels
        whole, self._whole_wanted = self._whole_wanted, False
        width = None if whole else self._view_width
        jpeg = encode(narrowed(annotate(pixels, judged), width))
        with self._drawn:
            serial = self._latest.serial + 1 if self._latest else 1
            self._latest = Picture(serial, judged.frame, judged.verdict, jpeg)
            self._due_at = self._now() + _PERIOD_S
            if self._now() >= self._wanted_until:
                self._wanted_until = float("-inf")
            self._drawn.notify_all()
