"""When a picture is no evidence: measurements and limits in, what is wrong with it out.

A model that is shown nothing finds nothing, and a frame without findings would be `ok`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge_daemon.core.values import Reason

GOOD_AFTER_S = 5.0
"""A bad spell ends when pictures were good for this long: flickering is one spell."""

NOISE_CONTRAST = 20.0
"""Below it, noise may be all that a real picture shows: a sensor looks at an even surface."""


@dataclass(frozen=True)
class Measures:
    """One picture in numbers."""

    mean: float  # brightness, 0 to 255
    contrast: float  # standard deviation of the brightness
    sharpness: float | None = None
    likeness: float = 1.0  # correlation of neighbouring pixels: noise 0, what a lens shows 0.7 to 1
    repeats: int = 0  # how often in a row this very picture has come again
    usual_repeats: int = 0  # how often in a row this camera has repeated one and then gone on
    same_s: float = 0.0  # for how long the picture has been the same
    still_s: float = 0.0  # for how long nothing in it has moved, and no sensor's noise is seen
    is_live: bool = True  # this camera has shown movement or noise since it was opened


@dataclass(frozen=True)
class PictureLimits:
    """What a picture must keep to; None: not watched."""

    mean: tuple[float, float] | None = (8.0, 247.0)
    contrast: float | None = 3.0
    sharpness: float | None = None
    likeness: float | None = 0.3
    frozen_s: float | None = 5.0


@dataclass(frozen=True)
class Flaw:
    """Why a frame is no evidence: `kind` is one word, `words` go on with "the camera's picture"."""

    reason: Reason
    kind: str
    words: str


def flaw_of(seen: Measures, limits: PictureLimits) -> Flaw | None:
    """What is wrong with a picture; None where it may be judged."""
    if empty := _emptiness(seen, limits):
        return Flaw(Reason.BAD_PICTURE, *empty)
    wanted = limits.sharpness
    if wanted is not None and seen.sharpness is not None and seen.sharpness < wanted:
        words = f"is blurred: sharpness {seen.sharpness:.1f}, limit {wanted:g}"
        return Flaw(Reason.BAD_PICTURE, "blurred", words)
    if limits.frozen_s is not None and _is_frozen(seen, limits.frozen_s):
        return Flaw(Reason.BAD_PICTURE, "frozen", "is frozen: nothing in it changes")
    return None


def _emptiness(seen: Measures, limits: PictureLimits) -> tuple[str, str] | None:
    """The kind and the words for a picture that shows nothing."""
    low, high = limits.mean or (0.0, 255.0)
    if seen.mean < low:
        return "black", f"is black: mean {seen.mean:.1f}, limit {low:g}"
    if seen.mean > high:
        return "white", f"is white: mean {seen.mean:.1f}, limit {high:g}"
    if limits.contrast is not None and seen.contrast < limits.contrast:
        return "flat", f"is of one colour: contrast {seen.contrast:.1f}, limit {limits.contrast:g}"
    if seen.contrast >= NOISE_CONTRAST and seen.likeness < (limits.likeness or -1.0):
        return "noise", f"is noise: likeness {seen.likeness:.2f}, limit {limits.likeness:g}"
    return None


def _is_frozen(seen: Measures, limit_s: float) -> bool:
    """Whether repeated pictures mean that the source is frozen.

    The noise of a sensor never repeats, but an encoder repeats a still picture between key frames.
    How often in a row a camera does so is learned when its pictures change again; until then, and
    beyond that number, a repeated picture shows nothing new. Nor does one that an encoder only
    redraws: a camera that has shown nothing else since it was opened is not known to work.
    """
    if seen.repeats > seen.usual_repeats or seen.same_s >= limit_s:
        return True
    return seen.still_s >= limit_s or (seen.still_s > 0.0 and not seen.is_live)


def damaged(words: str) -> Flaw:
    """A picture that the decoder could not decode; `words` say what it complained of."""
    return Flaw(Reason.DAMAGED_PICTURE, "damaged", f"is damaged: {words}")


@dataclass(frozen=True)
class Spell:
    """Bad pictures that belong together; `_at` in monotonic seconds."""

    flaw: Flaw
    began_at: float
    bad_at: float  # the last of them
    frames: int = 1

    @property
    def lasted_s(self) -> float:
        """From the first bad picture to the last."""
        return self.bad_at - self.began_at


def next_spell(spell: Spell | None, flaw: Flaw | None, at: float) -> Spell | None:
    """The spell after one more picture: begun, continued, or over."""
    if flaw is None:
        is_over = spell is not None and at - spell.bad_at >= GOOD_AFTER_S
        return None if is_over else spell
    if spell is None:
        return Spell(flaw, at, at)
    # The words stay while the kind does, so that health does not change with each frame.
    told = spell.flaw if spell.flaw.kind == flaw.kind else flaw
    return replace(spell, flaw=told, bad_at=at, frames=spell.frames + 1)
