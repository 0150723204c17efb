"""The journal's native protocol: a log line with fields in one datagram, without a library.

A line on stdout has a text and a severity only. Sent here, every event has a MESSAGE_ID, so that
`journalctl -x` explains it and says what to do (systemd/edge-daemon.catalog). Its values are
fields: `journalctl EDGE_SWAP_ID=…` finds one swap.
"""

from __future__ import annotations

import json
import logging
import re
import socket
import struct
from typing import TYPE_CHECKING, TextIO
from uuid import UUID, uuid5

if TYPE_CHECKING:
    _StreamHandler = logging.StreamHandler[TextIO]
else:
    _StreamHandler = logging.StreamHandler  # takes no parameter before Python 3.11

SOCKET = "/run/systemd/journal/socket"
IDENTIFIER = "edge-daemon"

_EVENTS = UUID("5b0dd1e5-5a5f-4f0e-9d3a-6b8c41f7a2d0")
_EVENT = re.compile(r"[a-z][a-z0-9_]*")
_FIELD = re.compile(r"[A-Z][A-Z0-9_]{0,58}")


def message_id(event: str) -> str:
    """What `journalctl -x` and MESSAGE_ID= know the event by: 32 hexadecimal digits."""
    return uuid5(_EVENTS, event).hex


class JournalHandler(_StreamHandler):
    """Sends `<N>{json}` lines to the journal with fields; to the stream where nobody listens."""

    def __init__(self, stream: TextIO, address: str = SOCKET) -> None:
        super().__init__(stream)
        self._address = address
        self._journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._journal.settimeout(1.0)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            datagram = encode(self.format(record))
            self._journal.sendto(datagram, self._address)
        except (OSError, ValueError):  # not there, or the line is larger than a datagram may be
            super().emit(record)

    def close(self) -> None:
        self._journal.close()
        super().close()


def encode(line: str) -> bytes:
    """The datagram of one `<N>{json}` line; raises ValueError for any other."""
    if line[:1] != "<" or line[2:3] != ">":
        raise ValueError("not a line for the journal")
    text = line[3:]
    values = json.loads(text)
    event = str(values["event"])
    fields = {"MESSAGE": text, "PRIORITY": line[1], "SYSLOG_IDENTIFIER": IDENTIFIER}
    if str(values.get("logger", "")).startswith("edge_daemon") and _EVENT.fullmatch(event):
        fields["MESSAGE_ID"] = message_id(event)
    for key, value in values.items():
        name = key.upper()
        if isinstance(value, (str, int, float)) and _FIELD.fullmatch(name):
            fields[f"EDGE_{name}"] = str(value)
    return b"".join(_field(name, value.encode()) for name, value in fields.items())


def _field(name: str, value: bytes) -> bytes:
    if b"\n" not in value:
        return name.encode() + b"=" + value + b"\n"
    return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
