"""Bytes -> a checked `Request`, where they arrive; everything behind it handles values only.

Whatever a stranger sends, the answer is a `Request` or a `RefusedRequest` (a SenderError that
knows the id to answer). Unknown keys are tolerated, so that newer senders can talk to older
boxes (but see `refuse_misspelt`). Known keys are checked strictly: a wrong guess changes a model.

`document` bounds the JSON, `asks` defines the fields and their types, and the meaning of a field's
text is read here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from edge_daemon.core.rollout.plan import as_mapping, read_plan
from edge_daemon.core.text import is_line
from edge_daemon.core.values import (
    At,
    AtFrame,
    AtNextOrder,
    AtNow,
    AtTime,
    Instant,
    ModelChoice,
    Request,
)
from edge_daemon.core.verbs import Verb
from edge_daemon.core.verdicts import ACCEPTABLE
from edge_daemon.core.wording import duration
from edge_daemon.errors import Code, SenderError
from edge_daemon.host.clock import set_back_s
from edge_daemon.messaging import asks
from edge_daemon.messaging.asks import MAX_ID, REQUESTS, needed
from edge_daemon.messaging.complaints import (
    HINTS,
    ID_HINT,
    hint_of,
    refuse_misspelt,
    refuse_steering,
    told,
    wrong,
)
from edge_daemon.messaging.document import kind_of, read_json, shown, text_of
from edge_daemon.messaging.messages import Incoming
from edge_daemon.messaging.times import parse_iso

FARTHEST_S = 10 * 365.25 * 86_400.0
RESERVED = "desired-"
"""How the ids of the desired state begin."""

REF_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,127}")


class RefusedRequest(SenderError):  # noqa: N818 - named as the outcome that it becomes
    """A request that changes nothing; `request_id` is the id to answer with."""

    def __init__(self, error: SenderError, request_id: str) -> None:
        super().__init__(error.message, hint=error.hint, code=error.code)
        self.request_id = request_id


def read_request(verb: str, incoming: Incoming, fresh_id: str, newest_utc: float = 0.0) -> Request:
    """Read one request as it arrived.

    Args:
        verb: the last level of the topic it came by.
        incoming: the message; its `received` is the time that `expires` is held against.
        fresh_id: the id for a request that brings none; from the caller's source of chance.
        newest_utc: the newest time on record; no time can be judged by a clock far below it.

    Raises:
        RefusedRequest: malformed, retained or expired; nothing may be done but to answer it.
    """
    if isinstance(incoming.content, Request):
        return incoming.content
    request_id = _correlation_id(incoming.correlation) or fresh_id
    try:
        content = incoming.content
        document = _document(verb, incoming.payload) if content is None else content
        request_id = _id(document) or request_id
        known_verb = _verb(verb)
        if incoming.retained:
            raise SenderError(
                f"A retained {known_verb.value} would be carried out again at every start.",
                hint="Publish it without the retain flag, and clear the retained message.",
                code=Code.RETAINED,
            )
        _refuse_reserved(request_id)
        request = _request(request_id, known_verb, document)
        _refuse_times(request, incoming.received, newest_utc)
        request = _with_message_expiry(request, incoming)
        _refuse_expired(request, incoming.received.utc)
    except SenderError as error:
        raise RefusedRequest(error, request_id) from error
    return request


def refuse_large(incoming: Incoming, what: str, most_bytes: int) -> None:
    """Raises SenderError for what is too long for the thread that reads it; `what` names it."""
    size_bytes = len(incoming.payload)
    if size_bytes > most_bytes:
        raise SenderError(f"The {what} has {size_bytes} bytes.", hint=f"Send at most {most_bytes}.")


def has_own_id(incoming: Incoming) -> bool:
    """Whether a request that was read names its id itself, instead of by Correlation Data."""
    content: object = incoming.content
    if content is None and text_of(incoming.payload):
        content = read_json(incoming.payload, "The request")
    if isinstance(content, Mapping):
        return content.get("id") is not None
    return isinstance(content, Request)


def _verb(text: str) -> Verb:
    try:
        return Verb(text)
    except ValueError:
        raise SenderError(
            f"{shown(text)} is not something to ask.",
            hint=f"Use one of {', '.join(verb.value for verb in Verb)}.",
        ) from None


def _document(verb: str, payload: bytes) -> Mapping[str, Any]:
    known = next((each for each in Verb if each.value == verb), None)
    needs = needed(known) if known is not None else ()
    wanted = f"Send an object with {' and '.join(f'`{key}`' for key in needs)}."
    if not text_of(payload):
        if not needs:
            return {}
        raise SenderError("The request is empty.", hint=wanted)
    document = read_json(payload, "The request")
    if not isinstance(document, dict):
        raise SenderError(
            f"The request is {kind_of(document)}, not an object.",
            hint=wanted if needs else 'Send {"id": "42"}, or nothing at all.',
        )
    return document


def _request(request_id: str, verb: Verb, document: Mapping[str, Any]) -> Request:
    """All fields of the request as values of the core."""
    refuse_misspelt(document, [field.name for field in msgspec.structs.fields(REQUESTS[verb])])
    given = {key: value for key, value in document.items() if value is not None and key != "id"}
    try:
        ask = msgspec.convert(given, REQUESTS[verb])
    except msgspec.ValidationError as error:
        raise told(str(error), verb, given) from None
    fields = msgspec.structs.asdict(ask)
    read = {
        key: _read(key, value, verb) for key, value in fields.items() if value is not msgspec.UNSET
    }
    expires_utc, changes = read.pop("expires", None), read.pop("set", ())
    read = {key: value for key, value in read.items() if key in _OF_REQUEST}
    request = Request(request_id, verb, expires_utc=expires_utc, changes=changes, **read)
    if request.accept and not request.reason.strip():
        raise SenderError(
            "`accept` needs a `reason`.",
            hint="Say why these checks may fail; it stays in the receipt and the audit trail.",
        )
    if verb is Verb.TUNE and bool(request.changes) == request.reset:
        both = ", and has both" if request.reset else ""
        raise SenderError(
            f"A tune needs either `set` or `reset`{both}.",
            hint='Send "set": {"scratch.confidence": 0.45}, or "reset": true.',
        )
    return request


_OF_REQUEST = frozenset(Request.__dataclass_fields__)
"""What a truth about parts holds besides is `feedback`'s to read."""


