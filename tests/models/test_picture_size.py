"""How large a picture is, known from its header; one that unfolds to gigabytes is refused."""

from __future__ import annotations

import hashlib
import struct
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_daemon.errors import BundleError, Code
from edge_daemon.models.bundle import read_manifest, verified_copy
from edge_daemon.models.picture_size import picture_size
from edge_daemon.models.trust import Trust
from tests.sim.bundles import make_bundle, png_header


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp"])
@pytest.mark.parametrize("size", [(640, 480), (33, 7)])
def test_the_header_says_what_the_decoder_would(
    tmp_path: Path, suffix: str, size: tuple[int, int]
) -> None:
    """In every format that golden images may have."""
    path = tmp_path / f"image{suffix}"
    pixels = np.random.default_rng(1).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
    assert cv2.imwrite(str(path), pixels)
    assert picture_size(path) == size


def test_a_jpeg_with_profiles_and_padding_is_read_to_its_frame(tmp_path: Path) -> None:
    """Cameras put much before the picture itself."""
    usual = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    segment = b"\xff\xe1" + struct.pack(">H", 65535) + bytes(65533)
    (tmp_path / "image.jpg").write_bytes(usual[:2] + segment * 20 + b"\xff" + usual[2:])
    assert picture_size(tmp_path / "image.jpg") == (64, 48)


BEGINNINGS = [b"\xff\xd8", b"\xff\xd8\xff\xe1", b"BM", b"\x89PNG\r\n\x1a\n", b""]


@given(st.sampled_from(BEGINNINGS), st.binary())
def test_no_bytes_do_worse_than_to_be_of_unknown_size(begin: bytes, rest: bytes) -> None:
    """It is told in whole pixels or not at all; nothing raises."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(begin + rest)
        file.flush()
        size = picture_size(Path(file.name))
    assert size is None or min(size) >= 0


@pytest.mark.parametrize(("width", "is_taken"), [(7900, True), (12000, False)])
def test_a_golden_image_that_would_fill_the_memory_is_refused(
    tmp_path: Path, width: int, is_taken: bool
) -> None:
    """A few bytes on the disk, 432 MB once they are decoded, and each model decodes them."""
    header = png_header(width, 8000)

    def describe(manifest: dict[str, Any]) -> None:
        manifest["golden"][0]["sha256"] = hashlib.sha256(header).hexdigest()

    folder = make_bundle(tmp_path / "store", golden=1, edit=describe)
    (folder / "golden" / "0000.png").write_bytes(header)
    manifest = read_manifest(folder)
    if is_taken:
        assert verified_copy(manifest, folder, tmp_path / "copy", Trust()).golden
        return
    with pytest.raises(BundleError, match="12000 x 8000 pixels") as refused:
        verified_copy(manifest, folder, tmp_path / "copy", Trust())
    assert refused.value.code is Code.INVALID_BUNDLE
