"""Pictures are measured on a sample of their pixels, which tells what all of them would."""

from __future__ import annotations

import numpy as np
import pytest

from edge_daemon.core.picture import Flaw, PictureLimits, Spell
from edge_daemon.core.values import Reason
from edge_daemon.frames.conveyor import SCENES, Conveyor
from edge_daemon.frames.picture import PictureGauge, Spells
from edge_daemon.host.memory import Pixels

USUAL = PictureLimits()
SIZES = [(1080, 1920), (480, 640), (96, 160), (3, 5)]


def noise(height: int, width: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def kind(pixels: Pixels, limits: PictureLimits = USUAL) -> str | None:
    flaw = PictureGauge(limits).look(pixels, 0.0)
    return flaw.kind if flaw else None


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pictures_without_content_are_found_at_every_size(height: int, width: int) -> None:
    """Black, white, of one colour, and a black one with a sensor's noise; noise itself is not."""
    picture = np.empty((height, width, 3), np.uint8)
    for colour, expected in (((0, 0, 0), "black"), ((255,) * 3, "white"), ((0, 0, 200), "flat")):
        picture[:] = colour
        assert kind(picture) == expected
    assert kind(noise(height, width) // 64) == "black"
    assert kind(noise(height, width)) is None


def test_the_mean_and_contrast_of_the_sample_are_those_of_the_picture() -> None:
    """Within a grey level on a picture that is dark on one side and light on the other."""
    picture = (noise(1080, 1920) // 4 + np.linspace(0, 190, 1920)[None, :, None]).astype(np.uint8)
    gauge = PictureGauge(PictureLimits())
    gauge.look(picture, 0.0)
    assert gauge.measures is not None
    assert gauge.measures.mean == pytest.approx(picture.mean(), abs=2.0)
    assert gauge.measures.contrast == pytest.approx(picture.std(), abs=2.0)


def test_sharpness_falls_with_the_focus() -> None:
    """The same edges out of focus; measured only where a limit is set."""
    sharp = np.kron(noise(108, 192), np.ones((10, 10, 1), np.uint8))
    soft = sharp.astype(np.float32)
    for _ in range(3):
        soft = np.stack([np.roll(soft, shift, 1) for shift in range(-4, 5)]).mean(0)
    limits = PictureLimits(sharpness=200.0)
    assert kind(sharp, limits) is None
    assert kind(soft.astype(np.uint8), limits) == "blurred"
    assert kind(soft.astype(np.uint8)) is None


def test_a_picture_is_frozen_when_nothing_of_it_changes() -> None:
    """One that stands still for the limit is frozen; noise of one grey level is a new picture."""
    gauge, still = PictureGauge(PictureLimits(frozen_s=5.0)), noise(480, 640) // 2
    assert [gauge.look(still, at) is None for at in (0.0, 3.0, 4.9)] == [True] * 3
    frozen = gauge.look(still, 5.0)
    assert frozen is not None
    assert frozen.kind == "frozen"
    assert gauge.look(still + noise(480, 640, 1) % 2, 5.1) is None


@pytest.mark.parametrize("scene", SCENES)
def test_the_drawn_line_is_evidence(scene: str) -> None:
    """Each of its frames, also the dark ones and those without a part, is within the limits."""
    conveyor = Conveyor(seed=1, width=640, height=480)
    gauge, picture = PictureGauge(PictureLimits()), np.empty((480, 640, 3), np.uint8)
    for index in range(0, 3000, 20):
        conveyor.draw(index, scene, picture)
        assert gauge.look(picture, index / 30) is None


def test_two_kinds_of_bad_pictures_have_a_spell_each() -> None:
    """A damaged picture within a dark spell begins its own, and each is told once."""
    spells = Spells()
    dark = Flaw(Reason.BAD_PICTURE, "black", "is black")
    torn = Flaw(Reason.DAMAGED_PICTURE, "damaged", "is damaged")
    assert [spells.note(flaw, 0.0) for flaw in (None, dark, dark, torn, dark)] == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert spells.flaws == (dark, torn)
    assert list(spells.news()) == [dark, torn]
    assert spells.note(None, 6.0)
    ended = [news for news in spells.news() if isinstance(news, Spell)]
    assert [(spell.flaw, spell.frames) for spell in ended] == [(dark, 3), (torn, 1)]
    assert spells.flaws == ()
