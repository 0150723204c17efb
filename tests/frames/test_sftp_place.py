"""Copies on an SFTP server: over a real socket, to the server that was meant, and none lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from edge_daemon.config.pictures import PicturesSettings, SftpSettings
from edge_daemon.errors import BoxError
from edge_daemon.frames.copy_places import place_of
from edge_daemon.frames.part_pictures import PartPictures
from edge_daemon.frames.picture_copies import PictureCopies
from edge_daemon.frames.sftp_place import SftpPlace
from tests.frames.test_images import judged
from tests.frames.test_part_pictures import JPEG, UTC, kept, names
from tests.sim.sftp import PASSWORD, USER, SftpStation, sftp_station


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SftpStation]:
    (tmp_path / "server" / "upload").mkdir(parents=True)
    with sftp_station(tmp_path / "server") as station:
        yield station


def settings(server: SftpStation, near: Path, **more: Any) -> SftpSettings:
    password = near / "password"
    password.write_text(f"{PASSWORD}\n")
    usual: dict[str, Any] = {
        "host": "127.0.0.1",
        "port": server.port,
        "user": USER,
        "folder": "/upload",
        "known_hosts_file": server.known_hosts(near / "known_hosts"),
        "password_file": password,
    }
    return SftpSettings(**{**usual, **more})


def copying(wanted: SftpSettings, folder: Path) -> tuple[PictureCopies, PartPictures]:
    place = place_of(PicturesSettings(folder=folder, copy_to_sftp=wanted))
    assert isinstance(place, SftpPlace)
    return PictureCopies(folder, place, lambda: True, lambda: UTC + 1000.0), kept(folder)


def test_every_picture_lies_on_the_server_with_its_json(
    server: SftpStation, tmp_path: Path
) -> None:
    """In the folders of day and order, byte for byte, and over one connection."""
    folder = tmp_path / "kept"
    copies, pictures = copying(settings(server, tmp_path), folder)
    for frame in (1, 2, 3):
        pictures.write(judged(frame), JPEG)
    copies.copy_all()
    pictures.write(judged(4), JPEG)
    copies.copy_all()
    upload = server.folder / "upload"
    assert copies.trouble is None
    assert names(upload) == names(folder)
    assert len(names(upload)) == 4
    for each in folder.rglob("*.json"):
        assert (upload / each.relative_to(folder)).read_bytes() == each.read_bytes()
    assert not list(upload.rglob("*.part"))
    assert (server.logins, copies.tally.copied) == (1, 4)


def test_a_key_opens_it_as_a_password_does(server: SftpStation, tmp_path: Path) -> None:
    """A private key without a passphrase, in a file of its own."""
    key = tmp_path / "id_ed25519"
    server.user_key.write_private_key(key)
    wanted = settings(server, tmp_path, key_file=key, password_file=None)
    copies, pictures = copying(wanted, tmp_path / "kept")
    pictures.write(judged(1), JPEG)
    copies.copy_all()
    assert len(names(server.folder)) == 1
    assert server.logins == 0, "no password was asked for"


def stranger(server: SftpStation, folder: Path) -> dict[str, Any]:
    other = asyncssh.generate_private_key("ssh-ed25519")
    return {"known_hosts_file": server.known_hosts(folder / "other", other)}


def wrong_password(server: SftpStation, folder: Path) -> dict[str, Any]:
    (folder / "wrong").write_text("guess")
    return {"password_file": folder / "wrong"}


def broken_key(server: SftpStation, folder: Path) -> dict[str, Any]:
    (folder / "broken").write_text("no key at all")
    return {"key_file": folder / "broken", "password_file": None}


def nowhere(server: SftpStation, folder: Path) -> dict[str, Any]:
    return {"folder": "/archive"}


def no_hosts(server: SftpStation, folder: Path) -> dict[str, Any]:
    return {"known_hosts_file": folder / "missing"}


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (stranger, "shows a host key that is not in other"),
        (wrong_password, "refuses the user line3"),
        (broken_key, "cannot be asked: its key_file or known_hosts_file is not"),
        (nowhere, "has no folder /archive"),
        (no_hosts, "known_hosts_file: "),
    ],
)
def test_what_is_wrong_is_said_and_no_picture_is_lost(
    server: SftpStation, tmp_path: Path, fault: Any, said: str
) -> None:
    """A server that is not the one that was meant gets neither password nor picture."""
    folder = tmp_path / "kept"
    wanted = settings(server, tmp_path, **fault(server, tmp_path))
    copies, pictures = copying(wanted, folder)
    pictures.write(judged(1), JPEG)
    copies.copy_all()
    who = f"the SFTP server 127.0.0.1:{server.port}"
    assert copies.trouble is not None
    assert copies.trouble.startswith((f"{who} {said}", f"results.pictures.copy_to_sftp.{said}"))
    assert PASSWORD not in copies.trouble
    assert (copies.waiting, names(server.folder)) == (1, [])
    if fault is stranger:
        assert server.logins == 0
    good, _ = copying(settings(server, tmp_path), folder)
    good.copy_all()
    assert names(server.folder / "upload") == names(folder)


def test_a_server_that_goes_or_is_full_gets_the_rest_later(
    server: SftpStation, tmp_path: Path
) -> None:
    """Each with its sentence; the waits grow, and what lies there already is sent once."""
    folder = tmp_path / "kept"
    copies, pictures = copying(settings(server, tmp_path), folder)
    pictures.write(judged(1), JPEG)
    copies.copy_all()
    pictures.write(judged(2), JPEG)
    server.full = True
    copies.copy_all()
    assert copies.trouble is not None
    assert "did not take a file (No space left on device)" in copies.trouble
    assert len(names(server.folder / "upload")) == 1, "half a picture is there under no name"
    server.full = False
    server.stop()
    waits = []
    for _ in range(8):
        copies.copy_all()
        waits.append(copies.wait_s)
    assert waits == sorted(waits)
    assert waits[-1] == 300.0
    assert "cannot be reached" in copies.trouble
    server.start()
    copies.copy_all()
    assert copies.trouble is None
    assert names(server.folder / "upload") == names(folder)
    assert (copies.tally.copied, copies.waiting) == (2, 0)


def test_without_its_library_it_says_how_to_get_it(
    server: SftpStation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A station that copies elsewhere needs none of it."""
    monkeypatch.setitem(__import__("sys").modules, "asyncssh", None)
    with pytest.raises(BoxError, match=r"pip install 'edge-daemon\[sftp\]'"):
        SftpPlace(settings(server, tmp_path)).open()
