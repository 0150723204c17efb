"""Commands on this machine without a broker: a Unix socket, one JSON object a line.

A client writes `{"verb": "swap", "model": "bottle@1.4.0"}` and reads its answers, the same ones
that MQTT carries, until the outcome; `{"verb": "state"}` is answered at once. Requests take the
same way as those of the broker. One thread serves all clients without ever waiting for one: a
client that does not read is disconnected.
"""

from __future__ import annotations

import os
import selectors
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import structlog

from edge_daemon.errors import BoxError, Code, EdgeDaemonError, SenderError
from edge_daemon.host import unix_socket
from edge_daemon.host.clock import Clock
from edge_daemon.host.error_boundary import ErrorBoundary
from edge_daemon.messaging.answer import Answer, Payload, TakeAnswer, refused
from edge_daemon.messaging.document import MAX_BYTES, read_json
from edge_daemon.messaging.messages import Incoming

MAX_CLIENTS = 16
MAX_UNREAD_BYTES = 1024 * 1024

_FULL = BoxError(
    f"{MAX_CLIENTS} programs wait at the control socket already.",
    hint="Ask again when one of their requests is done.",
    code=Code.PRECONDITION_FAILED,
)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Question:
    """What only this machine may ask; `reply` takes the one answer."""

    id: str
    verb: str
    fields: Mapping[str, Any]
    reply: TakeAnswer

    def answer(self, payload: Payload) -> None:
        """The answer where it has no status."""
        self.reply(Answer(self.id, payload))


class Inquiries(Protocol):
    """What may be asked here beside requests."""

    def knows(self, verb: str) -> bool: ...

    def answer(self, question: Question) -> None:
        """Answer it, now or later; raises EdgeDaemonError where that cannot be."""
        ...


@dataclass(eq=False)
class _Client:
    """One connected program: bytes not yet read as a line, bytes it has not taken yet."""

    sock: socket.socket
    read: bytearray = field(default_factory=bytearray)
    unsent: bytearray = field(default_factory=bytearray)
    waits_for: set[object] = field(default_factory=set)  # one for each line without its last answer
    is_leaving: bool = False
    heard_at: float = 0.0


class LocalSocket:
    """The server side.

    Args:
        path: where the socket file lies; made with mode 0660, so that the group may command.
        on_request: the same handler that the broker's session has; runs on this room's thread.
        read_state: what `model/state` says, for `{"verb": "state"}`.
        clock: stamps what arrives.
        fresh_id: an id for a request that brings none, so that its answers find their way.
        inquiries: what may be asked here and not by MQTT; None: nothing more.
    """

    def __init__(
        self,
        path: Path,
        on_request: Callable[[str, Incoming], None],
        read_state: Callable[[], Payload],
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
        self._boundary = ErrorBoundary(_log, "local_socket_failed")
        self._of_requests = ErrorBoundary(_log, "local_request_failed")
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

    # ----------------------------------------------------------------------- the thread

    def _run(self) -> None:
        while not self._stopping.is_set():
            # One client's fault must not take the way in from all others.
            with self._boundary.turn() as attempt:
                self._turn()
            if attempt.fault is not None:
                self._stopping.wait(0.1)
        for client in tuple(self._clients):
            self._part(client)
        for sock in (self._server, self._wake_r, self._wake_w):
            if sock is not None:
                sock.close()
        self._selector.close()

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
                sock.send(refused("", _FULL).body + b"\n")
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
        if client.is_leaving:  # what it sends after its fault is not kept
            return
        client.read += read
        client.heard_at = self._clock.now().at
        *lines, client.read = client.read.split(b"\n")
        for line in lines:
            if line.strip() and not client.is_leaving:
                self._request(client, bytes(line))
        if len(client.read) > MAX_BYTES:
            error = SenderError(
                f"The line has more than {MAX_BYTES} bytes.",
                hint="Send only the fields that are needed.",
            )
            self._way_back(client)(refused("", error))
            client.is_leaving = True

    def _request(self, client: _Client, line: bytes) -> None:
        with self._of_requests.turn() as attempt:
            self._read(client, line)
        if attempt.fault is not None:
            client.is_leaving = True  # or it waits for an answer that nobody will give

    def _read(self, client: _Client, line: bytes) -> None:
        received = self._clock.now()
        fresh_id, reply = self._fresh_id(), self._way_back(client)
        try:
            document = read_json(line, "The line")
            if not isinstance(document, dict) or not isinstance(document.get("verb"), str):
                raise SenderError(
                    "The line is not an object with a `verb`.", hint='Send {"verb": "state"}.'
                )
            verb = document.pop("verb")
            document["by"] = _signed(document.get("by"), _who(client.sock))
            if verb == "state":
                reply(Answer(fresh_id, self._read_state()))
            elif self._inquiries is not None and self._inquiries.knows(verb):
                self._inquiries.answer(Question(fresh_id, verb, document, reply))
            else:
                self._on_request(
                    verb,
                    Incoming(
                        f"local/request/{verb}",
                        b"",
                        received,
                        correlation=fresh_id.encode(),
                        content=document,
                        reply=reply,
                    ),
                )
        except EdgeDaemonError as error:
            reply(refused(fresh_id, error))

    def _way_back(self, client: _Client) -> TakeAnswer:
        """Takes the answers to one line; a client that is gone gets none."""
        waiting = object()
        with self._lock:
            client.waits_for.add(waiting)

        def reply(answer: Answer) -> None:
            line = answer.body + b"\n"
            with self._lock:
                if client not in self._clients:
                    return
                client.unsent += line
                if answer.is_final:
                    client.waits_for.discard(waiting)
            self._wake()

        return reply

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
        unix_socket.connect(probe, path)
        raise BoxError(
            f"Another daemon answers at {path}.",
            hint="Stop it, or give this one its own state_dir.",
        )
    server = socket.socket(socket.AF_UNIX)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.unlink(missing_ok=True)
        unix_socket.bind(server, fresh)
        fresh.chmod(0o660)
        server.listen(MAX_CLIENTS)
        fresh.replace(path)
    except OSError as error:
        server.close()
        raise BoxError(
            f"The control socket {path} cannot be made: {error.strerror or error}.",
            hint="Check the folder's owner and its free space.",
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
