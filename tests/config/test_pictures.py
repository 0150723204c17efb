"""Where pictures are copied to: one place, and no secret in the settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from edge_daemon import config
from edge_daemon.config import PicturesSettings
from edge_daemon.errors import ConfigurationError

SFTP = {
    "host": "archive.plant",
    "user": "line3",
    "folder": "/upload",
    "known_hosts_file": "known_hosts",
    "key_file": "id_ed25519",
}
S3 = {"bucket": "pictures", "access_key_id": "line3", "secret_key_file": "s3.secret"}


def test_files_lie_beside_the_settings(tmp_path: Path) -> None:
    """As all files that the settings name."""
    station = tmp_path / "station.yaml"
    lines = ", ".join(f"{key}: {value}" for key, value in SFTP.items())
    station.write_text(
        "device: d\ncamera: {source: /dev/video0}\nmodels: {store: m, trust: {required: false}}\n"
        f"results: {{pictures: {{folder: kept, copy_to_sftp: {{{lines}}}}}}}\n"
    )
    pictures = config.load(station).results.pictures
    assert pictures is not None
    assert pictures.copy_to_sftp is not None
    assert pictures.copy_to_sftp.known_hosts_file == tmp_path / "known_hosts"
    assert pictures.copy_to_sftp.key_file == tmp_path / "id_ed25519"
    assert pictures.copy_to_sftp.port == 22


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ({"copy_to": "/mnt", "copy_to_s3": S3}, "has one place to copy to"),
        ({"copy_to_sftp": SFTP, "copy_to_s3": S3}, "has one place to copy to"),
        ({"copy_to_sftp": {**SFTP, "password_file": "p"}}, "either a key_file or a password_file"),
        ({"copy_to_sftp": {**SFTP, "key_file": None}}, "either a key_file or a password_file"),
        ({"copy_to_sftp": {**SFTP, "password": "secret"}}, "Extra inputs"),
        ({"copy_to_sftp": {**SFTP, "host": "sftp://archive"}}, "host alone"),
        ({"copy_to_sftp": {k: SFTP[k] for k in SFTP if "known" not in k}}, "known_hosts_file"),
        ({"copy_to_s3": {**S3, "endpoint": "minio:9000"}}, "https://host:port"),
        ({"copy_to_s3": {**S3, "endpoint": "https://key:secret@minio"}}, "https://host:port"),
        ({"copy_to_s3": {**S3, "bucket": "s3://pictures"}}, "bucket"),
    ],
)
def test_what_cannot_be_meant_is_refused(places: dict[str, Any], said: str) -> None:
    """Two places, both keys or none, a server whose key nobody knows, a secret in the open."""
    with pytest.raises(ValidationError, match=said):
        PicturesSettings(folder=Path("kept"), **places)


def test_an_empty_secret_is_no_secret(tmp_path: Path) -> None:
    """The file is read at use, and its key is named."""
    (tmp_path / "s3.secret").write_text("\n")
    wanted = {**S3, "secret_key_file": tmp_path / "s3.secret"}
    pictures = PicturesSettings(folder=tmp_path, copy_to_s3=wanted)  # type: ignore[arg-type]
    assert pictures.copy_to_s3 is not None
    with pytest.raises(ConfigurationError, match=r"copy_to_s3.secret_key_file: .* is empty"):
        pictures.copy_to_s3.read_secret_key()
