"""What reaches the journal: one datagram a line, with fields that can be asked for."""

from __future__ import annotations

import io
import json
import logging
import socket
from pathlib import Path

import pytest

from edge_daemon.host.journald import JournalHandler, encode, message_id

LINE = '<4>{"event":"camera_lost","logger":"edge_daemon.frames","swap_id":"7","text":"a\\nb"}'


def _fields(datagram: bytes) -> dict[str, str]:
    fields = {}
    while datagram:
        head, _, rest = datagram.partition(b"\n")
        if b"=" in head:
            name, _, value = head.partition(b"=")
        else:
            size = int.from_bytes(rest[:8], "little")
            name, value, rest = head, rest[8 : 8 + size], rest[9 + size :]
        fields[name.decode()] = value.decode()
        datagram = rest
    return fields


def _record(text: str) -> logging.LogRecord:
    return logging.LogRecord("x", logging.WARNING, "", 0, text, (), None)


def test_a_line_becomes_fields(tmp_path: Path) -> None:
    """Severity, the event's id and every plain value arrive; the text stays the JSON line."""
    stream = io.StringIO()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(tmp_path / "journal"))
        handler = JournalHandler(stream, str(tmp_path / "journal"))
        handler.emit(_record(LINE))
        fields = _fields(journal.recv(65536))
        handler.close()
    assert fields["PRIORITY"] == "4"
    assert fields["MESSAGE_ID"] == message_id("camera_lost")
    assert (fields["EDGE_SWAP_ID"], fields["EDGE_TEXT"]) == ("7", "a\nb")
    assert json.loads(fields["MESSAGE"])["event"] == "camera_lost"
    assert stream.getvalue() == ""


def test_without_a_journal_the_line_is_not_lost(tmp_path: Path) -> None:
    """Where nobody listens, the stream has it as before."""
    stream = io.StringIO()
    handler = JournalHandler(stream, str(tmp_path / "nobody"))
    handler.emit(_record(LINE))
    handler.close()
    assert stream.getvalue() == LINE + "\n"


def test_what_libraries_say_has_no_id() -> None:
    """Only the daemon's own events can be explained."""
    assert "MESSAGE_ID" not in _fields(encode('<6>{"event":"hello you","logger":"uvicorn"}'))


@pytest.mark.parametrize("line", ["", "{}", "<6>", "<6>{"])
def test_anything_else_is_no_datagram(line: str) -> None:
    """A line that is not ours is refused, and goes to the stream."""
    with pytest.raises(ValueError):  # noqa: PT011 - json's own error is one
        encode(line)