def _with_message_expiry(request: Request, incoming: Incoming) -> Request:
    """MQTT's Message Expiry ends a request as `expires` does; the earlier one counts."""
    if incoming.message_expiry_s is None:
        return request
    ends = incoming.received.utc + incoming.message_expiry_s
    if request.expires_utc is not None:
        ends = min(ends, request.expires_utc)
    return replace(request, expires_utc=ends)


def _refuse_reserved(request_id: str) -> None:
    """The daemon's own ids can be predicted, so requests from outside may not use them."""
    if request_id.startswith(RESERVED):
        raise SenderError(
            f"Ids that begin with {RESERVED} are the station's own.",
            hint="Give the request another id, or leave it out.",
        )


def _refuse_times(request: Request, now: Instant, newest_utc: float) -> None:
    """Refuse times that this station's clock cannot judge, or that are too far away.

    What never expires is harmless, and some senders write a year far ahead for it.
    """
    times = {"at": request.at.utc if isinstance(request.at, AtTime) else None}
    times["expires"] = request.expires_utc
    given = {key: utc for key, utc in times.items() if utc is not None}
    if given and (behind_s := set_back_s(now, newest_utc)):
        raise SenderError(
            f"The station's clock was set back by {duration(behind_s)}: it cannot tell whether "
            f"`{next(iter(given))}` is over.",
            hint="Set the clock right, or say that it is: edge-daemon audit trust-clock.",
            code=Code.PRECONDITION_FAILED,
        )
    if isinstance(request.at, AtTime) and request.at.utc > max(now.utc, newest_utc) + FARTHEST_S:
        raise SenderError(
            "`at` is more than ten years ahead of the station's clock.",
            hint=f"Use a time that is meant. {hint_of('at', request.verb)}",
        )


