"""Commands on this machine when no broker is there: a Unix socket, one JSON object a line.

A client writes `{"verb": "swap", "model": "bottle@1.4.0"}` and reads its answers, the same ones
that MQTT carries, until the outcome; `{"verb": "state"}` is answered at once. Requests go through
the same door and the same driver as those of the broker. One thread serves all clients without
ever waiting for one: a client that does not read is left behind.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog

from edge_daemon.control import payloads
from edge_daemon.control.document import MAX_BYTES, read_json
from edge_daemon.control.messages import Incoming
from edge_daemon.core.values import Refusal, Status
from edge_daemon.errors import BoxError, Code, EdgeDaemonError, SenderError
from edge_daemon.host.clock import Clock

MAX_CLIENTS = 16
MAX_UNREAD_BYTES = 1024 * 1024
_OUTCOMES = {status.value for status in Status} - {Status.ACCEPTED.value, Status.PROGRESS.value}

_ONE_ANSWER = {"state", "status", "history", "audit", "order"}
"""Questions: their one answer has no status."""

_FULL = Refusal(
    Code.PRECONDITION_FAILED,
    f"{MAX_CLIENTS} programs wait at the control socket already.",
    "Ask again when one of their requests is done.",
    blames_box=True,
)

_log = structlog.get_logger(__name__)


class Inquiries(Protocol):
    """What may be asked here beside requests."""

    def knows(self, verb: str) -> bool: ...

    def answer(self, verb: str, document: Mapping[str, Any], answer_id: str) -> bytes | None:
        """The answer, or None where it is delivered later; raises EdgeDaemonError."""
        ...


@dataclass(eq=False)
class _Client:
    """One connected program: bytes not yet read as a line, bytes it has not taken yet."""

    sock: socket.socket
    read: bytearray = field(default_factory=bytearray)
    unsent: bytearray = field(default_factory=bytearray)
    waits_for: list[frozenset[str]] = field(default_factory=list)  # the ids of each request
    is_leaving: bool = False
    heard_at: float = 0.0

    def stop_waiting(self, request_id: str) -> None:
        self.waits_for = [ids for ids in self.waits_for if request_id not in ids]


class LocalSocket:
    """The server side.

    Args:
        path: where the socket file lies; made with mode 0660, so that the group may command.
        on_request: the same handler that the broker's session has; runs on this room's thread.
        read_state: the bytes of `model/state`, for `{"verb": "state"}`.
        clock: stamps what arrives.
        fresh_id: an id for a request that brings none, so that its answers find their way.
        inquiries: what may be asked here and not by MQTT; None: nothing more.
    """

    def __init__(
        self,
        path: Path,
        on_request: Callable[[str, Incoming], None],
        read_state: Callable[[], bytes],
        clock: Clock,
        fresh_id: Callable[[], str],
        inquiries: Inquiries | None = None,
    ) -> None:
        self._path = path
        self._on_request = on_request
        self._read_state = read_state
        self._clock = clock
        self._fresh_id = fresh_id
        self._inquiries = inquiries
        self._clients: set[_Client] = set()
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._wake_r, self._wake_w = socket.socketpair()
        self._stopping = threading.Event()
        self._server: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="local-socket", daemon=True)

    def start(self) -> None:
        """Listen.

        Raises:
            BoxError: the file cannot be made, or another daemon answers there.
        """
        self._server = _listen(self._path)
        for sock in (self._server, self._wake_r, self._wake_w):
            sock.setblocking(False)
        self._selector.register(self._server, selectors.EVENT_READ)
        self._selector.register(self._wake_r, selectors.EVENT_READ)
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """Take the file away and part from every client."""
        self._stopping.set()
        self._wake()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        with suppress(OSError):
            self._path.unlink()

    def deliver(self, request_id: str, payload: bytes) -> None:
        """Hand an answer to whoever waits for this id; from any thread, without waiting."""
        last = _is_outcome(payload)
        with self._lock:
            for client in self._clients:
                if any(request_id in ids for ids in client.waits_for):
                    client.unsent += payload + b"\n"
                    if last:
                        client.stop_waiting(request_id)
        self._wake()

    # ----------------------------------------------------------------------- the thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._guarded_turn()
        for client in tuple(self._clients):
            self._part(client)
        for sock in (self._server, self._wake_r):
            if sock is not None:
                sock.close()
        self._selector.close()

    def _guarded_turn(self) -> None:
        try:
            self._turn()
        except Exception:
            # The boundary: one client's fault must not take the way in from all others.
            _log.exception("local_socket_failed")
            self._stopping.wait(0.1)

    def _turn(self) -> None:
        for key, events in self._selector.select():
            if key.fileobj is self._server:
                self._welcome()
            elif key.fileobj is self._wake_r:
                with suppress(BlockingIOError):
                    self._wake_r.recv(4096)
            else:
                client: _Client = key.data
                if events & selectors.EVENT_READ:
                    self._hear(client)
        for client in tuple(self._clients):
            self._send(client)

    def _welcome(self) -> None:
        assert self._server is not None
        try:
            sock, _ = self._server.accept()
        except OSError as error:
            _log.warning("local_client_refused", error=str(error))
            self._stopping.wait(0.1)  # no descriptors left: do not spin while that lasts
            return
        sock.setblocking(False)
        client = _Client(sock, heard_at=self._clock.now().at)
        if len(self._clients) >= MAX_CLIENTS and not self._make_room():
            with suppress(OSError):
                sock.send(payloads.outcome("", Status.FAILED, refusal=_FULL) + b"\n")
            sock.close()
            return
        with self._lock:
            self._clients.add(client)
        self._selector.register(sock, selectors.EVENT_READ, client)

    def _make_room(self) -> bool:
        """Part from the client that has been silent longest; False where each waits for us."""
        with self._lock:
            silent = [client for client in self._clients if not client.waits_for]
        if silent:
            self._part(min(silent, key=lambda client: client.heard_at))
        return bool(silent)

    def _hear(self, client: _Client) -> None:
        try:
            read = client.sock.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            read = b""
        if not read:
            self._part(client)
            return
        client.read += read
        client.heard_at = self._clock.now().at
        while not client.is_leaving and b"\n" in client.read:
            line, _, rest = client.read.partition(b"\n")
            client.read = bytearray(rest)
            if line.strip():
                self._request(client, bytes(line))
        if len(client.read) > MAX_BYTES:
            self._answer(client, "", SenderError("The line is too long.", hint="Send less."))
            client.is_leaving = True

    def _request(self, client: _Client, line: bytes) -> None:
        received = self._clock.now()
        fresh_id = self._fresh_id()
        try:
            document = read_json(line, "The line")
            if not isinstance(document, dict) or not isinstance(document.get("verb"), str):
                raise SenderError(
                    "The line is not an object with a `verb`.", hint='Send {"verb": "state"}.'
                )
            verb = document.pop("verb")
            if verb == "state":
                self._put(client, self._read_state())
                return
            document["by"] = _signed(document.get("by"), _who(client.sock))
            if self._inquiries is not None and self._inquiries.knows(verb):
                self._inquire(self._inquiries, client, verb, document, fresh_id)
                return
            with self._lock:
                # Answers come under its own id, or under ours where it has none of use.
                client.waits_for.append(frozenset({fresh_id, str(document.get("id"))}))
            payload = json.dumps(document, ensure_ascii=False).encode()
            self._on_request(
                verb,
                Incoming(f"local/request/{verb}", payload, received, correlation=fresh_id.encode()),
            )
        except EdgeDaemonError as error:
            self._answer(client, fresh_id, error)
        except Exception:
            # The boundary: the client must not wait for an answer that nobody will give.
            _log.exception("local_request_failed")
            client.is_leaving = True

    def _inquire(
        self,
        inquiries: Inquiries,
        client: _Client,
        verb: str,
        document: dict[str, Any],
        fresh_id: str,
    ) -> None:
        with self._lock:
            client.waits_for.append(frozenset({fresh_id}))
        answer = inquiries.answer(verb, document, fresh_id)
        if answer is not None:
            with self._lock:
                client.stop_waiting(fresh_id)
            self._put(client, answer)

    def _answer(self, client: _Client, request_id: str, error: EdgeDaemonError) -> None:
        refusal = Refusal.of(error)
        with self._lock:
            client.stop_waiting(request_id)
        self._put(client, payloads.outcome(request_id, refusal.status, refusal=refusal))

    def _put(self, client: _Client, payload: bytes) -> None:
        with self._lock:
            client.unsent += payload + b"\n"

    def _send(self, client: _Client) -> None:
        with self._lock:
            try:
                if client.unsent:
                    del client.unsent[: client.sock.send(client.unsent)]
            except BlockingIOError:
                pass
            except OSError:
                client.is_leaving = True
                client.unsent.clear()
            left = len(client.unsent)
        if left > MAX_UNREAD_BYTES or (client.is_leaving and not left):
            self._part(client)
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if left else 0)
        if self._selector.get_key(client.sock).events != wanted:
            self._selector.modify(client.sock, wanted, client)

    def _part(self, client: _Client) -> None:
        with self._lock:
            self._clients.discard(client)
        with suppress(KeyError, ValueError):
            self._selector.unregister(client.sock)
        client.sock.close()

    def _wake(self) -> None:
        with suppress(BlockingIOError, OSError):
            self._wake_w.send(b"\0")


def _listen(path: Path) -> socket.socket:
    """A listening socket at `path`; it appears under its name only with its mode set."""
    with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        probe.connect(str(path))
        raise BoxError(
            f"Another daemon answers at {path}.",
            hint="Stop it, or give this one its own state_dir.",
        )
    server = socket.socket(socket.AF_UNIX)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        server.bind(str(fresh))
        fresh.chmod(0o660)
        server.listen(MAX_CLIENTS)
        fresh.replace(path)
    except OSError as error:
        server.close()
        raise BoxError(
            f"The control socket {path} cannot be made: {error.strerror or error}.",
            hint="Check the folder's owner, and that the path is shorter than 100 characters.",
        ) from error
    return server


def _who(sock: socket.socket) -> str:
    """The user at the other end, as the kernel knows it."""
    with suppress(OSError, struct.error, AttributeError):
        uid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
        return f"uid {uid}"
    return ""


def _signed(by: object, who: str) -> object:
    """Who asks as they say, and beside it as the kernel knows: anybody may call himself anything.

    What is no text stays, and is refused at the door of all requests.
    """
    if by is None or by == "":
        return who
    return f"{by} ({who})" if isinstance(by, str) and who else by


def _is_outcome(payload: bytes) -> bool:
    """Whether nothing follows: an outcome, or the one answer to a question."""
    with suppress(ValueError, AttributeError):
        status = json.loads(payload).get("status")
        return status is None or status in _OUTCOMES
    return False


# --------------------------------------------------------------------------- the client side


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
            sock.connect(str(path))
            with suppress(BrokenPipeError, ConnectionResetError):  # why may stand in the answer
                sock.sendall(json.dumps({**document, "verb": verb}).encode() + b"\n")
            for line in sock.makefile("rb"):
                answer = json.loads(line)
                yield answer
                if verb in _ONE_ANSWER or answer.get("status") in _OUTCOMES:
                    return
    except (OSError, ValueError) as error:
        hint = "Is it running? See `systemctl status 'edge-daemon@*'`."
        if isinstance(error, PermissionError):
            hint = "Run it as root, or as a member of the daemon's group."
        raise LocalSocketError(f"The daemon does not answer at {path}: {error}.", hint=hint) from (
            error
        )
    raise LocalSocketError(
        f"The daemon closed {path} before the outcome.", hint="Ask again for the state."
    )
