"""The basic types: small frozen values that every module may use.

Units stand in the names: `_at` is monotonic seconds, `_utc` is POSIX seconds, `_ms` a duration.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Union

from edge_daemon.core.verbs import Verb
from edge_daemon.core.zones import Zone
from edge_daemon.errors import BoxError, Code, EdgeDaemonError

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels of the captured frame."""

Corner = tuple[float, float]
"""x, y in pixels of the captured frame."""

Polygon = tuple[Corner, Corner, Corner, Corner]
"""An oriented box, by its corners in their order round it."""

KeyPoint = tuple[float, float, float]
"""x, y in pixels of the captured frame, and a confidence in 0..1."""

Size = tuple[int, int]
"""Width and height of a picture in pixels."""


@dataclass(frozen=True)
class Instant:
    """One reading of both clocks: monotonic seconds for durations, POSIX seconds for the world.

    `is_stamped`: by a driver when it happened, not by the program that heard of it.
    """

    at: float
    utc: float
    is_stamped: bool = False


# --------------------------------------------------------------------------- bundles


@dataclass(frozen=True, order=True)
class BundleRef:
    """One immutable model version, written `name@version`."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}@{self.version}"

    @classmethod
    def parse(cls, text: str) -> BundleRef:
        """Read `name@version`; raises ValueError when either part is missing."""
        name, at, version = text.partition("@")
        if not (name and at and version):
            raise ValueError(f"{text!r} is not name@version")
        return cls(name, version)


@dataclass(frozen=True)
class StoredBundle:
    """A complete bundle that the store offers: its ref and the digest of its weights (hex)."""

    ref: BundleRef
    sha256: str


@dataclass(frozen=True)
class Rule:
    """How many detections of one class a good frame must hold, and how many it may.

    A detection counts when its confidence is at least the rule's, its area in square pixels of the
    frame lies within both limits, and its centre lies in the zone. `at_most` None: any number.
    """

    id: str
    label: str
    confidence: float = 0.25
    at_least: int = 0
    at_most: int | None = None
    min_area_px: float = 0.0
    max_area_px: float = math.inf
    zone: Zone | None = None


@dataclass(frozen=True)
class Adjustable:
    """One number of the recipe that the line may move: `rule id.field`, and how far."""

    name: str
    low: float
    high: float


@dataclass(frozen=True)
class Recipe:
    """What turns detections into a verdict: a frame that breaks a rule is ng.

    `confidence` counts where a rule says nothing else. With a `part`, a frame that shows no
    object of this class is `empty`: no rule is asked.
    """

    confidence: float = 0.25
    rules: tuple[Rule, ...] = ()
    part: str | None = None
    zones: tuple[Zone, ...] = ()
    adjustable: tuple[Adjustable, ...] = ()

    @classmethod
    def rejecting(cls, confidence: float, *labels: str) -> Recipe:
        """One detection of these classes is enough to make a frame ng."""
        return cls(confidence, tuple(Rule(each, each, confidence, at_most=0) for each in labels))

    @property
    def reject(self) -> frozenset[str]:
        """Classes of which a good frame holds none."""
        return frozenset(rule.label for rule in self.rules if rule.at_most == 0)

    @property
    def lowest_confidence(self) -> float:
        """Detections below it never matter, so the engine need not report them."""
        asked = [rule.confidence for rule in self.rules]
        asked += [each.low for each in self.adjustable if each.name.endswith(".confidence")]
        if self.part is not None or not asked:
            asked.append(self.confidence)
        return min(asked)


# --------------------------------------------------------------------------- frames


class Verdict(str, Enum):
    """Exactly one for each captured frame."""

    OK = "ok"
    NG = "ng"
    EMPTY = "empty"  # inspected, and no part in view: nothing was judged
    UNINSPECTED = "uninspected"


class Reason(str, Enum):
    """Why a captured frame has no model's verdict; `dropped_…` were never offered to a model."""

    CHANGEOVER = "changeover"  # the right model was not active before the buffer was full
    SUPERSEDED = "superseded"  # its product was passed over by the next order
    UNKNOWN_PRODUCT = "unknown_product"  # no link names a model for its product
    NO_MODEL = "no_model"  # nothing is active, and nothing could be made active
    WORKER_LOST = "worker_lost"  # the worker was gone longer than the buffer lasts
    INFERENCE_FAILED = "inference_failed"  # the model raised or gave nonsense on this frame
    BAD_PICTURE = "bad_picture"  # black, white, of one colour, blurred or frozen: no evidence
    DAMAGED_PICTURE = "damaged_picture"  # what the decoder could not decode, and what builds on it
    STOPPED = "stopped"  # captured, but the daemon was stopped before its turn
    DROPPED_OVERFLOW = "dropped_overflow"  # no room in the ring when it arrived
    DROPPED_STALE = "dropped_stale"  # policy `latest`: a newer frame took its turn

    @property
    def is_drop(self) -> bool:
        return self.value.startswith("dropped_")


