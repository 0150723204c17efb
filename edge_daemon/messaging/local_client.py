"""The other end of the control socket: asks the daemon on this machine without a broker."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge_daemon.errors import BoxError
from edge_daemon.host import unix_socket
from edge_daemon.messaging.answer import OUTCOMES


class LocalSocketError(BoxError):
    """The daemon's control socket cannot be reached, or went silent."""


def ask(
    path: Path, verb: str, document: dict[str, Any], timeout_s: float = 300.0
) -> Iterator[dict[str, Any]]:
    """Send one request and yield its answers up to the outcome (a question: the one answer).

    Raises:
        LocalSocketError: nobody listens there, or no answer came within `timeout_s`.
    """
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(timeout_s)
            unix_socket.connect(sock, path)
            with suppress(BrokenPipeError, ConnectionResetError):  # why may stand in the answer
                sock.sendall(json.dumps({**document, "verb": verb}).encode() + b"\n")
            for line in sock.makefile("rb"):
                answer = json.loads(line)
                yield answer
                status = answer.get("status")
                if not isinstance(status, str) or status in OUTCOMES:
                    return  # the one answer to a question has no status
    except (OSError, ValueError) as error:
        hint = "Is it running? See `systemctl status 'edge-daemon@*'`."
        if isinstance(error, PermissionError):
            hint = "Run it as root, or as a member of the daemon's group."
        raise LocalSocketError(f"The daemon does not answer at {path}: {error}.", hint=hint) from (
            error
        )
    raise LocalSocketError(
        f"The daemon closed {path} before the outcome.",
        hint="See what became of it: edge-daemon status",
    )
