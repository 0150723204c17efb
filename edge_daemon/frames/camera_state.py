"""What is known of the camera: its state, who is told of it, and how long it is waited for."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from edge_daemon.config import CameraSettings
from edge_daemon.core.picture import Flaw, Measures, Spell
from edge_daemon.core.values import Instant
from edge_daemon.errors import CameraError
from edge_daemon.host.memory import FrameShape


class CameraPhase(str, Enum):
    """What the status topic says of the camera."""

    CONNECTING = "connecting"
    ONLINE = "online"
    LOST = "lost"
    ENDED = "ended"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class CameraState:
    """The camera as it is now. `fps` is measured while online; `source` has no credentials."""

    state: CameraPhase
    since: Instant
    source: str = ""
    error: str | None = None
    hint: str = ""
    width: int | None = None
    height: int | None = None
    fps: float | None = None
    measures: Measures | None = None  # of the last picture
    flaws: tuple[Flaw, ...] = ()  # why frames are no evidence at present
    remarks: tuple[str, ...] = ()  # settings that the camera did not take


class CameraListener(Protocol):
    """Receives reports of the supervising thread, one call at a time."""

    def camera_up(self, shape: FrameShape, fps: float | None) -> None:
        """The first frame came in, or the first of another shape; `fps` is the nominal rate."""

    def camera_lost(self, error: CameraError) -> None:
        """No frames come any more (or still none, for another reason); it is being tried again."""

    def camera_ended(self) -> None:
        """The source came to its end, and there will be no more frames."""

    def picture_bad(self, flaw: Flaw) -> None:
        """Frames are no evidence from now on; told once for each spell."""

    def picture_good(self, spell: Spell) -> None:
        """That spell of bad pictures is over."""


@dataclass(frozen=True)
class Patience:
    """Time limits in seconds."""

    open_timeout_s: float = 10.0
    read_timeout_s: float = 5.0
    margin_s: float = 2.0  # beyond the driver's own timeout, before its thread is left behind
    first_retry_s: float = 0.5
    longest_retry_s: float = 15.0
    most_left_behind: int = 4  # stuck threads, each with a camera and a place; then we wait
    chance: Callable[[], float] = random.random  # 0..1, for the jitter of retries

    @classmethod
    def of(cls, settings: CameraSettings) -> Patience:
        return cls(open_timeout_s=settings.open_timeout_s, read_timeout_s=settings.read_timeout_s)

    def retry_s(self, attempt: int) -> float:
        """Exponential from `first_retry_s`, between half and the whole of it by `chance`."""
        longest = min(self.longest_retry_s, self.first_retry_s * 2.0 ** min(attempt, 16))
        return longest * (0.5 + 0.5 * self.chance())


USUAL_PATIENCE = Patience()
