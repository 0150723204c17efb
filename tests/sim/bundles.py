"""Bundles made on the spot, good ones and every kind of bad one; nothing here needs torch.

The weights are bytes that no engine can read unless real ones are given; golden images are real
PNG files of one grey each.
"""

from __future__ import annotations

import hashlib
import random
import struct
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from edge_daemon.core.values import BundleRef
from edge_daemon.models.bundle import digest_of
from edge_daemon.models.trust import sign

CLASSES = ("bottle", "scratch", "dent")

Edit = Callable[[dict[str, Any]], None]


def make_bundle(
    store: Path,
    ref: str = "bottle@1.0.0",
    *,
    weights: bytes | Path | None = None,
    file: str = "weights.pt",
    classes: Sequence[str] = CLASSES,
    golden: int = 2,
    edit: Edit | None = None,
    key: Path | None = None,
) -> Path:
    """Put a good bundle in `<store>/<name>/<version>` and return that folder.

    `weights`: bytes, a real file to copy, or None for 4 KiB that differ for each ref. `edit`
    changes the manifest before it is written; `key` signs the folder as it then stands.
    """
    parsed = BundleRef.parse(ref)
    folder = store / parsed.name / parsed.version
    folder.mkdir(parents=True)
    write_weights(folder / file, weights if weights is not None else noise(ref))
    manifest = describe(folder, parsed, file, classes, golden)
    if edit is not None:
        edit(manifest)
    write_manifest(folder, manifest)
    if key is not None:
        sign(folder, key)
    return folder


def describe(
    folder: Path, ref: BundleRef, file: str, classes: Sequence[str], golden: int
) -> dict[str, Any]:
    """The manifest of a folder that holds the weights; writes the golden images beside them."""
    sha256, size = digest_of(folder / file)
    return {
        "schema": 1,
        "name": ref.name,
        "version": ref.version,
        "weights": {"file": file, "sha256": sha256, "size": size},
        "task": "detect",
        "classes": list(classes),
        "input": {"imgsz": 320},
        "recipe": {"confidence": 0.35, "reject": list(classes[1:])},
        "golden": [golden_entry(folder, number, classes) for number in range(golden)],
        "limits": {"min_recall": 0.9, "max_slice_drop": 0.05, "latency_ratio": 1.5},
    }


def golden_entry(folder: Path, number: int, classes: Sequence[str]) -> dict[str, Any]:
    """Write one golden image, and say what is on it: a box on even ones, a count on odd ones."""
    image = f"golden/{number:04}.png"
    (folder / "golden").mkdir(exist_ok=True)
    (folder / image).write_bytes(grey_png(64, 48, 32 + number % 200))
    boxes = [{"class": classes[-1], "box": [8, 8, 24, 24]}]
    return {
        "image": image,
        "sha256": hashlib.sha256((folder / image).read_bytes()).hexdigest(),
        "slice": "low_light" if number % 2 else "normal",
        "expect": {"count": number} if number % 2 else boxes,
    }


def write_weights(path: Path, content: bytes | Path) -> None:
    """A file of these bytes; for an OpenVINO folder, its two files."""
    content = content.read_bytes() if isinstance(content, Path) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name.endswith("_openvino_model"):
        path.mkdir()
        (path / "weights.xml").write_bytes(b"<net/>")
        (path / "weights.bin").write_bytes(content)
    else:
        path.write_bytes(content)


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Put `model.yaml` there last, by rename, as a store expects it."""
    aside = folder.parent / f".{folder.name}.yaml"
    aside.write_text(yaml.safe_dump(manifest, sort_keys=False))
    aside.replace(folder / "model.yaml")


def noise(seed: str, size: int = 4096) -> bytes:
    chance, most = random.Random(seed), 1 << 24  # more at once than randbytes() takes
    return b"".join(chance.randbytes(min(most, size - at)) for at in range(0, size, most))


def grey_png(width: int, height: int, level: int) -> bytes:
    """A valid PNG of one grey, made without an image library."""
    rows = (b"\0" + bytes([level]) * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, body) for kind, body in parts)


def png_header(width: int, height: int) -> bytes:
    """All of a PNG but its pixels."""
    return b"\x89PNG\r\n\x1a\n" + _chunk(
        b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    )


def _chunk(kind: bytes, body: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + body))
    return struct.pack(">I", len(body)) + kind + body + checksum
