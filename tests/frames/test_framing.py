"""What of a picture is captured, and how it lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_daemon.config import CameraSettings
from edge_daemon.demo.conveyor_camera import ConveyorCamera
from edge_daemon.frames.fault import SourceError
from edge_daemon.frames.framing import FramedCamera, Framing
from edge_daemon.frames.sources import open_camera
from edge_daemon.host.memory import FrameShape, Pixels
from tests.sim.camera import Change, End, Frames, SimSource, number_in

PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


def settings(**given: Any) -> CameraSettings:
    return CameraSettings(source="conveyor:", **given)


def laid(picture: Pixels = PICTURE, **given: Any) -> Pixels:
    framing = Framing(settings(**given), FrameShape(*picture.shape[:2]))
    frame = np.empty((framing.shape.height, framing.shape.width, 3), np.uint8)
    framing.lay(picture, frame)
    return frame


def test_without_such_a_setting_nothing_stands_between() -> None:
    """The camera itself is read: no second picture, no copy."""
    assert isinstance(open_camera(settings()), ConveyorCamera)
    assert isinstance(open_camera(settings(mirror=True)), FramedCamera)


def test_a_region_is_cut_out() -> None:
    """[x, y, width, height] in pixels of the source's picture."""
    assert np.array_equal(laid(roi=[1, 2, 4, 2]), PICTURE[2:4, 1:5])


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("rotate", [0, 90, 180, 270])
def test_a_picture_is_turned_clockwise_and_then_mirrored(rotate: int, mirror: bool) -> None:
    """All eight ways in which a camera can hang, also of a part of the picture."""
    turned = np.rot90(PICTURE[1:4, 2:6], -rotate // 90)
    expected = turned[:, ::-1] if mirror else turned
    assert np.array_equal(laid(roi=[2, 1, 4, 3], rotate=rotate, mirror=mirror), expected)


def test_a_mask_hides_what_is_black_in_it(tmp_path: Path) -> None:
    """It lies on the frame as it is captured, after the turn."""
    mask = np.full((6, 4), 255, np.uint8)
    mask[:2] = 0
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    frame = laid(rotate=90, mask=tmp_path / "mask.png")
    whole = np.rot90(PICTURE, -1)
    assert not frame[:2].any()
    assert np.array_equal(frame[2:], whole[2:])


def test_colour_is_taken_out() -> None:
    """Three equal channels, as bright as a person sees them."""
    frame = laid(np.full((4, 6, 3), (0, 0, 255), np.uint8), mono=True)
    assert (frame == 76).all()


def test_a_region_outside_the_picture_names_both() -> None:
    """A camera that gives another size than the region was made for is no evidence."""
    with pytest.raises(SourceError, match=r"\[0, 0, 7, 4\].* 6x4 pixels"):
        laid(roi=[0, 0, 7, 4])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        (b"", "is no picture"),
        (b"no picture", "is no picture"),
        (cv2.imencode(".png", np.zeros((3, 3), np.uint8))[1].tobytes(), "3x3 pixels"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    """Missing, empty, garbage, of another size: the camera says so, and gives nothing unmasked."""
    mask = tmp_path / "mask.png"
    if content is not None:
        mask.write_bytes(content)
    with pytest.raises(SourceError, match=said):
        laid(mask=mask)


def test_frames_are_written_where_the_caller_wants_them() -> None:
    """In the ring's place while the shape stays; another one when the source changes its own."""
    source = SimSource(FrameShape(4, 6))
    source.play(Frames(2), Change(FrameShape(8, 6)), Frames(1), End())
    camera = FramedCamera(source.make(), settings(rotate=180))
    assert camera.open() == FrameShape(4, 6)
    pixels = np.empty((4, 6, 3), np.uint8)
    assert camera.read_into(pixels) is pixels
    assert camera.read_into(pixels) is pixels
    other = camera.read_into(pixels)
    assert other is not None
    assert other.shape == (8, 6, 3)
    assert number_in(other[::-1, ::-1].copy()) == 2
    assert camera.read_into(other) is None
