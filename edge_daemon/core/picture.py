"""When a picture is no evidence: measures and limits in, what is wrong with it out.

A model that is shown nothing finds nothing, and a frame without findings would be `ok`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge_daemon.core.values import Reason

GOOD_AFTER_S = 5.0
"""Pictures must be good for so long before a bad spell is over: one that flickers is one spell."""


@dataclass(frozen=True)
class Measures:
    """One picture in numbers: brightness from 0 to 255, `same_s` seconds of the same picture."""

    mean: float
    contrast: float
    sharpness: float | None = None
    same_s: float = 0.0


@dataclass(frozen=True)
class PictureLimits:
    """What a picture must keep to; None: not watched."""

    mean: tuple[float, float] | None = (8.0, 247.0)
    contrast: float | None = 3.0
    sharpness: float | None = None
    frozen_s: float | None = 5.0


@dataclass(frozen=True)
class Flaw:
    """Why a frame is no evidence: `kind` is one word, `words` go on with "the camera's picture"."""

    reason: Reason
    kind: str
    words: str


def flaw_of(seen: Measures, limits: PictureLimits) -> Flaw | None:
    """What is wrong with a picture; None where it may be judged."""
    low, high = limits.mean or (0.0, 255.0)
    if seen.mean < low:
        return _bad("black", f"is black: mean {seen.mean:.1f}, limit {low:g}")
    if seen.mean > high:
        return _bad("white", f"is white: mean {seen.mean:.1f}, limit {high:g}")
    if limits.contrast is not None and seen.contrast < limits.contrast:
        words = f"is of one colour: contrast {seen.contrast:.1f}, limit {limits.contrast:g}"
        return _bad("flat", words)
    wanted = limits.sharpness
    if wanted is not None and seen.sharpness is not None and seen.sharpness < wanted:
        return _bad("blurred", f"is blurred: sharpness {seen.sharpness:.1f}, limit {wanted:g}")
    if limits.frozen_s is not None and seen.same_s >= limits.frozen_s:
        return _bad("frozen", f"is frozen: the same for {limits.frozen_s:g} s and more")
    return None


def damaged(words: str) -> Flaw:
    """A picture that the decoder could not decode; `words` say what it complained of."""
    return Flaw(Reason.DAMAGED_PICTURE, "damaged", f"is damaged: {words}")


def _bad(kind: str, words: str) -> Flaw:
    return Flaw(Reason.BAD_PICTURE, kind, words)


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
    """The spell after one more picture: begun, gone on, or over."""
    if flaw is None:
        is_over = spell is not None and at - spell.bad_at >= GOOD_AFTER_S
        return None if is_over else spell
    if spell is None:
        return Spell(flaw, at, at)
    # The words stay while the kind does, so that health does not change with each frame.
    told = spell.flaw if spell.flaw.kind == flaw.kind else flaw
    return replace(spell, flaw=told, bad_at=at, frames=spell.frames + 1)
