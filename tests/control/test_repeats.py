"""The same request again, or another one under a used id: what is done twice, and what is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from edge_daemon.control.repeats import CORRELATION_S, encode, is_repeat, scoped_id, used_id
from edge_daemon.core.values import AtFrame, AtNextOrder, Instant, ModelChoice, Request
from edge_daemon.core.verbs import Verb
from edge_daemon.errors import Code
from edge_daemon.host.journal_rows import RequestRow
from edge_daemon.messaging.messages import Incoming

NOW = 1_795_000_000.0
SWAP = Request("r-1", Verb.SWAP, ModelChoice("bottle", "2.0.0"))
WITH_ID = b'{"id": "r-1", "model": "bottle@2.0.0"}'
WITHOUT = b'{"model": "bottle@2.0.0"}'


def came(payload: bytes = WITH_ID, after_s: float = 0.0, **more: Any) -> Incoming:
    return Incoming("edge/cam1/request/swap", payload, Instant(0.0, NOW + after_s), **more)


def row(request: Request = SWAP, incoming: Incoming | None = None) -> RequestRow:
    """What the journal kept of the first one."""
    first = incoming or came()
    reply_to = first.reply_to.to_json()
    return RequestRow(request.id, "swap", first.received.utc, "accepted", reply_to, encode(request))


def test_the_same_request_again_is_a_repeat() -> None:
    """A broker may deliver it twice, a year later too."""
    assert is_repeat(row(), SWAP, came(after_s=365 * 86_400.0))


def test_another_request_under_the_same_id_is_none() -> None:
    """Another model, another verb, another reason, another moment."""
    for other in (
        replace(SWAP, model=ModelChoice("bottle", "3.0.0")),
        replace(SWAP, verb=Verb.PREPARE),
        replace(SWAP, reason="Try it."),
        replace(SWAP, at=AtNextOrder()),
        replace(SWAP, at=AtFrame(7)),
    ):
        assert not is_repeat(row(), other, came())
        assert scoped_id(other, came()) != scoped_id(SWAP, came())


def test_how_long_it_holds_may_differ() -> None:
    """Its expiry counts from each delivery."""
    assert is_repeat(row(), replace(SWAP, expires_utc=NOW + 60.0), came())


def test_a_field_that_an_older_version_did_not_write_is_no_difference() -> None:
    """Where it says nothing: a repeat outlives an update of the daemon."""
    body = encode(SWAP).replace(b'"reason":"",', b"").replace(b',"reason":""', b"")
    assert b"reason" not in body
    old = replace(row(), body=body)
    assert is_repeat(old, SWAP, came())
    assert not is_repeat(old, replace(SWAP, reason="Try it."), came())


def test_correlation_data_alone_is_a_repeat_for_a_minute_only() -> None:
    """Libraries count it from 1 at each start: tomorrow's 1 is another request."""
    first = came(WITHOUT, response_topic="me/answers", correlation=b"1")
    kept = row(incoming=first)
    again = {"response_topic": "me/answers", "correlation": b"1"}
    assert is_repeat(kept, SWAP, came(WITHOUT, CORRELATION_S, **again))
    assert not is_repeat(kept, SWAP, came(WITHOUT, CORRELATION_S + 1.0, **again))
    assert not is_repeat(kept, SWAP, came(WITHOUT, -1.0, **again))


@pytest.mark.parametrize("payload", [b"", b" \n", b"\0", b"\xef\xbb\xbf"])
def test_an_empty_request_has_no_id_of_its_own(payload: bytes) -> None:
    """Also where a C program sends the NUL that ends its string."""
    hold = Request("1", Verb.HOLD)
    first = came(payload, response_topic="me/answers", correlation=b"1")
    assert is_repeat(row(hold, first), hold, first)


def test_the_same_correlation_data_of_another_sender_is_none() -> None:
    """Its answers go elsewhere."""
    first = came(WITHOUT, response_topic="me/answers", correlation=b"1")
    other = came(WITHOUT, response_topic="you/answers", correlation=b"1")
    assert not is_repeat(row(incoming=first), SWAP, other)


def test_the_id_of_such_a_request_is_its_sender_s_and_its_content_s() -> None:
    """So that two senders who both count from 1 do not meet."""
    mine = came(WITHOUT, response_topic="me/answers", correlation=b"1")
    assert scoped_id(SWAP, mine) == scoped_id(replace(SWAP, id="r-2", expires_utc=NOW), mine)
    others = {
        scoped_id(SWAP, came(WITHOUT, response_topic="you/answers", correlation=b"1")),
        scoped_id(SWAP, came(WITHOUT, response_topic="me/answers", correlation=b"2")),
        scoped_id(replace(SWAP, model=ModelChoice("can", None)), mine),
        scoped_id(SWAP, mine),
    }
    assert len(others) == 4


def test_a_used_id_is_refused_with_the_way_out() -> None:
    """Under that very id, so that the sender finds it."""
    refused = used_id(SWAP)
    assert refused.request_id == "r-1"
    assert refused.code is Code.PRECONDITION_FAILED
    assert "id of its own" in refused.hint
