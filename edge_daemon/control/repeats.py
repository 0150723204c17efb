"""Is a request with a known id a repeat, or another request under a used id?"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec

from edge_daemon.core.values import AtNextOrder, Request
from edge_daemon.errors import Code, SenderError
from edge_daemon.host.journal_rows import RequestRow
from edge_daemon.messaging.inbox import RefusedRequest, has_own_id
from edge_daemon.messaging.messages import Incoming, ReplyTo

CORRELATION_S = 60.0
"""How long Correlation Data alone tells a repeat: libraries count it from 1 at each start."""

_PASSING = ("id", "expires_utc")
"""Fields that may differ between two deliveries of the same request."""


def is_repeat(row: RequestRow, request: Request, incoming: Incoming) -> bool:
    """Whether the journal's request and this one are the same.

    One that is known by its Correlation Data alone must also want its answer at the same address,
    and come soon after the first.
    """
    if not _asks_the_same(row, request):
        return False
    if has_own_id(incoming):
        return True
    first = ReplyTo.from_json(row.reply_to)
    soon = 0.0 <= incoming.received.utc - row.received_utc <= CORRELATION_S
    return soon and first.response_topic == incoming.response_topic


def scoped_id(request: Request, incoming: Incoming) -> str:
    """An id for a request with Correlation Data only; its sender's address and content count."""
    content = _content(encode(request))
    scope = (incoming.response_topic, (incoming.correlation or b"").hex(), content)
    return hashlib.sha256(json.dumps(scope, sort_keys=True).encode()).hexdigest()[:32]


def used_id(request: Request) -> RefusedRequest:
    """The refusal of a request whose id was used for another one."""
    error = SenderError(
        f"The id {request.id} was used for another request.",
        hint="Give each request an id of its own; only a repeat has the same id and content.",
        code=Code.PRECONDITION_FAILED,
    )
    return RefusedRequest(error, request.id)


def encode(request: Request) -> bytes:
    """The request as the journal stores it."""
    fields = msgspec.to_builtins(request)
    if isinstance(request.at, AtNextOrder):  # it has no field, and would read as `now`
        fields["at"] = {"next_order": True}
    return msgspec.json.encode(fields)


def _content(body: bytes) -> dict[str, Any]:
    """What is the same in two deliveries of one request."""
    fields: dict[str, Any] = msgspec.json.decode(body)
    return {key: value for key, value in fields.items() if key not in _PASSING}


def _asks_the_same(row: RequestRow, request: Request) -> bool:
    before = _content(row.body)
    # A field that an older version did not know had its default then: nothing.
    return all(
        before[key] == value if key in before else not value
        for key, value in _content(encode(request)).items()
    )
