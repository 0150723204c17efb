"""Pictures for people: labelled and found boxes, and the sweep of thresholds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.core.golden import ExpectedBox
from edge_daemon.core.values import Detection
from edge_daemon.errors import BoxError, BundleError
from edge_daemon.host.memory import Pixels
from edge_daemon.packing.drawing import draw_picture, draw_sweep
from edge_daemon.packing.judging import Score, Seen
from edge_daemon.packing.labels import Labelled
from tests.sim.photographs import photograph

BLACK = np.zeros((100, 160, 3), np.uint8)
LABELLED = ExpectedBox("scratch", (10.0, 10.0, 60.0, 50.0))
FOUND = Detection("dent", 0.91, (90.0, 30.0, 140.0, 80.0))


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), BLACK)
    return path


def drawn(picture: Path, *boxes: ExpectedBox, found: tuple[Detection, ...] = ()) -> Pixels:
    """What is written for a picture with these labelled and found boxes."""
    destination = picture.with_name("drawn.png")
    draw_picture(Seen(Labelled(picture, "all", boxes), ()), found, destination)
    return np.asarray(cv2.imread(str(destination)), np.uint8)


def has_colour(pixels: Pixels, channel: int) -> bool:
    """Whether any pixel shows mostly this channel of BGR."""
    others = [each for each in range(3) if each != channel]
    return bool((pixels[..., channel] > 150).any()) and bool(
        (pixels[..., channel] > pixels[..., others].max(axis=2) + 50).any()
    )


GREEN, RED = 1, 2


def test_labels_are_green_and_what_was_found_is_red(picture: Path) -> None:
    """A person sees at once which is which."""
    assert has_colour(drawn(picture, LABELLED), GREEN)
    assert not has_colour(drawn(picture, LABELLED), RED)
    assert has_colour(drawn(picture, found=(FOUND,)), RED)
    assert not has_colour(drawn(picture, found=(FOUND,)), GREEN)


def test_a_box_stands_where_the_object_is(picture: Path) -> None:
    """Its corners, and nothing in the middle of it."""
    pixels = drawn(picture, LABELLED)
    assert pixels[10, 10].any()
    assert pixels[50, 60].any()
    assert not pixels[30, 35].any()


def test_a_picture_with_nothing_on_it_is_written_as_it_is(picture: Path) -> None:
    """Also where nobody labelled it."""
    assert not drawn(picture).any()
    draw_picture(Seen(Labelled(picture), ()), (), picture.with_name("b.png"))
    assert picture.with_name("b.png").exists()


def test_the_original_stays(picture: Path) -> None:
    """It may be the only one."""
    before = picture.read_bytes()
    drawn(picture, LABELLED, found=(FOUND,))
    assert picture.read_bytes() == before


def test_a_box_past_the_edge_is_drawn_as_far_as_it_goes(picture: Path) -> None:
    """Detections may lie partly outside."""
    outside = Detection("dent", 0.5, (-20.0, -20.0, 300.0, 50.0))
    assert has_colour(drawn(picture, found=(outside,)), RED)


def test_a_picture_that_is_gone_is_named(tmp_path: Path) -> None:
    """It was there when the folder was read."""
    missing = tmp_path / "gone.png"
    with pytest.raises(BundleError, match=r"gone\.png cannot be read"):
        draw_picture(Seen(Labelled(missing), ()), (), tmp_path / "out.png")


def test_a_place_that_cannot_be_written_is_named(picture: Path) -> None:
    """With where to look."""
    with pytest.raises(BoxError, match="cannot be written"):
        draw_picture(Seen(Labelled(picture), ()), (), picture.parent / "nowhere" / "out.png")


SWEEP = [(0.1, Score(ng=4, ok=6, rejected=3)), (0.5, Score(ng=4, ok=6, escaped=2))]


def test_a_sweep_has_one_plot_for_each_rule(tmp_path: Path) -> None:
    """Higher with more rules, of the same width."""
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    draw_sweep({"scratch": SWEEP}, {"scratch": 0.4}, one)
    draw_sweep({"scratch": SWEEP, "dent": SWEEP}, {"scratch": 0.4, "dent": 0.3}, two)
    low, high = cv2.imread(str(one)), cv2.imread(str(two))
    assert low is not None
    assert high is not None
    assert high.shape[1] == low.shape[1]
    assert high.shape[0] == pytest.approx(2 * low.shape[0], abs=2)


def test_a_sweep_over_pictures_without_labels_is_drawn_too(tmp_path: Path) -> None:
    """Shares of nothing are gaps in the curve, not zero: no evidence is no pass."""
    empty = [(0.1, Score(unlabelled=5)), (0.5, Score(unlabelled=5))]
    draw_sweep({"scratch": empty}, {"scratch": 0.4}, tmp_path / "empty.png")
    assert cv2.imread(str(tmp_path / "empty.png")) is not None


def test_a_photograph_is_drawn_upright(tmp_path: Path) -> None:
    """The boxes are of the upright picture, so they stand where the object is."""
    path = tmp_path / "a.jpg"
    path.write_bytes(photograph(BLACK, 8))
    pixels = drawn(path, LABELLED)
    assert pixels.shape == BLACK.shape
    assert pixels[10, 30].max() > 100
