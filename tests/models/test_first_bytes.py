"""Files that are plainly no weights, or other ones, are told by what they are."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import pytest

from edge_daemon.errors import BundleError, Code
from edge_daemon.models.bundle import read_manifest, verified_copy
from edge_daemon.models.first_bytes import refuse_unlike
from edge_daemon.models.trust import Trust
from tests.sim.bundles import make_bundle
from tests.sim.words import assert_public

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 6534387\n"
)
PAGE = b"\n<!DOCTYPE html><html><body>404 Not Found</body></html>"
ONNX = b"\x08\x09\x12\x07pytorch\x1a\x052.1.0" + bytes(100)
PICKLE = pickle.dumps({"model": 1}, protocol=2)


def archive(*names: str, first: bytes = b"\x80\x02}q\x00.") -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name in names:
            made.writestr(f"archive/{name}", first)
    return file.getvalue()


YOLOV5 = archive(
    "data.pkl", first=b"\x80\x02}q\x00X\x05\x00\x00\x00modelcmodels.yolo\nDetectionModel"
)
CHECKPOINT = archive("data.pkl", "data/0")
TORCHSCRIPT = archive("data.pkl", "code/x.py", "constants.pkl")

REFUSED = [
    ("weights.pt", POINTER, "Git LFS"),
    ("weights.onnx", POINTER, "Git LFS"),
    ("weights.pt", PAGE, "web page"),
    ("weights.engine", b"\xef\xbb\xbf<?xml version='1.0'?><Error/>", "web page"),
    ("weights.pt", YOLOV5, "YOLOv5"),
    ("weights.pt", TORCHSCRIPT, "is TorchScript"),
    ("weights.torchscript", CHECKPOINT, "checkpoint"),
    ("weights.onnx", CHECKPOINT, "checkpoint"),
    ("weights.onnx", PICKLE, "checkpoint"),
    ("weights.pt", ONNX, "is ONNX"),
    ("weights.pt", b"\x08\x09\x3a\x05graph", "is ONNX"),
]


@pytest.mark.parametrize(("file", "content", "told"), REFUSED, ids=lambda value: str(value)[:24])
def test_what_it_is_is_said(tmp_path: Path, file: str, content: bytes, told: str) -> None:
    """At the first door that reads the bytes, long before a library does."""
    folder = make_bundle(tmp_path / "store", weights=content, file=file)
    with pytest.raises(BundleError) as refused:
        verified_copy(read_manifest(folder), folder, tmp_path / "copy", Trust())
    assert refused.value.code is Code.LOAD_FAILED
    assert told in refused.value.message
    assert_public(refused.value.message, refused.value.hint)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("weights.pt", CHECKPOINT),
        ("weights.pt", PICKLE),
        ("weights.torchscript", TORCHSCRIPT),
        ("weights.onnx", ONNX),
        ("weights.pt", b"\0"),
        ("weights.pt", b"PK\x03\x04 half of an archive"),
        ("weights.pt", b"PK\x05\x06"),
        ("weights.pt", b"PK\x03\x04" + b"PK\x05\x06" + b"\xff" * 18),
        ("weights.engine", b"\x10\x00\x00\x00{}"),
    ],
)
def test_what_may_be_right_is_left_to_its_library(
    tmp_path: Path, file: str, content: bytes
) -> None:
    """No guess is made about bytes that nobody knows."""
    (tmp_path / file).write_bytes(content)
    refuse_unlike(tmp_path / file)


def test_a_pointer_within_an_openvino_folder_is_found(tmp_path: Path) -> None:
    """Its XML is right, and the tensors beside it were never fetched."""
    folder = tmp_path / "weights_openvino_model"
    folder.mkdir()
    (folder / "weights.xml").write_bytes(b"<?xml version='1.0'?><net/>")
    refuse_unlike(folder)
    (folder / "weights.bin").write_bytes(POINTER)
    with pytest.raises(BundleError, match=r"weights\.bin is a pointer of Git LFS"):
        refuse_unlike(folder)
