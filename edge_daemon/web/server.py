"""The HTTP server on a thread of its own: frames are judged whether it runs or not."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol, cast

import structlog
import uvicorn
from starlette.types import ASGIApp

from edge_daemon.web.access import Rules
from edge_daemon.web.backend import PageBackend
from edge_daemon.web.connection_limiter import ConnectionLimiter, Limits, PatientProtocol
from edge_daemon.web.pages import Pages
from edge_daemon.web.reply_box import ReplyBox

_UNTAKEN_MS = 30_000  # what a peer has not taken for so long it will never take
_BACKLOG = 64  # accepted at a time, before the oldest of those who wait give way
_STARTED_S = 5.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Listen:
    """The address; port 0 takes a free one."""

    host: str
    port: int
    rules: Rules
    limits: Limits = Limits()


class Served(Protocol):
    """What answers; made on the event loop that runs it."""

    @property
    def app(self) -> ASGIApp: ...

    async def close(self) -> None: ...


class StatusPage:
    """Starts and stops within time limits; a page that cannot start is one error in the log.

    Args:
        sources: what the page of a station shows; else what makes another page.
    """

    def __init__(self, listen: Listen, sources: PageBackend | Callable[[], Served]) -> None:
        self._listen = listen
        if isinstance(sources, PageBackend):
            self._make: Callable[[], Served] = partial(Pages, sources, listen.rules, ReplyBox())
        else:
            self._make = sources
        self._socket: socket.socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None
        self._pages: Served | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="status-page", daemon=True)

    @property
    def address(self) -> tuple[str, int] | None:
        """Where it listens; None where it does not."""
        if self._socket is None:
            return None
        host, port = self._socket.getsockname()[:2]
        return host, port

    def start(self) -> bool:
        """Listen. False, and a line in the log, if the address is not available."""
        where = f"{self._listen.host}:{self._listen.port}"
        try:
            self._socket = _listening(self._listen.host, self._listen.port)
        except OSError as error:
            _log.error(
                "status_page_missing",
                listen=where,
                error=error.strerror or str(error),
                hint="Choose another http.listen, or stop the program that listens there.",
            )
            return False
        self._thread.start()
        self._started.wait(_STARTED_S)
        _log.info("status_page_listens", host=self.address and self.address[0], port=self.port)
        return True

    @property
    def port(self) -> int:
        """The port it listens on; 0 where it does not."""
        return self.address[1] if self.address else 0

    def stop(self, timeout_s: float = 3.0) -> None:
        """Disconnect every viewer, within a time limit; the rest ends with the process."""
        if self._loop is not None and self._thread.is_alive():
            with suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._end)
            self._thread.join(timeout_s)
        if self._socket is not None:
            self._socket.close()

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # the thread's end: the daemon goes on without the page
            _log.error(
                "status_page_failed",
                error=repr(error),
                hint="Frames are still judged; restart the daemon to get the page back.",
            )
        finally:
            self._started.set()

    async def _serve(self) -> None:
        assert self._socket is not None
        self._loop = asyncio.get_running_loop()
        self._pages = self._make()
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # strangers' nonsense is no news
        limiter = ConnectionLimiter(self._listen.limits)
        config = uvicorn.Config(
            limiter.limited(self._pages.app),
            loop="asyncio",
            http=cast("type[asyncio.Protocol]", partial(PatientProtocol, limiter)),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=_BACKLOG,
            h11_max_incomplete_event_size=16 * 1024,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._loop.call_soon(self._started.set)
        await self._server.serve(sockets=[self._socket])

    def _end(self) -> None:
        assert self._pages is not None
        if self._server is not None:
            self._server.should_exit = True
        self._ending = asyncio.ensure_future(self._pages.close())


def _listening(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    with ExitStack() as undo:
        undo.callback(found.close)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # inherited by every connection
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNTAKEN_MS)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found.bind((host, port))
        found.listen(_BACKLOG)
        undo.pop_all()
    return found
