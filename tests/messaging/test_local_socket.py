"""The control socket: the same door as MQTT, for when no broker is there."""

from __future__ import annotations

import itertools
import json
import os
import queue
import socket
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.core.values import Status
from edge_daemon.errors import BoxError
from edge_daemon.host.clock import SystemClock
from edge_daemon.messaging.answer import Answer, accepted, outcome, progress, refused
from edge_daemon.messaging.inbox import RefusedRequest, read_request
from edge_daemon.messaging.local_client import LocalSocketError, ask
from edge_daemon.messaging.local_socket import MAX_CLIENTS, LocalSocket
from edge_daemon.messaging.messages import Incoming
from edge_daemon.messaging.payloads import Outcome

Door = Callable[[str, Incoming], None]


def accept_and_succeed(verb: str, incoming: Incoming) -> None:
    """A driver in three lines: it reads the request, and each answer goes its way back."""
    try:
        request = read_request(verb, incoming, "drivers-own")
    except RefusedRequest as error:
        incoming.reply(refused(error.request_id, error))
        return
    incoming.reply(accepted(request.id))
    incoming.reply(progress(request.id, "loading", 1.0))
    detail = f"{request.verb.value} {request.model} {request.by}"
    incoming.reply(Answer(request.id, Outcome(request.id, "succeeded", detail=detail)))


@contextmanager
def serving(door: Door = accept_and_succeed, state: str | None = None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="eds-") as folder:
        path = Path(folder) / "control.sock"
        ids = itertools.count()
        served = LocalSocket(
            path,
            door,
            lambda: {"active": state},
            SystemClock(),
            lambda: f"local-{next(ids)}",
        )
        served.start()
        try:
            yield path
        finally:
            served.stop()


def asked(path: Path, verb: str, **document: Any) -> list[dict[str, Any]]:
    return list(ask(path, verb, document, timeout_s=20.0))


def test_a_command_is_answered_up_to_its_outcome() -> None:
    """accepted, progress, succeeded: the answers of MQTT, under an id that was made here."""
    with serving() as path:
        answers = asked(path, "swap", model="bottle@1.4.0", by="kim")
    assert [answer["status"] for answer in answers] == ["accepted", "progress", "succeeded"]
    assert {answer["id"] for answer in answers} == {"local-0"}
    assert answers[-1]["detail"] == f"swap bottle@1.4.0 kim (uid {os.getuid()})"


def test_the_kernel_says_who_asks_where_nobody_else_does() -> None:
    """The trail of a local command names its user."""
    with serving() as path:
        answers = asked(path, "hold", id="h-1")
    assert answers[-1]["id"] == "h-1"
    assert answers[-1]["detail"] == f"hold None uid {os.getuid()}"


def test_the_state_is_read_without_a_command() -> None:
    """`status --local` works with the broker down."""
    with serving() as path:
        assert asked(path, "state") == [{"active": None}]


@pytest.mark.parametrize("document", [{"model": 7}, {"id": ["x"], "model": "b"}, {"id": ""}])
def test_a_malformed_command_is_answered_to_its_sender(document: dict[str, Any]) -> None:
    """Also where its id is no id: the sender waits for nobody."""
    with serving() as path:
        (answer,) = asked(path, "swap", **document)
    assert (answer["status"], answer["error"]["code"]) == ("rejected", "malformed")


@pytest.mark.parametrize("line", [b"swap\n", b"[]\n", b'{"verb":7}\n', b"\xff\n", b"[[\n"])
def test_a_line_that_is_no_command_is_answered(line: bytes) -> None:
    """And the connection can be used further."""
    with serving() as path, socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20.0)
        sock.connect(str(path))
        sock.sendall(line + b'{"verb":"state"}\n')
        replies = sock.makefile("rb")
        assert json.loads(replies.readline())["status"] == "rejected"
        assert json.loads(replies.readline()) == {"active": None}


def test_a_line_without_end_is_cut_off() -> None:
    """Memory is bounded by the door's own limit."""
    with serving() as path, socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(20.0)
        sock.connect(str(path))
        sock.sendall(b"x" * 262_145)
        replies = sock.makefile("rb")
        assert json.loads(replies.readline())["status"] == "rejected"
        assert replies.readline() == b""


def test_a_client_that_is_to_leave_is_told_once() -> None:
    """After what it did not read yet; what it sends further is not kept."""
    with serving(state="x" * 900_000) as path, connected(path, b'{"verb":"state"}\n') as sock:
        writing = threading.Thread(target=sock.sendall, args=(b"y" * 262_145,))
        writing.start()
        answers = sock.makefile("rb").readlines()
        writing.join()
    assert [json.loads(answer).get("status") for answer in answers] == [None, "rejected"]


def test_a_client_that_reads_nothing_is_disconnected() -> None:
    """Its answers would fill the memory; the others are served."""
    with serving(state="x" * 900_000) as path, connected(path, b'{"verb":"state"}\n' * 3) as sock:
        assert asked(path, "hold")[-1]["status"] == "succeeded"
        with suppress(ConnectionResetError):
            assert len(sock.makefile("rb").readlines()) < 3


