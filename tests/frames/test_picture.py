"""Pictures are measured on a sample of their pixels, which tells what all of them would."""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest

from edge_daemon.core.picture import Flaw, PictureLimits, Spell
from edge_daemon.core.values import Reason
from edge_daemon.demo.conveyor import SCENES, Conveyor
from edge_daemon.frames.picture import FlawTracker, PictureGauge
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
    """Black, white, of one colour, noise, and a black one with a sensor's noise."""
    picture = np.empty((height, width, 3), np.uint8)
    for colour, expected in (((0, 0, 0), "black"), ((255,) * 3, "white"), ((0, 0, 200), "flat")):
        picture[:] = colour
        assert kind(picture) == expected
    assert kind(noise(height, width) // 64) == "black"
    assert kind(noise(height, width)) == ("noise" if height > 5 else None)


def test_what_a_lens_shows_is_no_noise() -> None:
    """Edges of any contrast, a sensor's noise on an even surface, and on a textured one."""
    even = np.full((480, 640, 3), 120.0) + np.random.default_rng(1).normal(0, 6, (480, 640, 3))
    assert kind(even.astype(np.uint8)) is None
    texture = np.kron(noise(240, 320), np.ones((2, 2, 1), np.uint8)).astype(np.float32)
    soft = (texture + np.roll(texture, 1, 0) + np.roll(texture, 1, 1)) / 3
    assert kind((soft * 0.8 + even * 0.2).astype(np.uint8)) is None


@pytest.mark.parametrize("quality", [30, 75, 95])
def test_noise_stays_noise_through_an_encoder(quality: int) -> None:
    """As a camera without a sensor, or a scrambled stream, comes through Motion JPEG."""
    good, jpeg = cv2.imencode(".jpg", noise(480, 640), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert good
    assert kind(cv2.imdecode(jpeg, cv2.IMREAD_COLOR)) == "noise"


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


def moving(number: int) -> Pixels:
    """A different picture for each number, with edges in it."""
    return np.kron(noise(48, 64, number), np.ones((10, 10, 1), np.uint8))


def is_judged(gauge: PictureGauge, *numbers: int) -> list[bool]:
    """Of pictures that come at 10 a second, after those that the gauge has seen."""
    at = getattr(gauge.measures, "same_s", 0.0)
    return [gauge.look(moving(n), at + 0.1 * i) is None for i, n in enumerate(numbers)]


def test_a_camera_that_never_repeats_a_picture_is_frozen_when_it_does() -> None:
    """From the second repetition on, which is the first that is compared row by row."""
    gauge = PictureGauge(USUAL)
    assert is_judged(gauge, 1, 2, 3, 3, 3, 3, 4) == [True] * 4 + [False] * 2 + [True]


def test_of_a_picture_that_was_frozen_from_the_start_only_the_first_is_judged() -> None:
    """Nothing is known of such a camera, and nothing new is seen."""
    assert is_judged(PictureGauge(USUAL), *[7] * 50) == [True] + [False] * 49


ENCODERS = {
    "constant quality": {"preset": "ultrafast", "tune": "zerolatency", "crf": "23"},
    "low rate": {"preset": "ultrafast", "tune": "zerolatency", "b": "500k", "g": "30"},
    "as films are": {"preset": "veryfast", "crf": "23"},
}


def through_an_encoder(pictures: Sequence[Pixels], options: dict[str, str]) -> list[Pixels]:
    """What a camera's H.264 stream of these pictures gives, at 10 frames a second."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as film:
        stream = film.add_stream("libx264", rate=10, options=options)
        stream.height, stream.width, stream.pix_fmt = *pictures[0].shape[:2], "yuv420p"
        if "b" in options:
            stream.bit_rate = 500_000
        for picture in pictures:
            film.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        film.mux(stream.encode())
    file.seek(0)
    with av.open(file) as film:
        return [frame.to_ndarray(format="bgr24") for frame in film.decode(video=0)]


def drawn(index: int) -> Pixels:
    picture = np.empty((480, 640, 3), np.uint8)
    Conveyor(seed=1, width=640, height=480).draw(index, "bottle", picture)
    return picture


@pytest.mark.parametrize("options", ENCODERS.values(), ids=ENCODERS)
def test_a_still_picture_stays_one_behind_an_encoder(options: dict[str, str]) -> None:
    """An encoder redraws it: no two decoded pictures are the same, and none shows anything new.

    Frozen from the start it is judged once; after a line that moved, for as long as the limit.
    """
    still = through_an_encoder([drawn(300)] * 70, options)
    assert sum(bool((one != other).any()) for one, other in pairwise(still)) > 5
    gauge = PictureGauge(USUAL)
    assert [gauge.look(each, 0.1 * i) is None for i, each in enumerate(still)] == [True] + [
        False
    ] * 69
    film = [drawn(3 * i) for i in range(30)] + [drawn(300)] * 100
    gauge = PictureGauge(USUAL)
    seen = [
        gauge.look(each, 0.1 * i) is None
        for i, each in enumerate(through_an_encoder(film, options))
    ]
    assert all(seen[:30])
    assert not any(seen[30 + 51 :])


def test_noise_of_a_sensor_behind_an_encoder_tells_a_still_scene_from_a_frozen_one() -> None:
    """Nothing moves for 10 s, and the camera works."""
    random = np.random.default_rng(2)
    scene = drawn(300).astype(np.float32)
    noisy = [
        np.clip(scene + random.normal(0, 3, scene.shape), 0, 255).astype(np.uint8)
        for _ in range(100)
    ]
    gauge = PictureGauge(USUAL)
    seen = [
        gauge.look(each, 0.1 * i) is None
        for i, each in enumerate(through_an_encoder(noisy, ENCODERS["as films are"]))
    ]
    assert all(seen[20:])


def test_a_camera_that_repeats_pictures_may_do_so_as_often_as_before() -> None:
    """An encoder repeats a still picture between key frames: learned once the picture went on."""
    gauge = PictureGauge(USUAL)
    is_judged(gauge, *[1] * 10, 2)
    assert is_judged(gauge, *[3] * 10, 4) == [True] * 11
    assert is_judged(gauge, *[5] * 11) == [True] * 10 + [False]


def test_no_camera_may_repeat_a_picture_for_longer_than_the_limit() -> None:
    """Whatever it did before."""
    gauge = PictureGauge(PictureLimits(frozen_s=1.0))
    is_judged(gauge, *[1] * 19, 2)
    assert is_judged(gauge, *[3] * 12) == [True] * 10 + [False] * 2


def test_a_camera_that_was_frozen_has_not_taught_that_this_is_usual() -> None:
    """As a film of one still picture that begins anew every few seconds."""
    gauge = PictureGauge(USUAL)
    for _ in range(3):
        assert sum(is_judged(gauge, *[7] * 40, 8)) <= 4


def test_a_change_of_one_grey_level_is_a_new_picture() -> None:
    """Such is a sensor's noise, and such is a small part between the pixels of the sample."""
    gauge, still = PictureGauge(USUAL), moving(1)
    is_judged(gauge, 2, 1)
    for number in range(1, 20):
        small = still.copy()
        small[8:16, 8:16] += np.uint8(number)
        assert gauge.look(small, 0.2 + 0.1 * number) is None


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
    tracker = FlawTracker()
    dark = Flaw(Reason.BAD_PICTURE, "black", "is black")
    torn = Flaw(Reason.DAMAGED_PICTURE, "damaged", "is damaged")
    assert [tracker.note(flaw, 0.0) for flaw in (None, dark, dark, torn, dark)] == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert tracker.flaws == (dark, torn)
    assert list(tracker.news()) == [dark, torn]
    assert tracker.note(None, 6.0)
    ended = [news for news in tracker.news() if isinstance(news, Spell)]
    assert [(spell.flaw, spell.frames) for spell in ended] == [(dark, 3), (torn, 1)]
    assert tracker.flaws == ()
