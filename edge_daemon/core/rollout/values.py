"""The words of a rollout. All of them are frozen values.

The incumbent is the model that is active; the candidate is the one that is tried beside it.
Both judge the same parts. Below the full stage the share moves whose verdict counts, and never
what is compared.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from edge_daemon.core.values import BundleRef, Detection, Recipe, StoredBundle, Verdict

# --------------------------------------------------------------------------- the plan


class UnitKind(str, Enum):
    """What is assigned to an arm, and what is one pair of the evidence."""

    PART = "part"  # by trigger or by track
    SPAN = "span"  # frames up to the next one in which neither model sees anything
    ORDER = "order"  # assigned by order; each part is still a pair of its own


class Mode(str, Enum):
    """What a stage does with the candidate."""

    SHADOW = "shadow"  # it judges beside the line, and no verdict of it counts
    SHARE = "share"  # its verdict counts for a share of the parts
    COMPARE = "compare"  # both in turns, for latency, pace and power
    FULL = "full"  # it becomes the active model


@dataclass(frozen=True)
class Until:
    """What a stage needs before the next one begins: all of it.

    `minutes`: of a running line. `margin`: recall that may be lost at most, by the bound; None:
    the plan's own.
    """

    parts: int = 0
    minutes: float = 0.0
    margin: float | None = None


@dataclass(frozen=True)
class Stage:
    """One step of a plan.

    `share`: in `SHADOW` of the parts that the candidate sees, in `SHARE` of the parts whose
    verdict it gives. `either`: the stricter of both verdicts counts for a candidate's part.
    `shadow_back_h`: hours for which the version before goes on beside the new one; `on_alarm`:
    whether the station returns to it by itself where labels show that the new one misses more.
    """

    mode: Mode
    share: float = 1.0
    either: bool = True
    until: Until = Until()
    rotate_s: float = 60.0
    burn_in_s: float = 5.0
    pairs: int = 20
    shadow_back_h: float = 0.0
    on_alarm: str = "ask"  # or "rollback"

    @property
    def is_back(self) -> bool:
        """Whether it is what follows a rollout: the version before beside the new one."""
        return self.mode is Mode.SHADOW and self.shadow_back_h > 0.0


@dataclass(frozen=True)
class SliceRule:
    """Some of the parts, told by pixels and settings, never by what a model says.

    `brightness`: mean grey level of the first frame, 0..255; `box_area`: square pixels of the
    largest box that either model drew; `products` by name; `hours`: local hours from..to.
    """

    name: str
    brightness_below: float | None = None
    brightness_above: float | None = None
    box_area_below: float | None = None
    box_area_above: float | None = None
    products: tuple[str, ...] = ()
    hours: tuple[int, int] | None = None
    critical: bool = False
    min_defects: int = 0
    margin: float | None = None


class Truth(str, Enum):
    """Where the true verdict of a part comes from, in order of trust."""

    VERIFIED = "verified"  # a person, the MES or a challenge part said so
    AUDIT = "audit"  # a random sample of ok parts was looked at
    REFERENCE = "reference"  # the incumbent's own verdict: it may hold a rollout, never stop it
    GOLDEN = "golden"


@dataclass(frozen=True)
class Webhook:
    """Who is told by HTTP POST; the token is read from a file."""

    url: str
    token_file: str | None = None


@dataclass(frozen=True)
class Plan:
    """One rollout as it is meant."""

    stages: tuple[Stage, ...]
    unit: UnitKind = UnitKind.PART
    truth: tuple[Truth, ...] = (Truth.VERIFIED, Truth.REFERENCE)
    alpha_stop: float = 0.001
    alpha_advance: float = 0.01
    margin: float = 0.03
    false_reject_margin: float = 0.02
    slices: tuple[SliceRule, ...] = ()
    at_most_h: float = 72.0
    on_inconclusive: str = "hold"  # or "stop"
    notify: tuple[Webhook, ...] = ()


@dataclass(frozen=True)
class Bounds:
    """What the station's settings allow at most, whoever wrote the plan: `core.rollout.plan`.

    `share`: of the parts whose verdict a candidate may give before it is active. `full`: whether
    a rollout may make its candidate active by itself. `either_below`: below this share the
    stricter of both verdicts counts. `parts`, `minutes`: what each stage needs at least.
    `slices` are added to those of the plan. `notify`: the only addresses that a plan may name.
    """

    share: float = 1.0
    full: bool = True
    either_below: float = 0.0
    parts: int = 0
    minutes: float = 0.0
    alpha_advance: float = 1.0
    margin: float = 1.0
    false_reject_margin: float = 1.0
    slices: tuple[SliceRule, ...] = ()
    at_most_h: float | None = None
    on_inconclusive: str | None = None
    notify: tuple[Webhook, ...] = ()


# --------------------------------------------------------------------------- on the line


class Arm(str, Enum):
    """Whose verdict counts."""

    INCUMBENT = "incumbent"
    CANDIDATE = "candidate"


@dataclass(frozen=True)
class Split:
    """What the line does with the candidate from the next unit on."""

    rollout: str
    slot: str
    candidate: StoredBundle
    recipe: Recipe
    mode: Mode  # SHADOW, SHARE or COMPARE
    unit: UnitKind = UnitKind.PART
    share: float = 0.0  # of the parts whose verdict the candidate gives
    coverage: float = 1.0  # of the parts that it sees besides, where there is time
    either: bool = True
    slices: tuple[SliceRule, ...] = ()
    reference: BundleRef | None = None  # the incumbent, where it is known


@dataclass(frozen=True)
class Assigned:
    """The arm of one unit, so that anybody can compute it again: `core.rollout.draw`.

    `unit` is what was drawn: the trigger's id, or the number of the part, frame or span.
    """

    rollout: str
    arm: Arm
    share: float
    draw: float
    unit: str = ""

    @property
    def withdrawn(self) -> Assigned:
        """The same unit where the candidate could not judge: its share was 0."""
        return replace(self, arm=Arm.INCUMBENT, share=0.0)


@dataclass(frozen=True)
class Opinion:
    """What a model says whose verdict does not count, of a frame or a part."""

    model: BundleRef
    sha256: str
    verdict: Verdict
    causes: tuple[str, ...] = ()
    detections: tuple[Detection, ...] = ()
    recipe: Recipe | None = None
    inference_ms: float = 0.0
    faint: tuple[Detection, ...] = ()  # as in a judged frame


class Outcome(str, Enum):
    """Who says ng of one part."""

    BOTH = "both"
    NEITHER = "neither"
    ONLY_INCUMBENT = "only_incumbent"
    ONLY_CANDIDATE = "only_candidate"


@dataclass(frozen=True)
class Pair:
    """One part judged by both models, each by its own recipe, on the same frames.

    `part` is its number in this boot, `id` the trigger's. `slices`: names of the plan's slices
    that it belongs to.
    """

    rollout: str
    boot: str
    part: int
    id: str | None
    assigned: Assigned
    incumbent: Opinion
    candidate: Opinion
    frames: tuple[int, ...]
    captured_utc: float
    product: str | None = None
    slices: tuple[str, ...] = ()
    brightness: float | None = None

    @property
    def outcome(self) -> Outcome:
        """Neither ok nor empty is ng; both opinions are of inspected frames."""
        first = self.incumbent.verdict is Verdict.NG
        second = self.candidate.verdict is Verdict.NG
        if first and second:
            return Outcome.BOTH
        if first:
            return Outcome.ONLY_INCUMBENT
        return Outcome.ONLY_CANDIDATE if second else Outcome.NEITHER


# --------------------------------------------------------------------------- truth


class Source(str, Enum):
    """Who said what a part really is."""

    OPERATOR = "operator"
    MES = "mes"
    DOWNSTREAM = "downstream"
    CHALLENGE = "challenge"


@dataclass(frozen=True)
class Feedback:
    """The true verdict of one part (or of the part that a frame belongs to)."""

    boot: str
    verdict: Verdict  # OK or NG
    source: Source
    by: str = ""
    part: int | str | None = None
    frame: int | None = None
