"""What a part is here, what happens to it, and what is told of it.

`now` and `at` are monotonic seconds of one clock. Frames are captured in order of their numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Union

from edge_daemon.core.judged import Judged
from edge_daemon.core.rollout.values import Assigned, Opinion, Split
from edge_daemon.core.values import (
    UNASSIGNED,
    Assignment,
    Box,
    BundleRef,
    Instant,
    Reason,
    Recipe,
    Verdict,
)


class By(str, Enum):
    """How parts are made of frames."""

    FRAME = "frame"  # each captured frame is one
    TRIGGER = "trigger"  # a trigger opens one; the frames of its window are its frames
    TRACK = "track"  # each object that is followed through the zone is one


class Fold(str, Enum):
    """How the verdicts of its frames become that of the part."""

    ANY_NG = "any_ng"
    MAJORITY = "majority"  # of the frames that are ok or ng; as many of both is ng


class PartReason(str, Enum):
    """Why a part has no model's verdict, or not in time: what its frames say, and three more."""

    LATE = "late"  # not judged by its deadline
    NO_FRAME = "no_frame"  # fewer frames than a part must have
    CHANGEOVER = Reason.CHANGEOVER.value  # also: two models, recipes or products in one part
    SUPERSEDED = Reason.SUPERSEDED.value
    UNKNOWN_PRODUCT = Reason.UNKNOWN_PRODUCT.value
    NO_MODEL = Reason.NO_MODEL.value
    WORKER_LOST = Reason.WORKER_LOST.value
    INFERENCE_FAILED = Reason.INFERENCE_FAILED.value
    BAD_PICTURE = Reason.BAD_PICTURE.value
    DAMAGED_PICTURE = Reason.DAMAGED_PICTURE.value
    STOPPED = Reason.STOPPED.value
    DROPPED_OVERFLOW = Reason.DROPPED_OVERFLOW.value  # also: more open parts than are kept
    DROPPED_STALE = Reason.DROPPED_STALE.value


@dataclass(frozen=True)
class PartRules:
    """How frames make parts.

    `deadline_s` counts from the trigger, or the capture of the first frame; None: no deadline.
    `late` is the verdict on a part that is not judged by then. `verdict` is a fold, or how many
    frames must be ng. `window_s` is after the trigger: from, and up to but without.
    """

    by: By = By.FRAME
    deadline_s: float | None = None
    late: Verdict = Verdict.NG
    min_frames: int = 1
    max_frames: int = 30
    verdict: Fold | int = Fold.ANY_NG
    window_s: tuple[float, float] = (0.0, 0.2)


# --------------------------------------------------------------------------- what happened


@dataclass(frozen=True)
class Triggered:
    """The line reports a part; the same `id` again reports the same part.

    One that is told for a later time than `now` counts as of now. `assignment`: what was being
    made then, for a part of which no frame is captured. `has_waited`: it came late, and nobody
    knows when the part was there, so no frame is its own.
    """

    id: str | None
    triggered: Instant
    now: float
    assignment: Assignment = UNASSIGNED
    serial: str | None = None
    has_waited: bool = False


@dataclass(frozen=True)
class FrameCaptured:
    """The camera delivered a frame; told in order, and before its verdict."""

    number: int
    captured: Instant
    assignment: Assignment
    now: float


@dataclass(frozen=True)
class FrameJudged:
    """A frame has its outcome: a verdict, or the reason why there is none."""

    judged: Judged
    now: float
    trial: bool = False


@dataclass(frozen=True)
class Seen:
    """What one frame shows of one followed object, judged by the rules for it alone."""

    track: int
    verdict: Verdict
    causes: tuple[str, ...] = ()
    box: Box | None = None  # in pixels


@dataclass(frozen=True)
class FrameFollowed:
    """A frame has its outcome, with the objects in the zone, and the tracks that left it.

    A track's number is never used again.
    """

    judged: Judged
    seen: tuple[Seen, ...]
    left: tuple[int, ...]
    now: float
    trial: bool = False


@dataclass(frozen=True)
class Ticked:
    """Time passed; every frame captured before `captured_until` was told."""

    now: float
    captured_until: float


@dataclass(frozen=True)
class Stopped:
    """No more frames, triggers or verdicts will come."""

    now: float


@dataclass(frozen=True)
class SplitSet:
    """A candidate is tried on the parts that open from now on; None: none is."""

    split: Split | None
    now: float


PartEvent = Union[SplitSet, Triggered, FrameCaptured, FrameJudged, FrameFollowed, Ticked, Stopped]
"""A changeover has no event of its own: each verdict names the model and the recipe behind it."""


# --------------------------------------------------------------------------- what is told


@dataclass(frozen=True)
class Opened:
    """The answer to a trigger: the number of its part; `again` where the id was known."""

    part: int
    id: str | None
    again: bool = False


@dataclass(frozen=True)
class FrameOpinions:
    """What each model says of one part on one frame; None where it did not look.

    `box`: where a followed object was, in pixels.
    """

    frame: int
    incumbent: Opinion | None
    candidate: Opinion | None
    box: Box | None = None


@dataclass(frozen=True)
class PartOutcome:
    """The one result of one part. A model and a recipe are named where one judged all of it."""

    part: int
    id: str | None
    by: By
    verdict: Verdict
    reason: PartReason | None
    causes: tuple[str, ...]
    frames: tuple[int, ...]
    triggered: Instant | None
    captured: Instant | None  # its first frame
    model: BundleRef | None
    sha256: str | None
    recipe: Recipe | None
    assignment: Assignment
    serial: str | None
    age_ms: float
    late: bool
    trial: bool
    assigned: Assigned | None = None  # whose verdict it is, while a candidate is tried
    shadow: Opinion | None = None  # what the other model says, where it saw every frame
    looks: tuple[FrameOpinions, ...] = ()  # by frame, while a candidate is tried


Told = Union[Opened, PartOutcome]