def test_a_driver_that_raises_leaves_nobody_waiting() -> None:
    """The client is told by the end of its connection; the next one is served."""

    def fail(verb: str, incoming: Incoming) -> None:
        if verb == "swap":
            raise RuntimeError("planted")
        accept_and_succeed(verb, incoming)

    with serving(fail) as path:
        with pytest.raises(LocalSocketError, match="before the outcome"):
            asked(path, "swap", model="bottle")
        assert asked(path, "hold")[-1]["status"] == "succeeded"


def test_two_clients_hear_their_own_answers() -> None:
    """One that waits does not hold the other, and hears nothing of it under the same id."""

    def door(verb: str, incoming: Incoming) -> None:
        if verb != "swap":
            accept_and_succeed(verb, incoming)

    with serving(door) as path, connected(path) as waiting:
        waiting.sendall(b'{"verb":"swap","id":"same","model":"b"}\n')
        assert asked(path, "hold", id="same")[-1]["status"] == "succeeded"
        waiting.sendall(b'{"verb":"state"}\n')
        assert waiting.recv(4096) == b'{"active":null}\n'


def test_an_answer_to_a_client_that_is_gone_is_dropped() -> None:
    """Its request goes on; whoever comes next hears its own answers only."""
    came: queue.SimpleQueue[Incoming] = queue.SimpleQueue()

    def door(verb: str, incoming: Incoming) -> None:
        came.put(incoming)
        if verb == "hold":
            accept_and_succeed(verb, incoming)

    with serving(door) as path:
        with connected(path, b'{"verb":"swap","id":"left","model":"b"}\n'):
            left = came.get(timeout=60.0)
        assert asked(path, "hold")[-1]["status"] == "succeeded"  # the end before it was seen
        left.reply(outcome("left", Status.SUCCEEDED))
        assert {answer["id"] for answer in asked(path, "hold", id="next")} == {"next"}


def test_only_the_group_may_command_and_the_file_goes_with_the_daemon() -> None:
    """Mode 0660 from its first moment; nothing is left to confuse the next start."""
    with serving() as path:
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        assert [entry.name for entry in path.parent.iterdir()] == ["control.sock"]
    assert not path.exists()


def test_a_second_daemon_does_not_take_the_socket() -> None:
    """Two daemons on one state folder are an error that is said."""
    with serving() as path:
        second = LocalSocket(path, lambda *_: None, dict, SystemClock(), lambda: "x")
        with pytest.raises(BoxError, match="Another daemon"):
            second.start()
        assert asked(path, "state")


def test_a_file_left_by_a_killed_daemon_is_replaced() -> None:
    """After a power cut the socket works again."""
    with tempfile.TemporaryDirectory(prefix="eds-") as folder:
        path = Path(folder) / "control.sock"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
        served = LocalSocket(path, lambda *_: None, dict, SystemClock(), lambda: "x")
        served.start()
        assert asked(path, "state") == [{}]
        served.stop()


def connected(path: Path, line: bytes = b"") -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(20.0)
    sock.connect(str(path))
    if line:
        sock.sendall(line)
    return sock


def test_silent_clients_shut_nobody_out() -> None:
    """The one that has been silent longest leaves for the next that comes."""
    with serving() as path:
        idle = []
        for number in range(MAX_CLIENTS):
            idle.append(connected(path, b'{"verb":"state"}\n' if number % 2 else b'{"verb":'))
            if number % 2:
                idle[-1].recv(100)
        for _ in range(3):
            assert asked(path, "state") == [{"active": None}]
        assert idle[0].recv(100) == b""
        idle[-1].sendall(b'{"verb":"state"}\n')
        assert idle[-1].recv(100) == b'{"active":null}\n'
        for sock in idle:
            sock.close()


def test_clients_that_wait_keep_their_places_and_the_next_is_told() -> None:
    """A request on its way is not dropped for another; a done one leaves its place."""
    with serving(lambda verb, incoming: None) as path:
        waiting = [connected(path, b'{"verb":"hold","id":"w"}\n') for _ in range(MAX_CLIENTS)]
        for sock in waiting:  # heard once the answer to what follows it came
            sock.sendall(b'{"verb":"state"}\n')
            sock.recv(100)
        (answer,) = asked(path, "state")
        assert answer["status"] == "failed"
        assert f"{MAX_CLIENTS} programs wait" in answer["error"]["message"]
        for sock in waiting:
            sock.close()
    with serving() as path:
        done = [connected(path, b'{"verb":"hold","id":"d"}\n') for _ in range(MAX_CLIENTS)]
        for sock in done:
            while b"succeeded" not in sock.recv(4096):
                pass
        assert asked(path, "state") == [{"active": None}]
        for sock in done:
            sock.close()


def test_who_asks_is_told_beside_what_they_call_themselves() -> None:
    """The kernel's word cannot be talked over, nor left out."""
    with serving() as path:
        for by in ("the plant manager", "root (uid 0)"):
            answer = asked(path, "hold", by=by)[-1]
            assert answer["detail"] == f"hold None {by} (uid {os.getuid()})"
        assert asked(path, "hold", by="")[-1]["detail"] == f"hold None uid {os.getuid()}"
        (answer,) = asked(path, "hold", by=7)
        assert answer["error"]["code"] == "malformed"


def test_no_daemon_is_said_with_the_next_step() -> None:
    """The command line can tell `not reachable` apart."""
    with pytest.raises(LocalSocketError, match="does not answer"):
        asked(Path("/nonexistent/control.sock"), "state")
