"""Image files of bundles and folders as pixels, as upright as their headers say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge_daemon.errors import BundleError
from edge_daemon.models.picture_size import UPRIGHT, picture_header

Pixels = NDArray[np.uint8]

_IMAGE_LIMIT_BYTES = 64 << 20


def decode_image(path: Path) -> Pixels:
    """Read one image file as upright BGR; grey ones too, and the high bytes of 16-bit ones.

    Raises BundleError when it is none, is over 64 MiB, or would be black for its few bits.
    """
    import cv2  # noqa: PLC0415 - a worker's import, not the daemon's

    hint = "Replace it, or take it away."
    try:
        if path.stat().st_size > _IMAGE_LIMIT_BYTES:
            raise BundleError(f"The image {path.name} is larger than 64 MiB.", hint=hint)
        as_it_lies = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        decoded = cv2.imdecode(np.fromfile(path, dtype=np.uint8), as_it_lies)
    except (OSError, cv2.error) as error:
        raise BundleError(f"The image {path.name} cannot be read.", hint=hint) from error
    if decoded is None:
        raise BundleError(f"The image {path.name} is not a picture that OpenCV reads.", hint=hint)
    header = picture_header(path)
    if header is not None and header.bits == 16 and not decoded.max() >> 4:
        raise BundleError(
            f"The image {path.name} uses the lower bits of its 16 only, and would be black.",
            hint="Save it with 8 bits, or shift its values up, by 4 bits for a camera with 12.",
        )
    pixels = np.asarray(decoded, np.uint8)
    return np.ascontiguousarray(turned(pixels, header.orientation if header else UPRIGHT))


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """A picture that lies in its file by this orientation of EXIF, as it is to be seen."""
    if orientation >= 5:
        pixels = np.swapaxes(pixels, 0, 1)
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    return pixels[:, ::-1] if orientation in {2, 3, 6, 7} else pixels
