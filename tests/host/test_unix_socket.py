"""A socket answers in whatever folder it lies."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from edge_daemon.host import unix_socket


@pytest.mark.parametrize("depth", [0, 1, 20])
def test_a_socket_answers_in_a_folder_with_a_long_name(tmp_path: Path, depth: int) -> None:
    """Where the kernel takes the path, and where it would not."""
    folder = tmp_path.joinpath(*["a-folder-of-this-station"] * depth)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "control.sock"
    held = len(os.listdir("/proc/self/fd"))
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        unix_socket.bind(server, path)
        server.listen()
        unix_socket.connect(client, path)
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"here")
            assert accepted.recv(4) == b"here"
        assert path.is_socket()
    assert len(os.listdir("/proc/self/fd")) == held


def test_a_folder_that_is_not_there_is_an_oserror(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as sock, pytest.raises(FileNotFoundError):
        unix_socket.bind(sock, tmp_path.joinpath("none" * 50, "control.sock"))
