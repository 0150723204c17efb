"""No evidence is never ok: which pictures show nothing, and when that is told."""

from __future__ import annotations

import pytest

from edge_daemon.core.picture import (
    GOOD_AFTER_S,
    Flaw,
    Measures,
    PictureLimits,
    flaw_of,
    next_spell,
)
from edge_daemon.core.values import Reason

USUAL = PictureLimits()


@pytest.mark.parametrize(
    ("seen", "kind"),
    [
        (Measures(0.0, 0.0), "black"),
        (Measures(7.9, 40.0), "black"),
        (Measures(248.0, 5.0), "white"),
        (Measures(120.0, 2.9), "flat"),
        (Measures(120.0, 40.0, likeness=0.29), "noise"),
        (Measures(120.0, 19.9, likeness=0.0), None),
        (Measures(120.0, 40.0, same_s=5.0), "frozen"),
        (Measures(120.0, 40.0, repeats=1), "frozen"),
        (Measures(120.0, 40.0, repeats=9, usual_repeats=9, same_s=4.9), None),
        (Measures(8.0, 3.0), None),
        (Measures(247.0, 3.0, same_s=4.9), None),
        (Measures(120.0, 40.0, sharpness=0.0), None),
    ],
)
def test_a_picture_at_the_limit_is_good_and_one_beyond_it_is_not(
    seen: Measures, kind: str | None
) -> None:
    """The limits themselves are still good; sharpness is not watched unless a limit is set."""
    flaw = flaw_of(seen, USUAL)
    assert (flaw.kind if flaw else None) == kind
    assert flaw is None or flaw.reason is Reason.BAD_PICTURE


def test_a_measure_without_a_limit_is_not_watched() -> None:
    """null in the settings switches one measure off, and the others stay."""
    nothing = PictureLimits(mean=None, contrast=None, sharpness=None, likeness=None, frozen_s=None)
    assert flaw_of(Measures(0.0, 99.0, 0.0, 0.0, repeats=9, same_s=1e6), nothing) is None
    assert flaw_of(Measures(0.0, 0.0), PictureLimits(mean=None)) is not None


def test_the_words_give_measure_and_limit() -> None:
    """Whoever reads them knows what to change: the light, or the setting."""
    black = flaw_of(Measures(2.14, 1.0), USUAL)
    blurred = flaw_of(Measures(90.0, 30.0, 4.0), PictureLimits(sharpness=12.5))
    assert black is not None
    assert black.words == "is black: mean 2.1, limit 8"
    assert blurred is not None
    assert blurred.words == "is blurred: sharpness 4.0, limit 12.5"


def test_a_picture_that_flickers_is_one_spell() -> None:
    """A spell ends only when pictures have been good for a while; its words do not flicker."""
    spell, told = None, set()
    for frame in range(100):
        flaw = Flaw(Reason.BAD_PICTURE, "black", f"is black: {frame}") if frame % 2 == 0 else None
        spell = next_spell(spell, flaw, frame * 0.1)
        assert spell is not None
        told.add(spell.flaw.words)
    assert spell.frames == 50
    assert told == {"is black: 0"}
    assert next_spell(spell, None, spell.bad_at + GOOD_AFTER_S - 0.1) is spell
    assert next_spell(spell, None, spell.bad_at + GOOD_AFTER_S) is None
