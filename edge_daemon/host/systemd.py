"""What the daemon tells systemd: sd_notify(3) in one datagram, without a library.

Outside a unit nothing is sent and nothing fails.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping

from edge_daemon.core.values import Instant


class Notifier:
    """Sends messages to the service manager; a method returns if it was sent, and never raises."""

    def __init__(self, address: str | None) -> None:
        self._address = address

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Notifier:
        """To the socket that NOTIFY_SOCKET names; to none where it is missing."""
        return cls(environ.get("NOTIFY_SOCKET") or None)

    def ready(self, status: str = "") -> bool:
        """Started, or reloaded; units that wait for this one may start."""
        return self._send("READY=1", *self._status_line(status))

    def status(self, text: str) -> bool:
        """The line that `systemctl status` shows."""
        return self._send(*self._status_line(text))

    def watchdog(self) -> bool:
        """Still alive. To be fed from completed inferences, never from a timer alone."""
        return self._send("WATCHDOG=1")

    def stopping(self, status: str = "") -> bool:
        return self._send("STOPPING=1", *self._status_line(status))

    def reloading(self, now: Instant) -> bool:
        """The settings are read again; `ready` ends it. `now.at` is CLOCK_MONOTONIC seconds."""
        return self._send("RELOADING=1", f"MONOTONIC_USEC={int(now.at * 1e6)}")

    @staticmethod
    def _status_line(text: str) -> tuple[str, ...]:
        return (f"STATUS={' '.join(text.split())}",) if text else ()

    def _send(self, *lines: str) -> bool:
        if self._address is None or not lines:
            return False
        address = self._address
        if address.startswith("@"):  # Linux's abstract namespace begins with a zero byte
            address = "\0" + address[1:]
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager:
                manager.settimeout(1.0)
                manager.connect(address)
                manager.sendall("\n".join(lines).encode())
        except OSError:
            return False
        return True
