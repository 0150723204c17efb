"""What parts really are, as it arrives on `request/feedback`: bytes become values, or a refusal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from edge_daemon.core.rollout.values import Feedback, Source
from edge_daemon.core.values import Request, Verdict
from edge_daemon.core.verbs import Verb
from edge_daemon.errors import SenderError
from edge_daemon.messaging.asks import MAX_ID, FeedbackItem, FeedbackRequest
from edge_daemon.messaging.complaints import TRUTH, refuse_steering
from edge_daemon.messaging.document import read_json, shown
from edge_daemon.messaging.inbox import RefusedRequest, read_request
from edge_daemon.messaging.messages import Incoming

MAX_BYTES = 128 * 1024


@dataclass(frozen=True)
class FeedbackMessage:
    """One request; `body` is the same for the same words."""

    request: Request
    items: tuple[Feedback, ...]
    body: bytes


def read_feedback(incoming: Incoming, fresh_id: str, newest_utc: float = 0.0) -> FeedbackMessage:
    """Read one request. Raises RefusedRequest: malformed, retained, expired; nothing is noted."""
    request = read_request(Verb.FEEDBACK.value, incoming, fresh_id, newest_utc)
    try:
        content: Any = incoming.content
        document = read_json(incoming.payload, "The request") if content is None else content
        given = {key: value for key, value in document.items() if value is not None}
        ask = msgspec.convert({**given, "id": request.id}, FeedbackRequest)
        items = _items(ask)
        named = "`items[{}]`" if ask.items else "The feedback"
        words = [_item(each, ask, request, named.format(at)) for at, each in enumerate(items)]
    except SenderError as error:
        raise RefusedRequest(error, request.id) from error
    return FeedbackMessage(request, tuple(words), _body(request, words))


def _items(ask: FeedbackRequest) -> tuple[FeedbackItem, ...]:
    if ask.items:
        if (ask.part, ask.frame) != (msgspec.UNSET, msgspec.UNSET):
            raise SenderError(
                "`part` or `frame` stands beside `items`.", hint="Put this part into `items` too."
            )
        return ask.items
    if ask.verdict is msgspec.UNSET:
        raise SenderError("`verdict` is missing, and feedback needs one.", hint=TRUTH)
    return (FeedbackItem(verdict=ask.verdict, part=ask.part, frame=ask.frame),)


def _item(item: FeedbackItem, ask: FeedbackRequest, request: Request, name: str) -> Feedback:
    """With what the request says for all of them; `name` is the item's own, for people."""
    if item.verdict not in (Verdict.OK.value, Verdict.NG.value):
        raise SenderError(f"{name} has the verdict {shown(item.verdict)}.", hint="Say ok or ng.")
    has_part, has_frame = item.part is not msgspec.UNSET, item.frame is not msgspec.UNSET
    if has_part == has_frame:
        both = "both `part` and `frame`" if has_part else "neither `part` nor `frame`"
        raise SenderError(f"{name} has {both}; it needs one of them.", hint=TRUTH)
    source = _first(item.source, ask.source) or Source.OPERATOR.value
    if source not in [each.value for each in Source]:
        known = ", ".join(each.value for each in Source)
        raise SenderError(f"{name} has the source {shown(source)}.", hint=f"Use one of {known}.")
    part = None if isinstance(item.part, msgspec.UnsetType) else item.part
    if isinstance(part, str) and not 1 <= len(part) <= MAX_ID:
        raise SenderError(f"{name} has the part {shown(part)}.", hint=TRUTH)
    return Feedback(
        boot=refuse_steering("boot", _first(item.boot, ask.boot)),
        verdict=Verdict(item.verdict),
        source=Source(source),
        by=refuse_steering("by", _first(item.by) or request.by),
        part=refuse_steering("part", part) if isinstance(part, str) else part,
        frame=None if isinstance(item.frame, msgspec.UnsetType) else item.frame,
    )


def _first(*given: str | msgspec.UnsetType) -> str:
    return next((each for each in given if not isinstance(each, msgspec.UnsetType)), "")


def _body(request: Request, items: Sequence[Feedback]) -> bytes:
    said: Mapping[str, Any] = {
        "reason": request.reason,
        "by": request.by,
        "items": msgspec.to_builtins(items),
    }
    return json.dumps(said, sort_keys=True).encode()
