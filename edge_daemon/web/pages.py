"""The answer at each path."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from edge_daemon.errors import EdgeDaemonError
from edge_daemon.host.health import Health
from edge_daemon.host.metrics import CONTENT_TYPE
from edge_daemon.messaging.answer import Answer
from edge_daemon.web.access import STRANGER, AccessMiddleware, Rules
from edge_daemon.web.backend import PageBackend
from edge_daemon.web.history import KEPT_S, newest
from edge_daemon.web.live import Live
from edge_daemon.web.reply_box import ReplyBox
from edge_daemon.web.state import PageState

STATIC = Path(__file__).parent / "static"
_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_STATIC_TYPES = {
    each.name: _TYPES[each.suffix] for each in STATIC.iterdir() if each.suffix in _TYPES
}
FRESH_S = 0.5
"""However many ask, the state is put together twice a second at most."""
MAX_REQUEST_BYTES = 64 * 1024
ANSWER_S = 5.0
"""How long the first answer to a request is waited for."""
MOST_SNAPSHOTS = 3

MOST_PREVIEWED = 1000
"""Frames that one preview judges anew."""

_T = TypeVar("_T")


class Pages:
    """The application; made on the event loop that runs it."""

    def __init__(self, sources: PageBackend, rules: Rules, answers: ReplyBox) -> None:
        self._sources = sources
        self._answers = answers
        self._pool = ThreadPoolExecutor(MOST_SNAPSHOTS + 3, thread_name_prefix="status-page")
        # These must answer although the thread pool is busy with pictures and answers.
        self._probes = ThreadPoolExecutor(1, thread_name_prefix="status-health")
        self._scrapes = ThreadPoolExecutor(1, thread_name_prefix="status-metrics")
        self._state: PageState | None = None
        self._state_at = float("-inf")
        self._looking = asyncio.Lock()
        self._snapshots = 0
        self.live = Live(sources.watch)
        routes = [
            Route("/", self._page),
            Route("/static/{name}", static_file),
            Route("/live.mjpg", self.live, methods=["GET"]),
            Route("/snapshot.jpg", self._snapshot),
            Route("/api/state", self._api_state),
            Route("/api/swaps/{id}", self._api_swap),
            Route("/api/models/{ref}", self._api_model),
            Route("/ng/{name}", self._rejected),
            Route("/disagreements/{name}", self._disagreement),
            Route("/metrics", self._metrics),
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
        ]
        if sources.ask is not None:
            routes.append(Route("/api/request/{verb}", self._ask, methods=["POST"]))
            routes.append(Route("/api/answers/{id}", self._answer))
            routes.append(Route("/api/preview", self._preview, methods=["POST"]))
        inside = Starlette(routes=routes)
        inside.router.redirect_slashes = False  # to an absolute address, which a proxy may not know
        self.app: ASGIApp = AccessMiddleware(inside, rules)

    async def close(self) -> None:
        """End the streams, and what waits for a picture."""
        await self.live.close()
        for pool in (self._pool, self._probes, self._scrapes):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _aside(self, work: Callable[[], _T], pool: Executor | None = None) -> _T:
        """Whatever takes a lock or a while is done off the loop."""
        return await asyncio.get_running_loop().run_in_executor(pool or self._pool, work)

    # ------------------------------------------------------------------ the page

    async def _page(self, _: Request) -> Response:
        return Response((STATIC / "index.html").read_bytes(), media_type="text/html")

    # ------------------------------------------------------------------ what is

    async def _api_state(self, request: Request) -> Response:
        try:
            seconds = int(request.query_params.get("seconds", KEPT_S))
        except ValueError:
            return PlainTextResponse("`seconds` is a whole number.\n", 400)
        state = await self._current()
        state = msgspec.structs.replace(state, history=newest(state.history, seconds))
        return Response(msgspec.json.encode(state), media_type="application/json")

    async def _current(self) -> PageState:
        async with self._looking:
            if self._state is None or self._sources.clock.now().at - self._state_at > FRESH_S:
                self._state = await self._aside(self._sources.state)
                self._state_at = self._sources.clock.now().at
            return self._state

    async def _api_swap(self, request: Request) -> Response:
        swap_id = request.path_params["id"]
        entry = await self._aside(lambda: self._sources.swap(swap_id))
        if entry is None:
            return _not_found()
        return Response(msgspec.json.encode(entry), media_type="application/json")

    async def _api_model(self, request: Request) -> Response:
        ref = request.path_params["ref"]
        found = await self._aside(lambda: self._sources.lineage(ref))
        return _not_found() if found is None else JSONResponse(found)

    async def _metrics(self, _: Request) -> Response:
        return Response(
            await self._aside(self._sources.metrics, self._scrapes), media_type=CONTENT_TYPE
        )

    async def _healthz(self, request: Request) -> Response:
        return _health(request, await self._aside(self._sources.health, self._probes))

    async def _readyz(self, request: Request) -> Response:
        return _health(request, await self._aside(self._sources.ready, self._probes))

    # ------------------------------------------------------------------ pictures

    async def _snapshot(self, _: Request) -> Response:
        if self._snapshots >= MOST_SNAPSHOTS:
            return PlainTextResponse("Others wait for a picture already.\n", 503)
        self._snapshots += 1
        try:
            jpeg = await self._aside(self._sources.snapshot)
        except EdgeDaemonError as error:
            return PlainTextResponse(f"{error}\n", 503)
        finally:
            self._snapshots -= 1
        return Response(jpeg, media_type="image/jpeg")

    async def _rejected(self, request: Request) -> Response:
        return await self._kept(request, self._sources.rejected)

    async def _disagreement(self, request: Request) -> Response:
        return await self._kept(request, self._sources.disagreement)

    async def _kept(self, request: Request, find: Callable[[str], bytes | None]) -> Response:
        """A picture that is kept under its name never changes."""
        name = request.path_params["name"]
        jpeg = await self._aside(lambda: find(name))
        if jpeg is None:
            return _not_found()
        headers = {"cache-control": "private, max-age=86400, immutable"}
        return Response(jpeg, 200, headers, "image/jpeg")

    # ------------------------------------------------------------------ requests

    async def _ask(self, request: Request) -> Response:
        payload = await read_payload(request)
        if isinstance(payload, Response):
            return payload
        verb, ask = request.path_params["verb"], self._sources.ask
        assert ask is not None
        fresh_id = f"http-{uuid.uuid4().hex}"
        reply = self._answers.expect(fresh_id)

        def hand_in() -> Answer | None:
            ask(verb, payload, fresh_id, reply)
            return self._answers.first(fresh_id, ANSWER_S)

        answer = await self._aside(hand_in)
        if answer is None:
            return JSONResponse({"id": fresh_id, "status": "unanswered"}, 504)
        return Response(answer.body, 409 if answer.code else 200, None, "application/json")

    async def _preview(self, request: Request) -> Response:
        """What a tuning would have made of recent frames; nothing is changed."""
        payload, preview = await read_payload(request), self._sources.preview
        if isinstance(payload, Response):
            return payload
        if preview is None:
            return _not_found()
        try:
            wanted = msgspec.json.decode(payload, type=_Wanted)
            seen = await self._aside(lambda: preview(wanted.set, wanted.limit))
        except msgspec.MsgspecError:
            return PlainTextResponse("The values are numbers by their names.\n", 400)
        except EdgeDaemonError as error:
            return refused(error)
        return JSONResponse(seen)

    async def _answer(self, request: Request) -> Response:
        answer = self._answers.get(request.path_params["id"])
        if answer is None:
            return _not_found()
        return Response(answer.body, media_type="application/json")


class _Wanted(msgspec.Struct, frozen=True):
    """A tuning to look at, on so many recent frames."""

    set: dict[str, float] = {}
    limit: Annotated[int, msgspec.Meta(ge=1, le=MOST_PREVIEWED)] = 200


async def static_file(request: Request) -> Response:
    """A style, a script or the icon of a page, by its name."""
    name = request.path_params["name"]
    if name not in _STATIC_TYPES:
        return _not_found()
    headers = {"cache-control": "no-cache"}
    return Response((STATIC / name).read_bytes(), 200, headers, _STATIC_TYPES[name])


async def read_payload(request: Request) -> bytes | Response:
    """The bounded JSON of a POST; else the answer that says what is wrong with it."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_REQUEST_BYTES:
            return PlainTextResponse("The request is too large.\n", 413)
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        return PlainTextResponse("The request is sent as application/json.\n", 415)
    return bytes(body)


def refused(error: EdgeDaemonError) -> Response:
    """The error of a request that is not carried out."""
    return JSONResponse({"error": {"message": error.message, "hint": error.hint}}, 409)


def _health(request: Request, health: Health) -> Response:
    if STRANGER in request.scope:
        health = health.in_brief
    body = {"good": health.good, "reasons": list(health.reasons)}
    return JSONResponse(body, 200 if health.good else 503)


def _not_found() -> Response:
    return PlainTextResponse("There is nothing here.\n", 404)
