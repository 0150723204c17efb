"""The command line's end of the control socket: answers as they come, and a clear word if not."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.messaging.local_client import LocalSocketError, ask

ACCEPTED = b'{"id":"r-1","status":"accepted"}\n'
PROGRESS = b'{"id":"r-1","status":"progress","stage":"load"}\n'
DONE = b'{"id":"r-1","status":"succeeded"}\n'


class Daemon:
    """Takes one line, says what it was told to say, and hangs up, or falls silent."""

    def __init__(self, path: Path, says: tuple[bytes, ...], *, hangs_up: bool) -> None:
        self.path = path
        self.asked: dict[str, Any] = {}
        self._says, self._hangs_up = says, hangs_up
        self._end = threading.Event()
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        client, _ = self._server.accept()
        with client:
            self.asked = json.loads(client.makefile("rb").readline())
            with suppress(BrokenPipeError):  # a client that has its outcome leaves
                for line in self._says:
                    client.sendall(line)
            if not self._hangs_up:
                self._end.wait(30.0)

    def close(self) -> None:
        self._end.set()
        self._thread.join(30.0)
        self._server.close()


@contextmanager
def daemon(folder: Path, *says: bytes, hangs_up: bool = True) -> Iterator[Daemon]:
    made = Daemon(folder / "control.sock", says, hangs_up=hangs_up)
    try:
        yield made
    finally:
        made.close()


def test_answers_come_up_to_the_outcome(tmp_path: Path) -> None:
    """Accepted, progress, and the end; what follows is another's."""
    with daemon(tmp_path, ACCEPTED, PROGRESS, DONE, ACCEPTED, hangs_up=False) as asked:
        answers = list(ask(asked.path, "swap", {"model": "bottle@2.0.0"}))
    assert [answer["status"] for answer in answers] == ["accepted", "progress", "succeeded"]
    assert asked.asked == {"model": "bottle@2.0.0", "verb": "swap"}


@pytest.mark.parametrize("status", ["rejected", "failed", "superseded", "expired", "interrupted"])
def test_every_outcome_ends_the_waiting(tmp_path: Path, status: str) -> None:
    """Nobody waits for a second one."""
    line = json.dumps({"id": "r-1", "status": status}).encode() + b"\n"
    with daemon(tmp_path, ACCEPTED, line, hangs_up=False) as asked:
        assert [answer["status"] for answer in ask(asked.path, "swap", {})][-1] == status


@pytest.mark.parametrize("verb", ["state", "status", "rollouts", "a later one"])
@pytest.mark.parametrize("answer", [{"active": None}, {"status": {"state": "online"}}, {}])
def test_a_question_has_one_answer(tmp_path: Path, verb: str, answer: dict[str, Any]) -> None:
    """Whatever is asked, what is no outcome and no progress is all that comes."""
    with daemon(tmp_path, json.dumps(answer).encode() + b"\n", hangs_up=False) as asked:
        assert list(ask(asked.path, verb, {}, timeout_s=20.0)) == [answer]


def test_a_field_of_the_document_does_not_change_the_verb(tmp_path: Path) -> None:
    """What is asked is what the command says."""
    with daemon(tmp_path, DONE) as asked:
        list(ask(asked.path, "hold", {"verb": "release"}))
    assert asked.asked["verb"] == "hold"


def test_a_daemon_that_hangs_up_before_the_outcome_is_told_apart(tmp_path: Path) -> None:
    """It was stopped meanwhile: the request may go on, and the state says how."""
    answers = []
    with daemon(tmp_path, ACCEPTED) as asked, pytest.raises(LocalSocketError) as caught:
        answers.extend(ask(asked.path, "swap", {}))
    assert "before the outcome" in caught.value.message
    assert "status" in caught.value.hint


def test_a_daemon_that_says_nothing_is_not_waited_for_without_end(tmp_path: Path) -> None:
    """The time limit is the caller's."""
    with daemon(tmp_path, hangs_up=False) as asked, pytest.raises(LocalSocketError) as caught:
        list(ask(asked.path, "swap", {}, timeout_s=0.05))
    assert "does not answer" in caught.value.message


def test_what_is_no_json_is_no_answer(tmp_path: Path) -> None:
    """Another program listens there."""
    with daemon(tmp_path, b"220 smtp ready\n") as asked, pytest.raises(LocalSocketError):
        list(ask(asked.path, "swap", {}))


def test_where_nobody_listens_the_way_to_look_is_named(tmp_path: Path) -> None:
    """The path, and the service."""
    missing = tmp_path / "control.sock"
    with pytest.raises(LocalSocketError) as caught:
        list(ask(missing, "state", {}))
    assert str(missing) in caught.value.message
    assert "systemctl status" in caught.value.hint


def test_a_socket_that_may_not_be_used_names_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another next step than for a daemon that does not run."""

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    with pytest.raises(LocalSocketError) as caught:
        list(ask(tmp_path / "control.sock", "state", {}))
    assert "group" in caught.value.hint
