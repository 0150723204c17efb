"""One thread waits for pictures, all viewers share them, and nothing waits for a viewer.

However many look, a picture is made once. Each viewer is sent the newest picture when he has taken
the one before; one who takes none for long is disconnected. All viewers together get a limited
number of pictures a second: with many, each sees fewer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from edge_daemon.web.backend import Picture

MOST_VIEWERS = 24
SENT_PER_S = 40.0
"""Pictures a second for all viewers together."""
STALLED_S = 20.0
"""A viewer who takes nothing for this long has left."""
_WAIT_S = 1.0

_BOUNDARY = b"picture"


class Live:
    """The newest picture, for coroutines of one event loop."""

    def __init__(
        self,
        watch: Callable[[int, float], Picture | None],
        sent_per_s: float = SENT_PER_S,
    ) -> None:
        self._watch = watch
        self._sent_per_s = sent_per_s
        self.viewers = 0
        self._serial = 0
        self._part = b""
        self._news = asyncio.Condition()
        self._pump: asyncio.Task[None] | None = None
        self._waiter = ThreadPoolExecutor(1, thread_name_prefix="live-picture")
        self._is_closed = False

    @property
    def is_full(self) -> bool:
        return self._is_closed or self.viewers >= MOST_VIEWERS

    async def close(self) -> None:
        """Let every viewer go; the thread ends after its wait."""
        self._is_closed = True
        async with self._news:
            self._news.notify_all()
        self._waiter.shutdown(wait=False, cancel_futures=True)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """`/live.mjpg`: pictures until the viewer leaves."""
        if self.is_full:
            await PlainTextResponse(
                "Enough people are looking already.\n", 503, {"retry-after": "5"}
            )(scope, receive, send)
            return
        kind = b"multipart/x-mixed-replace; boundary=" + _BOUNDARY
        headers = [(b"content-type", kind)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] == "HEAD":
            await send({"type": "http.response.body"})
            return
        self.viewers += 1
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await self._show(send, leaving)
        finally:
            self.viewers -= 1
            leaving.cancel()

    async def _show(self, send: Send, leaving: asyncio.Future[None]) -> None:
        if self._pump is None or self._pump.done():
            self._pump = asyncio.ensure_future(self._run())
        serial = 0
        body = b"--" + _BOUNDARY + b"\r\n"
        while not leaving.done():
            message = {"type": "http.response.body", "body": body, "more_body": True}
            try:
                await asyncio.wait_for(send(message), STALLED_S)
            except (asyncio.TimeoutError, OSError):
                return
            found = await self._next(serial, leaving)
            if found is None:
                break
            serial, body = found
        if not leaving.done():
            await send({"type": "http.response.body", "body": b""})

    async def _next(self, after: int, leaving: asyncio.Future[None]) -> tuple[int, bytes] | None:
        """The newest part beyond serial `after`; None at the end."""
        while not (self._is_closed or leaving.done()):
            if self._serial > after:
                return self._serial, self._part
            news = asyncio.ensure_future(self._hear(after))
            await asyncio.wait({news, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not news.done():
                news.cancel()
                await asyncio.gather(news, return_exceptions=True)
        return None

    async def _hear(self, after: int) -> None:
        async with self._news:
            await self._news.wait_for(lambda: self._is_closed or self._serial > after)

    # ------------------------------------------------------------------ the one who waits

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while self.viewers and not self._is_closed:
            due = loop.time() + self.viewers / self._sent_per_s
            picture = await loop.run_in_executor(self._waiter, self._watch, self._serial, _WAIT_S)
            if picture is not None:
                self._serial, self._part = picture.serial, _part(picture.jpeg)
                async with self._news:
                    self._news.notify_all()
            await asyncio.sleep(max(0.0, due - loop.time()))


def _part(jpeg: bytes) -> bytes:
    """The boundary comes after the picture: browsers show a part when the next one begins."""
    head = b"Content-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
    return head + jpeg + b"\r\n--" + _BOUNDARY + b"\r\n"


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
