"""Pictures for many viewers on one event loop, without a socket between."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import MutableMapping
from typing import Any

from edge_daemon.web.live import Live
from tests.sim.fake_page import SimPicture

PICTURES = 3000
VIEWERS = 3
LONG_S = 60.0


class Studio:
    """Draws the next picture when every viewer has taken the last one, and none before."""

    def __init__(self) -> None:
        self.drawn = 0
        self._taken = threading.Semaphore(VIEWERS)

    def taken(self) -> None:
        self._taken.release()

    def watch(self, _after: int, timeout_s: float) -> SimPicture | None:
        if self.drawn == PICTURES:
            threading.Event().wait(timeout_s)
            return None
        for _ in range(VIEWERS):
            assert self._taken.acquire(timeout=LONG_S), f"picture {self.drawn} did not reach all"
        self.drawn += 1
        return SimPicture(self.drawn, b"jpeg")


async def look(live: Live, studio: Studio) -> int:
    """One viewer, who goes after the last picture. How many he saw."""
    seen = 0

    async def receive() -> MutableMapping[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("nobody sends")

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal seen
        if b"image/jpeg" in message.get("body", b""):
            seen += 1
            studio.taken()
        if seen == PICTURES:
            raise OSError("gone")

    await live({"type": "http", "method": "GET"}, receive, send)
    return seen


def test_no_picture_slips_by_a_viewer_who_begins_to_wait() -> None:
    """A picture that comes while a viewer turns round is not kept from him until the next one."""
    studio = Studio()

    async def main() -> list[int]:
        live = Live(studio.watch, sent_per_s=1e9)
        try:
            viewers = [look(live, studio) for _ in range(VIEWERS)]
            return await asyncio.wait_for(asyncio.gather(*viewers), LONG_S)
        finally:
            await live.close()

    assert asyncio.run(main()) == [PICTURES] * VIEWERS
