"""Is a request with a known id a repeat, or another request under a used id?"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec

from edge_daemon.core.values import Request
from edge_daemon.errors import Code
from edge_daemon.host.journal_rows import RequestRow
from edge_daemon.messaging.inbox import RefusedRequest, has_own_id
from edge_daemon.messaging.messages import Incoming, ReplyTo

CORRELATION_S = 60.0
"""How long Correlation Data alone tells a repeat: libraries count it from 1 at each start."""

_PASSING = ("id", "expires_utc")
"""Differs between two deliveries of the same request."""


def is_repeat(row: RequestRow, request: Request, incoming: Incoming) -> bool:
    """Whether the journal's request and this one are the same.

    One that is known by its Correlation Data alone must also want its answer at the same address,
    and come soon after the first.
    """
    if not _asks_the_same(row, request):
        return False
    if has_own_id(incoming):
        return True
    first = ReplyTo.from_json(row.reply_to.decode())
    soon = 0.0 <= incoming.received.utc - row.received_utc <= CORRELATION_S
    return soon and first.response_topic == incoming.response_topic


def scoped_id(request: Request, incoming: Incoming) -> str:
    """An id for a request with Correlation Data only; its sender's address and content count."""
    fields = {key: value for key, value in _fields(encode(request)).items() if key not in _PASSING}
    scope = (incoming.response_topic, (incoming.correlation or b"").hex(), fields)
    return hashlib.sha256(json.dumps(scope, sort_keys=True).encode()).hexdigest()[:32]


def used_id(request: Request) -> RefusedRequest:
    """The refusal of a request whose id was used for another one."""
    refused = RefusedRequest(
        f"The id {request.id} was used for another request.",
        hint="Give each request an id of its own; only a repeat has the same id and content.",
        code=Code.PRECONDITION_FAILED,
    )
    refused.request_id = request.id
    return refused


def encode(request: Request) -> bytes:
    """The request as the journal stores it."""
    return msgspec.json.encode(request)


def _fields(body: bytes) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(body)
    return fields


def _asks_the_same(row: RequestRow, request: Request) -> bool:
    before, now = (_fields(body) for body in (row.body, encode(request)))
    # A field that an older version did not know had its default then: nothing.
    return all(
        before.get(key) == value if key in before else not value
        for key, value in now.items()
        if key not in _PASSING
    )
