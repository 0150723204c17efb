"""Measures pictures as they are captured, on a sample of their pixels.

A grid of some 3600 pixels tells black from lit as well as all of them do, and costs 0.05 ms at
1080p. What costs more is measured only where it decides: a quarter of the rows when the grid has
not changed, the grid's neighbours when the contrast is that of noise, sharpness where a limit is
set.
"""

from __future__ import annotations

import math
import zlib
from collections import deque
from collections.abc import Iterator

import cv2
import numpy as np
import structlog

from edge_daemon.core.picture import (
    NOISE_CONTRAST,
    Flaw,
    Measures,
    PictureLimits,
    Spell,
    flaw_of,
    next_spell,
)
from edge_daemon.core.values import Reason
from edge_daemon.host.memory import Pixels

_log = structlog.get_logger(__name__)

_SAMPLED = 3600
LEARNED_S = 2.0
"""A picture that stood still for longer was frozen, and says nothing of what is usual."""

_LEAST_PAIRS = 500
"""Of fewer pixels the likeness of neighbours says nothing."""

_MOVED_BY = 24
"""Grey levels: more than an encoder changes a still picture by, from one key frame to another."""

_MOVED_SHARE = 0.002
"""Of the grid's values: fewer are no part that moves."""

_NOISE_CHANGE = 0.05
"""Mean change of a pixel between two pictures: noise of a sensor that an encoder let through."""

_NOISE_OF = 20
_NOISY = 16
"""So many of the last pictures must differ: an encoder redraws a still one only now and then."""


class PictureGauge:
    """Looks at the pictures of one camera, in their order. One thread at a time."""

    def __init__(self, limits: PictureLimits) -> None:
        self._limits = limits
        self._sample: bytes = b""
        self._rows: int | None = None  # checksum, once the sample came again
        self._same_since = 0.0
        self._repeats = self._usual_repeats = 0
        self._stillness = _Stillness()
        self.measures: Measures | None = None
        """Of the last picture."""

    def look(self, pixels: Pixels, at: float) -> Flaw | None:
        """What is wrong with this picture, which came in at `at` (monotonic seconds)."""
        step = max(1, round(math.sqrt(pixels.shape[0] * pixels.shape[1] / _SAMPLED)))
        grid = np.ascontiguousarray(pixels[step // 2 :: step, step // 2 :: step])
        means, deviations = cv2.meanStdDev(grid)
        self._compare(pixels, grid.tobytes(), at)
        self._stillness.look(grid, at)
        contrast = float(deviations.max())
        measures = self.measures = Measures(
            mean=float(means.mean()),
            contrast=contrast,
            sharpness=_sharpness(pixels, step) if self._limits.sharpness is not None else None,
            likeness=_likeness(grid, pixels, step) if contrast >= NOISE_CONTRAST else 1.0,
            repeats=self._repeats,
            usual_repeats=self._usual_repeats,
            same_s=at - self._same_since,
            still_s=self._stillness.still_s,
            is_live=self._stillness.is_live,
        )
        return flaw_of(measures, self._limits)

    def _compare(self, pixels: Pixels, sample: bytes, at: float) -> None:
        """Count how often the picture has come again."""
        rows = zlib.crc32(pixels[::4].tobytes()) if sample == self._sample else None
        if rows is not None and self._rows in (None, rows):
            self._repeats += self._rows is not None
        else:
            if at - self._same_since < LEARNED_S:
                self._usual_repeats = max(self._usual_repeats, self._repeats)
            self._repeats, self._same_since = 0, at
        self._sample, self._rows = sample, rows


class _Stillness:
    """Since when nothing has moved, also where an encoder redraws a still picture.

    Measured with x264 at 0.5 to 4 Mbit/s, its constant quality and MPEG-4: redrawn key frames
    change no value by more than 24, and settle within 20 pictures. Noise of a sensor goes on.
    """

    def __init__(self) -> None:
        self._first: Pixels | None = None  # since then nothing has moved
        self._last: Pixels | None = None
        self._since = 0.0
        self._changes: deque[bool] = deque(maxlen=_NOISE_OF)
        self.still_s = 0.0
        self.is_live = False

    def look(self, grid: Pixels, at: float) -> None:
        if self._first is None or self._last is None or self._first.shape != grid.shape:
            self._begin(grid, at)
            return
        change = float(cv2.norm(grid, self._last, cv2.NORM_L1)) / grid.size
        self._last = grid
        if np.count_nonzero(cv2.absdiff(grid, self._first) > _MOVED_BY) > _MOVED_SHARE * grid.size:
            self._begin(grid, at)
            self.is_live = True
            return
        self._changes.append(change >= _NOISE_CHANGE)
        if sum(self._changes) >= _NOISY:
            self.is_live = True
            self._since = at
        self.still_s = at - self._since

    def _begin(self, grid: Pixels, at: float) -> None:
        self._first = self._last = grid
        self._since, self.still_s = at, 0.0
        self._changes.clear()


def _likeness(grid: Pixels, pixels: Pixels, step: int) -> float:
    """Correlation of the grid's pixels with their right neighbours, in the green channel."""
    right = pixels[step // 2 :: step, step // 2 + 1 :: step, 1].astype(np.float32)
    here = grid[:, : right.shape[1], 1].astype(np.float32)
    if here.size < _LEAST_PAIRS:
        return 1.0
    here, right = here - here.mean(), right - right.mean()
    spread = float(np.sqrt((here * here).sum() * (right * right).sum()))
    return float((here * right).sum()) / spread if spread else 1.0


def _sharpness(pixels: Pixels, step: int) -> float:
    """Variance of the second difference along the rows, in the green channel."""
    rows = pixels[step // 2 :: step, :, 1].astype(np.int16)
    return float((rows[:, 2:] - 2 * rows[:, 1:-1] + rows[:, :-2]).var())


class FlawTracker:
    """The spells of bad pictures, one a reason: one thread notes each frame, another one tells."""

    def __init__(self) -> None:
        self._open: dict[Reason, Spell] = {}
        self._news: deque[Flaw | Spell] = deque()

    @property
    def flaws(self) -> tuple[Flaw, ...]:
        """What is wrong at present."""
        return tuple(spell.flaw for spell in tuple(self._open.values()))

    def note(self, flaw: Flaw | None, at: float) -> bool:
        """One more frame; True when a spell began or ended with it, and `news` has something."""
        if flaw is None and not self._open:
            return False
        before, told = self._open, len(self._news)
        after: dict[Reason, Spell] = {}
        for reason in dict.fromkeys((*before, *((flaw.reason,) if flaw else ()))):
            mine = flaw if flaw is not None and flaw.reason is reason else None
            old = before.get(reason)
            new = next_spell(old, mine, at)
            if new is not None:
                after[reason] = new
            if new is None and old is not None:
                self._news.append(old)
            elif new is not None and old is None:
                self._news.append(new.flaw)
        self._open = after
        return len(self._news) > told

    def news(self) -> Iterator[Flaw | Spell]:
        """What is to be told, each once, with its line in the log: a flaw began, a spell ended."""
        while self._news:
            news = self._news.popleft()
            if isinstance(news, Flaw):
                _log.warning("picture_bad", reason=news.reason.value, picture=news.words)
            else:
                reason, lasted_s = news.flaw.reason.value, round(news.lasted_s, 1)
                _log.info("picture_good", reason=reason, frames=news.frames, seconds=lasted_s)
            yield news
