"""Connects the HTTP server to the rest of the daemon; starts and stops its threads in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import structlog

from edge_daemon.app.monitor import Monitor
from edge_daemon.app.page import Page
from edge_daemon.errors import ConfigurationError
from edge_daemon.frames.images import Pictures
from edge_daemon.messaging.answer import TakeAnswer
from edge_daemon.messaging.messages import Incoming
from edge_daemon.web.access import Rules
from edge_daemon.web.backend import PageBackend
from edge_daemon.web.server import Listen, StatusPage

_log = structlog.get_logger(__name__)


class PageServer:
    """The page of one device, where its settings want one.

    Args:
        hand_in: takes a request, by its verb.
        preview: judges so many recent frames anew, by a recipe that is tuned so.
    """

    def __init__(
        self,
        page: Page,
        monitor: Monitor,
        pictures: Pictures,
        hand_in: Callable[[str, Incoming], None],
        preview: Callable[[Mapping[str, float], int], Mapping[str, Any]],
    ) -> None:
        self._settings = page.resources.settings
        self._clock = page.resources.clock
        self._hand_in = hand_in
        self._sources = PageBackend(
            clock=self._clock,
            state=page.state,
            health=monitor.health,
            ready=monitor.ready,
            metrics=monitor.scrape,
            watch=pictures.watch,
            snapshot=pictures.snapshot,
            swap=page.timeline.entry,
            rejected=page.rejects.picture,
            disagreement=page.rollout.picture,
            lineage=page.lineage,
            ask=self._ask if self._settings.http.commands else None,
            preview=preview,
        )
        self._page: StatusPage | None = None

    def start(self) -> None:
        """Listen; if that is impossible, the log says why and the daemon continues."""
        settings = self._settings
        if settings.http.address is None:
            return
        host, port = settings.http.address
        try:
            token = settings.http.read_token()
            names = frozenset(each.lower() for each in settings.http.hosts)
            rules = Rules(host, settings.http.is_local, settings.device, token, names)
        except ConfigurationError as error:
            _log.error("status_page_missing", error=error.message, hint=error.hint)
            return
        self._page = StatusPage(Listen(host, port, rules), self._sources)
        self._page.start()

    def stop(self) -> None:
        """Disconnect the viewers, within a time limit."""
        if self._page is not None:
            self._page.stop()

    @property
    def port(self) -> int:
        """The port of the page; 0 if there is none."""
        return self._page.port if self._page else 0

    def _ask(self, verb: str, payload: bytes, fresh_id: str, reply: TakeAnswer) -> None:
        """Requests by HTTP go the same way as all others: the driver reads and answers them."""
        self._hand_in(
            verb,
            Incoming(
                f"http/request/{verb}",
                payload,
                self._clock.now(),
                correlation=fresh_id.encode(),
                reply=reply,
            ),
        )
