"""Commands on this machine without a broker: a Unix socket, one JSON object a line.

A client writes `{"verb": "swap", "model": "bottle@1.4.0"}` and reads its answers, the same ones
that MQTT carries, until the outcome; `{"verb": "state"}` is answered at once. Requests take the
same way as those of the broker. One thread serves all clients without ever waiting for one: a
client that does not read is disconnected.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
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
_TOO_LONG = SenderError(
    f"The line has more than {MAX_BYTES} bytes.", hint="Send only the fields that are needed."
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
    """One connected program."""

    writer: asyncio.StreamWriter
    heard_at: float
    waits_for: set[object] = field(default_factory=set)  # one for each line without its last answer


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
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()
        self._boundary = ErrorBoundary(_log, "local_request_failed")
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen.

        Raises:
            BoxError: the file cannot be made, or another daemon answers there.
        """
        server = _listen(self._path)
        self._loop = asyncio.new_event_loop()
        self._loop.set_exception_handler(_log_fault)
        self._thread = threading.Thread(
            target=self._run, args=(self._loop, server), name="local-socket", daemon=True
        )
        self._thread.start()

    def stop(self, timeout_s: float = 1.0) -> None:
        """Take the file away and part from every client."""
        self._call(self._stopping.set)
        if self._thread is not None:
            self._thread.join(timeout_s)
        with suppress(OSError):
            self._path.unlink()

    def _call(self, work: Callable[..., object], *given: object) -> None:
        """Do it on the thread, if it is there."""
        if self._loop is not None:
            with suppress(RuntimeError):  # it has ended
                self._loop.call_soon_threadsafe(work, *given)

    # ----------------------------------------------------------------------- the thread

    def _run(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        with closing(loop):
            loop.run_until_complete(self._serve(sock))

    async def _serve(self, sock: socket.socket) -> None:
        server = await asyncio.start_unix_server(self._welcome, sock=sock, limit=MAX_BYTES)
        await self._stopping.wait()
        server.close()
        for client in tuple(self._clients):
            client.writer.transport.abort()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    async def _welcome(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = _Client(writer, self._clock.now().at)
        if len(self._clients) >= MAX_CLIENTS and not self._make_room():
            _write(client, refused("", _FULL))
            writer.close()
            return
        self._clients.add(client)
        try:
            await self._hear(client, reader)
        finally:
            self._clients.discard(client)
            writer.close()

    def _make_room(self) -> bool:
        """Part from the client that has been silent longest; False where each waits for us."""
        silent = [client for client in self._clients if not client.waits_for]
        if not silent:
            return False
        longest = min(silent, key=lambda client: client.heard_at)
        self._clients.discard(longest)
        longest.writer.transport.abort()
        return True

    async def _hear(self, client: _Client, reader: asyncio.StreamReader) -> None:
        """Read lines until the client leaves, or has to."""
        while True:
            try:
                line = await reader.readline()
            except ValueError:
                _write(client, refused("", _TOO_LONG))
                return
            except OSError:
                return
            if not line.endswith(b"\n"):
                return
            client.heard_at = self._clock.now().at
            if not line.strip():
                continue
            with self._boundary.turn() as attempt:
                self._read(client, line)
            if attempt.fault is not None:
                return  # or it waits for an answer that nobody will give

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
            document["by"] = _signed(document.get("by"), _who(client.writer))
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
        client.waits_for.add(waiting)

        def tell(answer: Answer) -> None:
            if client in self._clients:
                _write(client, answer)
                if answer.is_final:
                    client.waits_for.discard(waiting)

        def reply(answer: Answer) -> None:
            if threading.current_thread() is self._thread:
                tell(answer)
            else:
                self._call(tell, answer)

        return reply


def _write(client: _Client, answer: Answer) -> None:
    """Without waiting; who does not read is disconnected."""
    client.writer.write(answer.body + b"\n")
    if client.writer.transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
        client.writer.transport.abort()


def _log_fault(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What happened on the thread outside of any request; with a socket: one was not accepted."""
    event = "local_client_refused" if "socket" in context else "local_socket_failed"
    _log.error(event, error=repr(context.get("exception") or context["message"]))


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


def _who(writer: asyncio.StreamWriter) -> str:
    """The user at the other end, as the kernel knows it."""
    sock: socket.socket = writer.get_extra_info("socket")
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
