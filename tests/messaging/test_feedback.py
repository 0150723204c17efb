"""What a request of feedback may say, and in which sentence it is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edge_daemon.core.values import Instant
from edge_daemon.messaging.feedback import read_feedback
from edge_daemon.messaging.inbox import RefusedRequest
from edge_daemon.messaging.messages import Incoming

OK = {"verdict": "ok", "part": 7}


def incoming(document: Any) -> Incoming:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return Incoming("edge/cam1/request/feedback", body, Instant(1.0, 1_800_000_000.0))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"part": 7}, "`verdict` is missing"),
        ({"verdict": "maybe", "part": 7}, "verdict"),
        ({"verdict": "uninspected", "part": 7}, "has the verdict"),
        ({"verdict": "ok"}, "neither `part` nor `frame`"),
        ({"verdict": "ok", "part": 7, "frame": 8}, "both `part` and `frame`"),
        ({**OK, "source": "nobody"}, "source"),
        ({"verdict": "ok", "part": ""}, "part"),
        ({"verdict": "ok", "part": "x" * 1000}, "part"),
        ({"verdict": "ok", "part": -1}, "part"),
        ({"verdict": "ok", "part": 2**70}, "part"),
        ({"verdict": "ok", "frame": 2**70}, "frame"),
        ({"verdict": "ok", "part": 1e999}, "part|number"),
        ({"verdict": "ok", "part": [7]}, "part"),
        ({"items": [OK], "part": 7}, "stands beside `items`"),
        ({"items": [OK, {"verdict": "ok"}]}, r"`items\[1\]` has neither"),
        ({"items": {}}, "items"),
        ({"items": [OK] * 1000}, "items"),
        ({**OK, "by": "\u202e"}, "by"),
        (b"[", "request"),
        (b"5", "request"),
    ],
    ids=repr,
)
def test_what_says_nothing_of_a_part_is_refused(document: Any, words: str) -> None:
    """Nothing of it is noted, and its sender learns which item is wrong."""
    with pytest.raises(RefusedRequest, match=words) as raised:
        read_feedback(incoming(document), "fresh")
    assert raised.value.hint


def test_what_is_said_of_all_counts_for_those_that_say_nothing() -> None:
    """An item's own word goes before the request's."""
    document = {"id": "f-1", "by": "kim", "boot": "b1", "items": [OK, {**OK, "by": "lee"}]}
    message = read_feedback(incoming(document), "fresh")
    assert message.request.id == "f-1"
    assert [(each.boot, each.part, each.by) for each in message.items] == [
        ("b1", 7, "kim"),
        ("b1", 7, "lee"),
    ]
