"""The webhooks that the settings allow, each with its token and the plant's authority."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from urllib.parse import urlsplit

from edge_daemon.app.resources import Resources
from edge_daemon.config.rollouts import WebhookSettings
from edge_daemon.control.webhooks import Post, Webhooks
from edge_daemon.sources.http import Http

TIMEOUT_S = 10.0
_HEADERS: Mapping[str, str] = {"Content-Type": "application/json"}


def make_webhooks(resources: Resources) -> Webhooks:
    """Nothing is called that the settings do not name."""
    allowed = resources.settings.rollouts.notify
    posts = {each.webhook: post_of(each) for each in allowed}
    clock = resources.clock
    return Webhooks(posts, resources.journal.notices, lambda: clock.now().utc)


def post_of(settings: WebhookSettings) -> Post:
    """What sends to this address; the token and the authority are read anew each time."""
    parts = urlsplit(settings.webhook)
    http = Http(
        f"{parts.scheme}://{parts.netloc}",
        settings.readable_ca,
        partial(_bearer, settings),
        TIMEOUT_S,
    )
    return lambda body: http.post(settings.webhook, body, _HEADERS)


def _bearer(settings: WebhookSettings) -> str | None:
    token = settings.read_token()
    return f"Bearer {token}" if token else None