@dataclass(frozen=True)
class Assignment:
    """What the line is making, stamped on every frame at capture.

    `epoch` grows by one with each change; `requires` is the bundle name that may judge these
    frames (None: any active model may), `linked` is False for a product without a link.
    """

    epoch: int = 0
    product: str | None = None
    job_order: str | None = None
    requires: str | None = None
    linked: bool = True


UNASSIGNED = Assignment()
"""No order was ever seen: any active model may judge."""


@dataclass(frozen=True)
class Detection:
    """One object of one class; confidence in 0..1, everything else in pixels of the frame.

    `box` is upright, whatever the model gives: round an oriented box, or the whole picture for a
    class of the picture. The others are None where a model of another task gives nothing of it.

    `area_px`: of its mask or its oriented box, in square pixels.
    `polygon`: the four corners of an oriented box, which may lie outside of the frame.
    `angle_deg`: of its longer side, clockwise from the horizontal, 0..180.
    `keypoints`: x, y and confidence of each; a model that tells no confidence is sure.
    `top5`: the classes that the picture most likely shows, the likeliest first.
    """

    label: str
    confidence: float
    box: Box
    area_px: float | None = None
    polygon: Polygon | None = None
    angle_deg: float | None = None
    keypoints: tuple[KeyPoint, ...] | None = None
    top5: tuple[tuple[str, float], ...] | None = None


@dataclass(frozen=True)
class Counts:
    """The ledger's line: captured = inspected + dropped + uninspected."""

    captured: int = 0
    inspected: int = 0
    dropped: int = 0
    uninspected: int = 0

    @property
    def balanced(self) -> bool:
        return self.captured == self.inspected + self.dropped + self.uninspected

    def __sub__(self, other: Counts) -> Counts:
        return Counts(
            self.captured - other.captured,
            self.inspected - other.inspected,
            self.dropped - other.dropped,
            self.uninspected - other.uninspected,
        )


# --------------------------------------------------------------------------- requests


@dataclass(frozen=True)
class AtNow:
    """At the next frame boundary once the bundle is ready."""


@dataclass(frozen=True)
class AtNextOrder:
    """With the next running order of the bundle's product."""


@dataclass(frozen=True)
class AtTime:
    """At the first frame boundary at or after this wall time."""

    utc: float


@dataclass(frozen=True)
class AtFrame:
    """Frame `number` is the first that the new bundle judges."""

    number: int


At = Union[AtNow, AtNextOrder, AtTime, AtFrame]

NOW = AtNow()


@dataclass(frozen=True)
class ModelChoice:
    """`name@version`, or `name` alone for its newest version that is not quarantined."""

    name: str
    version: str | None = None

    def __str__(self) -> str:
        return f"{self.name}@{self.version}" if self.version else self.name


@dataclass(frozen=True)
class Request:
    """A checked request: bounded, typed, with an id; nothing in it is a dict or a topic."""

    id: str
    verb: Verb
    model: ModelChoice | None = None
    at: At = NOW
    expect: ModelChoice | None = None
    expires_utc: float | None = None
    by: str = ""
    reason: str = ""
    dry_run: bool = False
    accept: tuple[str, ...] = ()  # checks of verdicts that may fail; `reason` says why
    serial: str = ""  # of the part that a trigger opens
    changes: tuple[tuple[str, float], ...] = ()  # values of rules, by their names
    reset: bool = False
    plan: str = ""  # of a rollout, as canonical JSON; empty: the bundle's own, or the usual one
    rollout: str = ""  # which one to advance or abort; empty: the one that runs

    def is_expired(self, now: Instant) -> bool:
        return self.expires_utc is not None and now.utc >= self.expires_utc


class Status(str, Enum):
    """What a request is answered: one of the first two, progress, then exactly one outcome."""

    ACCEPTED = "accepted"
    REJECTED = "rejected"
    PROGRESS = "progress"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Check:
    """One line of a gate report. `measured` and `limit` are for people and machines alike.

    `accepted`: it failed but does not refuse the bundle; `note` says who accepted it.
    """

    name: str
    passed: bool
    measured: float | str | None = None
    limit: float | str | None = None
    note: str = ""
    accepted: bool = False


@dataclass(frozen=True)
class Refusal:
    """Why something was not done: the code, a sentence, the next step, the gate's checks."""

    code: Code
    message: str
    hint: str = ""
    checks: tuple[Check, ...] = ()
    blames_box: bool = False

    @classmethod
    def of(cls, error: EdgeDaemonError) -> Refusal:
        """What an error says, and whether it is this box's own fault."""
        return cls(error.code, error.message, error.hint, blames_box=isinstance(error, BoxError))

    @property
    def status(self) -> Status:
        return Status.FAILED if self.blames_box else Status.REJECTED


# --------------------------------------------------------------------------- measures


@dataclass(frozen=True)
class Latency:
    """Milliseconds over a window of `count` frames; None where the window is empty."""

    count: int = 0
    p50: float | None = None
    p99: float | None = None
    max: float | None = None
