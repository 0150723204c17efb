"""Copies in a bucket: over a real socket, signed with the key of a file, and none lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.config.pictures import PicturesSettings, S3Settings
from edge_daemon.frames.copy_places import place_of
from edge_daemon.frames.part_pictures import PartPictures
from edge_daemon.frames.picture_copies import PictureCopies
from edge_daemon.frames.s3_place import S3Place
from tests.frames.test_images import judged
from tests.frames.test_part_pictures import JPEG, UTC, kept, names
from tests.sim.s3 import BUCKET, S3Station, s3_station


@pytest.fixture(scope="module")
def server() -> Iterator[S3Station]:
    with s3_station() as station:
        yield station


def settings(server: S3Station, near: Path, **more: Any) -> S3Settings:
    secret = near / "secret"
    secret.write_text(f"{server.secret}\n")
    usual: dict[str, Any] = {
        "bucket": BUCKET,
        "prefix": f"{near.name}/",
        "endpoint": server.endpoint,
        "access_key_id": server.key_id,
        "secret_key_file": secret,
    }
    return S3Settings(**{**usual, **more})


def copying(wanted: S3Settings, folder: Path) -> tuple[PictureCopies, PartPictures]:
    place = place_of(PicturesSettings(folder=folder, copy_to_s3=wanted))
    assert isinstance(place, S3Place)
    return PictureCopies(folder, place, lambda: True, lambda: UTC + 1000.0), kept(folder)


def ours(server: S3Station, near: Path) -> dict[str, bytes]:
    start = f"{near.name}/"
    found = server.objects().items()
    return {key.removeprefix(start): body for key, body in found if key.startswith(start)}


def test_every_picture_lies_in_the_bucket_with_its_json(server: S3Station, tmp_path: Path) -> None:
    """Under prefix, day and order, byte for byte; the key may write and do nothing else."""
    folder = tmp_path / "kept"
    copies, pictures = copying(settings(server, tmp_path), folder)
    for frame in (1, 2, 3):
        pictures.write(judged(frame), JPEG)
    copies.copy_all()
    assert copies.trouble is None
    files = [path for path in folder.rglob("*.j*") if path.is_file()]
    there = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    assert len(there) == 6
    assert ours(server, tmp_path) == there
    assert (copies.tally.copied, copies.waiting) == (3, 0)


def wrong_secret(folder: Path) -> dict[str, Any]:
    (folder / "wrong").write_text("guess")
    return {"secret_key_file": folder / "wrong"}


def wrong_key(folder: Path) -> dict[str, Any]:
    return {"access_key_id": "AKIAI44QH8DHBEXAMPLE"}


def other_bucket(folder: Path) -> dict[str, Any]:
    return {"bucket": "somebody-elses"}


def nobody_there(folder: Path) -> dict[str, Any]:
    return {"endpoint": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (wrong_secret, "refuses the key"),
        (wrong_key, "refuses the key AKIAI44QH8DHBEXAMPLE"),
        (other_bucket, "does not let the key"),
        (nobody_there, "cannot be reached"),
    ],
)
def test_what_is_wrong_is_said_and_no_picture_is_lost(
    server: S3Station, tmp_path: Path, fault: Any, said: str
) -> None:
    """The secret stands in no sentence; with the right settings the picture follows."""
    folder = tmp_path / "kept"
    copies, pictures = copying(settings(server, tmp_path, **fault(tmp_path)), folder)
    pictures.write(judged(1), JPEG)
    copies.copy_all()
    assert copies.trouble is not None
    assert said in copies.trouble
    assert server.secret not in copies.trouble
    assert (copies.waiting, ours(server, tmp_path)) == (1, {})
    good, _ = copying(settings(server, tmp_path), folder)
    good.copy_all()
    assert len(ours(server, tmp_path)) == 2


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("XMinioStorageFull", "is full"),
        ("RequestTimeTooSkewed", "says that this box's clock is wrong"),
        ("SlowDown", "did not take a picture (SlowDown)"),
    ],
)
def test_a_server_that_takes_none_gets_them_later(
    server: S3Station, tmp_path: Path, code: str, said: str
) -> None:
    """Full, or busy: its own word in a sentence, and every picture once it takes them again."""
    folder = tmp_path / "kept"
    copies, pictures = copying(settings(server, tmp_path), folder)
    for frame in range(5):
        pictures.write(judged(frame), JPEG)
    server.fault = code
    copies.copy_all()
    server.fault = None
    assert copies.trouble is not None
    assert said in copies.trouble
    assert (copies.tally.failed, copies.tally.copied) == (3, 0), "three in a row are enough"
    copies.copy_all()
    assert copies.trouble is None
    assert {key for key in ours(server, tmp_path) if key.endswith("jpg")} == set(names(folder))
