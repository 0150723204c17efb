"""Files that the settings name: a secret is read whole, and a fault names the key and the path."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edge_daemon.config.named_files import read_secret, readable_path
from edge_daemon.errors import ConfigurationError

KEY = "mqtt.password_file"


def refusal(path: Path) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        read_secret(path, KEY)
    assert KEY in caught.value.message
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    "content", [b"s3cret", b"s3cret\n", b"  s3cret\r\n", b"\xef\xbb\xbfs3cret"]
)
def test_a_secret_is_what_a_person_wrote(tmp_path: Path, content: bytes) -> None:
    """Without the line's end that an editor puts there."""
    file = tmp_path / "password"
    file.write_bytes(content)
    assert read_secret(file, KEY) == "s3cret"


@pytest.mark.parametrize("content", [b"", b"\n", b"  \n\n"])
def test_an_empty_secret_is_none(tmp_path: Path, content: bytes) -> None:
    """It would be sent, and refused far away."""
    file = tmp_path / "password"
    file.write_bytes(content)
    assert "is empty" in refusal(file).message


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    """Key and path."""
    assert "cannot be read" in refusal(tmp_path / "nowhere").message


def test_what_is_no_file_is_never_waited_for(tmp_path: Path) -> None:
    """A pipe that nobody writes to would stop the start for ever."""
    os.mkfifo(tmp_path / "pipe")
    assert "is a pipe" in refusal(tmp_path / "pipe").message
    assert "is a folder" in refusal(tmp_path).message


def test_a_file_that_is_no_secret_is_not_read_to_its_end(tmp_path: Path) -> None:
    """Somebody named a disk image."""
    file = tmp_path / "image"
    with file.open("wb") as image:
        image.truncate(1 << 40)
    assert "larger than" in refusal(file).message


def test_no_error_says_the_secret(tmp_path: Path) -> None:
    """It goes to logs and screens."""
    file = tmp_path / "password"
    file.write_bytes(b"s3cret\x00")
    assert "s3cret" not in refusal(file).message


def test_a_path_for_a_library_is_looked_at_first(tmp_path: Path) -> None:
    """The library reads it itself, and says less."""
    file = tmp_path / "ca.pem"
    file.write_text("-----BEGIN CERTIFICATE-----")
    assert readable_path(file, "mqtt.tls.ca") == str(file)
    assert readable_path(None, "mqtt.tls.ca") is None
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigurationError, match=r"mqtt\.tls\.ca"):
        readable_path(tmp_path / "pipe", "mqtt.tls.ca")