def _refuse_expired(request: Request, now_utc: float) -> None:
    if request.expires_utc is not None and request.expires_utc <= now_utc:
        late_s = now_utc - request.expires_utc
        raise SenderError(
            f"The request expired {f'{late_s:.3f} s' if late_s < 60 else duration(late_s)} "
            "before it arrived.",
            hint="Send it again; if it was not late, compare the clocks of both sides.",
            code=Code.EXPIRED,
        )


# --------------------------------------------------------------------------- the keys


def _id(document: Mapping[str, Any]) -> str | None:
    given = document.get("id")
    if given is None:
        return None
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        given = str(given)
    if not isinstance(given, str) or not given or not given.isprintable():
        raise SenderError(f"`id` is {shown(given)}.", hint=ID_HINT)
    if len(given) > MAX_ID:
        raise SenderError(
            f"`id` has {len(given)} characters; at most {MAX_ID} are allowed.", hint=ID_HINT
        )
    return given


def _correlation_id(correlation: bytes | None) -> str | None:
    """Correlation Data as an id: as text where it reads as such, else in hex."""
    if not correlation:
        return None
    try:
        text = correlation.decode("utf-8")
    except UnicodeDecodeError:
        text = ""
    if not (text and text.isprintable()):
        text = correlation.hex()
    return text if len(text) <= MAX_ID else None


def _read(key: str, given: Any, verb: Verb) -> Any:
    """The meaning of a field of the right kind; text without a reader of its own is one line."""
    try:
        if key in _READERS:
            return _READERS[key](given)
    except ValueError:
        raise wrong(key, given, verb) from None
    return refuse_steering(key, given) if isinstance(given, str) else given


def _model(given: str) -> ModelChoice:
    name, at, version = given.partition("@")
    if REF_PART.fullmatch(name) and (not at or REF_PART.fullmatch(version)):
        return ModelChoice(name, version or None)
    raise ValueError(given)


def _version(given: str) -> ModelChoice:
    choice = _model(given)
    if choice.version is None:
        raise ValueError(given)
    return choice


def _at(given: str | asks.AtFrame) -> At:
    if isinstance(given, asks.AtFrame):
        return AtFrame(given.frame)
    if given in ("now", "next_order"):
        return AtNow() if given == "now" else AtNextOrder()
    return AtTime(_time(given))


def _time(given: str) -> float:
    utc = parse_iso(given)
    if utc is None:
        raise ValueError(given)
    return utc


def _accept(given: tuple[str, ...]) -> tuple[str, ...]:
    """The names of checks that may fail."""
    unknown = next((name for name in given if name not in ACCEPTABLE), None)
    if unknown is not None:
        raise SenderError(
            f"`accept` names {shown(unknown)}, which cannot be accepted.", hint=HINTS["accept"]
        )
    return tuple(dict.fromkeys(given))


def _changes(given: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """Values of rules by their names, always in the same order."""
    for name in given:
        if not (1 <= len(name) <= MAX_ID and is_line(name)):
            raise SenderError(f"`set` has the name {shown(name)}.", hint=HINTS["set"])
    return tuple(sorted(given.items()))


def _plan(given: Mapping[str, Any]) -> str:
    """The plan as canonical text; what it says is checked first."""
    return json.dumps(as_mapping(read_plan(given)), sort_keys=True, separators=(",", ":"))


_READERS: Mapping[str, Callable[[Any], Any]] = {
    "model": _model,
    "expect": _version,
    "at": _at,
    "expires": _time,
    "accept": _accept,
    "set": _changes,
    "plan": _plan,
}
"""Each raises ValueError, or a SenderError of its own."""
