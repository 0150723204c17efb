"""Measures pictures as they are captured, on a sample of their pixels.

A grid of some 3600 pixels tells black from lit and still from moving as well as all of them do, and
costs 0.05 ms at 1080p. Sharpness needs neighbours, so it is measured along whole rows of the grid,
and only where somebody has set a limit for it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

import cv2
import numpy as np
import structlog

from edge_daemon.core.picture import Flaw, Measures, PictureLimits, Spell, flaw_of, next_spell
from edge_daemon.core.values import Reason
from edge_daemon.host.memory import Pixels

_log = structlog.get_logger(__name__)

_SAMPLED = 3600


class PictureGauge:
    """Looks at the pictures of one camera, in their order. One thread at a time."""

    def __init__(self, limits: PictureLimits) -> None:
        self._limits = limits
        self._sample: bytes = b""
        self._same_since = 0.0
        self.measures: Measures | None = None
        """Of the last picture."""

    def look(self, pixels: Pixels, at: float) -> Flaw | None:
        """What is wrong with this picture, which came in at `at` (monotonic seconds)."""
        step = max(1, round(math.sqrt(pixels.shape[0] * pixels.shape[1] / _SAMPLED)))
        grid = np.ascontiguousarray(pixels[step // 2 :: step, step // 2 :: step])
        means, deviations = cv2.meanStdDev(grid)
        sample = grid.tobytes()
        if sample != self._sample:
            self._sample, self._same_since = sample, at
        measures = self.measures = Measures(
            mean=float(means.mean()),
            contrast=float(deviations.max()),
            sharpness=_sharpness(pixels, step) if self._limits.sharpness is not None else None,
            same_s=at - self._same_since,
        )
        return flaw_of(measures, self._limits)


def _sharpness(pixels: Pixels, step: int) -> float:
    """Variance of the second difference along the rows, in the green channel."""
    rows = pixels[step // 2 :: step, :, 1].astype(np.int16)
    return float((rows[:, 2:] - 2 * rows[:, 1:-1] + rows[:, :-2]).var())


class Spells:
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
