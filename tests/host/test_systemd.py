"""What systemd is told arrives as its manual wants it, on a real datagram socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.core.values import Instant
from edge_daemon.host.systemd import Notifier


@pytest.fixture(params=["file", "abstract"])
def ear(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    name = f"@edge-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name.replace("@", "\0", 1) if name.startswith("@") else name)
        manager.settimeout(10)
        yield manager, name


def test_each_word_is_one_datagram(ear: tuple[socket.socket, str]) -> None:
    """READY, STATUS, WATCHDOG, RELOADING and STOPPING as sd_notify(3) spells them."""
    manager, address = ear
    notifier = Notifier(address)
    said = [
        (notifier.ready("judging\nbottle@1"), b"READY=1\nSTATUS=judging bottle@1"),
        (notifier.status("camera lost"), b"STATUS=camera lost"),
        (notifier.watchdog(), b"WATCHDOG=1"),
        (notifier.reloading(Instant(12.5, 0.0)), b"RELOADING=1\nMONOTONIC_USEC=12500000"),
        (notifier.stopping(), b"STOPPING=1"),
    ]
    for heard, datagram in said:
        assert heard
        assert manager.recv(4096) == datagram


def test_without_a_manager_nothing_is_sent_and_nothing_fails(tmp_path: Path) -> None:
    """No unit, or one that is gone: the daemon goes on."""
    assert not Notifier.from_environ({}).ready()
    assert not Notifier(str(tmp_path / "nobody")).watchdog()
    assert not Notifier(str(tmp_path / "nobody")).status("")
