"""The window: the status page's room joined to the others, and its threads in order."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from edge_daemon.app.glance import Glance, Seen
from edge_daemon.control.answer import TakeAnswer
from edge_daemon.control.messages import Incoming
from edge_daemon.errors import ConfigurationError
from edge_daemon.frames.images import Pictures
from edge_daemon.host.metrics import Metrics
from edge_daemon.web.door import Rules
from edge_daemon.web.server import Listen, StatusPage
from edge_daemon.web.sources import Sources

_log = structlog.get_logger(__name__)


class Window:
    """The page of one device, where its settings want one."""

    def __init__(
        self,
        seen: Seen,
        pictures: Pictures,
        metrics: Metrics,
        on_request: Callable[[str, Incoming], None],
    ) -> None:
        self._seen = seen
        self._on_request = on_request
        self.glance = Glance(seen)
        commands = seen.settings.http.commands
        self._sources = Sources(
            state=self.glance.state,
            health=seen.pulse.health,
            ready=seen.pulse.ready,
            metrics=metrics.render,
            watch=pictures.watch,
            snapshot=pictures.snapshot,
            swap=self.glance.timeline.entry,
            rejected=seen.rejects.picture,
            ask=self._ask if commands else None,
        )
        self._page: StatusPage | None = None

    def start(self) -> None:
        """Beat, and listen; what cannot be had is told in the log, and the line goes on."""
        self._seen.pulse.start()
        settings = self._seen.settings
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
        """Part from the viewers, and end the beat; bounded."""
        if self._page is not None:
            self._page.stop()
        self._seen.pulse.stop()

    @property
    def port(self) -> int:
        """Where the page is; 0 where there is none."""
        return self._page.port if self._page else 0

    def _ask(self, verb: str, payload: bytes, fresh_id: str, reply: TakeAnswer) -> None:
        """The same door as everybody's: read, checked and answered by the desk."""
        self._on_request(
            verb,
            Incoming(
                f"http/request/{verb}",
                payload,
                self._seen.clock.now(),
                correlation=fresh_id.encode(),
                reply=reply,
            ),
        )
