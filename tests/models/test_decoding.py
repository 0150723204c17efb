"""A golden image is judged as people see and label it: upright, and not blacker than it is."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from edge_daemon.errors import BundleError
from edge_daemon.host.memory import Pixels
from edge_daemon.models.decoding import decode_image
from edge_daemon.models.picture_size import picture_header, picture_size
from tests.sim.photographs import exif, photograph, with_exif


@pytest.fixture(scope="module")
def upright() -> Pixels:
    """Each corner of it is another colour; it is higher than wide."""
    picture = np.zeros((96, 64, 3), np.uint8)
    picture[:48, :32], picture[:48, 32:], picture[48:, :32] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return picture


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photograph_is_judged_upright(
    tmp_path: Path, upright: Pixels, orientation: int, suffix: str
) -> None:
    """However the camera was held; and its size is told as it is judged."""
    path = tmp_path / f"photo{suffix}"
    path.write_bytes(photograph(upright, orientation, suffix))
    decoded = decode_image(path)
    assert decoded.flags.c_contiguous
    assert decoded.shape == upright.shape
    assert np.abs(decoded.astype(int) - upright).mean() < 4.0, "but for what JPEG costs"
    assert picture_size(path) == (64, 96)
    own = cv2.imread(str(path), cv2.IMREAD_COLOR)  # OpenCV and the tools that label turn it alike
    assert np.array_equal(decoded, own)


@pytest.mark.parametrize(
    "words",
    [
        exif(9),
        exif(0),
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff",
        b"MM\0*",
        b"no TIFF",
        b"",
    ],
)
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_words_that_mean_nothing_turn_nothing(
    tmp_path: Path, upright: Pixels, words: bytes, suffix: str
) -> None:
    """It counts as it lies in its file."""
    path = tmp_path / f"photo{suffix}"
    path.write_bytes(with_exif(cv2.imencode(suffix, upright)[1].tobytes(), words))
    assert decode_image(path).shape == upright.shape
    assert picture_size(path) == (64, 96)


def test_what_stands_behind_a_frame_hides_no_size(tmp_path: Path) -> None:
    """A header that breaks off after it: the decoder may unfold it all the same."""
    path = tmp_path / "huge.jpg"
    whole = bytearray(cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes())
    frame = whole.index(b"\xff\xc0")
    whole[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    path.write_bytes(bytes(whole[: frame + 19]) + b"\xff")
    assert picture_size(path) == (65535, 65535)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
def test_a_grey_picture_is_judged_as_a_grey_camera_is(tmp_path: Path, suffix: str) -> None:
    """One channel in the file, three alike to the model."""
    grey = np.tile(np.arange(64, dtype=np.uint8) * 4, (48, 1))
    path = tmp_path / f"grey{suffix}"
    path.write_bytes(cv2.imencode(suffix, grey)[1].tobytes())
    decoded = decode_image(path)
    assert decoded.shape == (48, 64, 3)
    assert (decoded == decoded[..., :1]).all()
    assert np.abs(decoded[..., 0].astype(int) - grey).max() <= 3


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_become_eight(tmp_path: Path, channels: int) -> None:
    """The high byte, as of a camera with 16 bits."""
    deep = np.tile(np.arange(64, dtype=np.uint16) * 1024, (48, 1))
    path = tmp_path / "deep.png"
    path.write_bytes(cv2.imencode(".png", np.dstack([deep] * channels))[1].tobytes())
    header = picture_header(path)
    assert header is not None
    assert header.bits == 16
    decoded = decode_image(path)
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded[..., 0], (deep >> 8).astype(np.uint8))


def test_twelve_bits_in_sixteen_are_refused_and_not_judged_black(tmp_path: Path) -> None:
    """Its high byte is almost nothing; a model that finds nothing on it would call it ok."""
    deep = np.tile(np.arange(64, dtype=np.uint16) * 63, (48, 1))
    path = tmp_path / "deep.png"
    path.write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    with pytest.raises(BundleError, match=r"deep\.png uses the lower bits") as refused:
        decode_image(path)
    assert "shift its values up" in str(refused.value)
