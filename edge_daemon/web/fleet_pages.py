"""The page of many stations: it shows what they report, and decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from edge_daemon.web.access import AccessMiddleware, Rules
from edge_daemon.web.pages import STATIC

_KINDS = {
    "page.css": "text/css",
    "fleet.css": "text/css",
    "fleet.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


class FleetPages:
    """The application; made on the event loop that runs it. `state` may take a while."""

    def __init__(self, state: Callable[[], dict[str, Any]], rules: Rules) -> None:
        self._state = state
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="fleet-page")
        inside = Starlette(
            routes=[
                Route("/", self._front),
                Route("/fleet", self._page),
                Route("/static/{name}", self._static),
                Route("/api/fleet", self._api),
            ]
        )
        self.app: ASGIApp = AccessMiddleware(inside, rules)

    async def close(self) -> None:
        """Wait for nothing any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _front(self, _: Request) -> Response:
        return RedirectResponse("./fleet", 303)

    async def _page(self, _: Request) -> Response:
        return Response((STATIC / "fleet.html").read_bytes(), media_type="text/html")

    async def _static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _KINDS:
            return PlainTextResponse("There is no such page.\n", 404)
        headers = {"cache-control": "no-cache"}
        return Response((STATIC / name).read_bytes(), 200, headers, _KINDS[name])

    async def _api(self, _: Request) -> Response:
        state = await asyncio.get_running_loop().run_in_executor(self._pool, self._state)
        return JSONResponse(state)
