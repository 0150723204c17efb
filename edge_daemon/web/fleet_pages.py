"""The page of many stations: it shows what they report; people may stop a campaign there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from edge_daemon.errors import EdgeDaemonError
from edge_daemon.web.access import AccessMiddleware, Rules
from edge_daemon.web.pages import STATIC, read_payload, refused, static_file


class StopForm(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A campaign is to end; `rollback`: stations that have its bundle go back."""

    campaign: Annotated[str, msgspec.Meta(max_length=64)]
    reason: Annotated[str, msgspec.Meta(max_length=300)]
    rollback: bool = False


class FleetPages:
    """The application; made on the event loop that runs it. `state` may take a while.

    `stop` ends a campaign or raises EdgeDaemonError; None: the page only shows.
    """

    def __init__(
        self,
        state: Callable[[], dict[str, Any]],
        rules: Rules,
        stop: Callable[[StopForm], None] | None = None,
    ) -> None:
        self._state = state
        self._stop = stop
        # A stop never waits for a state that is being made.
        self._stops = ThreadPoolExecutor(1, thread_name_prefix="fleet-stop")
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="fleet-page")
        routes = [
            Route("/", self._front),
            Route("/fleet", self._page),
            Route("/static/{name}", static_file),
            Route("/api/fleet", self._api),
        ]
        if stop is not None:
            routes.append(Route("/api/fleet/stop", self._end, methods=["POST"]))
        self.app: ASGIApp = AccessMiddleware(Starlette(routes=routes), rules)

    async def close(self) -> None:
        """Wait for nothing any more."""
        for pool in (self._pool, self._stops):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _front(self, _: Request) -> Response:
        return RedirectResponse("./fleet", 303)

    async def _page(self, _: Request) -> Response:
        return Response((STATIC / "fleet.html").read_bytes(), media_type="text/html")

    async def _api(self, _: Request) -> Response:
        state = await asyncio.get_running_loop().run_in_executor(self._pool, self._state)
        return JSONResponse({**state, "commands": self._stop is not None})

    async def _end(self, request: Request) -> Response:
        payload, stop = await read_payload(request), self._stop
        if isinstance(payload, Response):
            return payload
        assert stop is not None
        try:
            wish = msgspec.json.decode(payload, type=StopForm)
            await asyncio.get_running_loop().run_in_executor(self._stops, stop, wish)
        except msgspec.MsgspecError:
            return PlainTextResponse("A stop names its campaign and a short reason.\n", 400)
        except EdgeDaemonError as error:
            return refused(error)
        return JSONResponse({"campaign": wish.campaign, "stopped": True})
