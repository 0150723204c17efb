"""Bytes -> a checked `Request`, at the door; inside the house there are only values.

Whatever a stranger sends, the answer is a `Request` or a `RefusedRequest` (a SenderError that
knows the id to answer). Unknown keys are tolerated, so that newer senders can talk to older
boxes; the ones that are known are checked strictly, because a wrong guess changes a model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from edge_daemon.control.document import read_json, text_of
from edge_daemon.control.messages import Incoming
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
    Verb,
)
from edge_daemon.core.verdicts import ACCEPTABLE
from edge_daemon.errors import Code, SenderError
from edge_daemon.host.clock import set_back_s

MAX_ID = 128
MAX_TEXT = 1024
MAX_FRAME = 2**53
FARTHEST_S = 10 * 365.25 * 86_400.0
RESERVED = "desired-"
"""How the ids of the desired state begin."""

_NEEDS_MODEL = {Verb.PREPARE, Verb.SWAP}
_TAKES_MODEL = _NEEDS_MODEL | {Verb.ROLLBACK}
REF_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]{0,127}")
_ISO = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?"
    r"(?:([Zz])|([+-])(\d{2}):?(\d{2})?)"
)
_KINDS = {str: "text", bool: "true or false", dict: "an object", list: "a list"}

_Value = TypeVar("_Value", str, bool)


class RefusedRequest(SenderError):  # noqa: N818 - named as the outcome that it becomes
    """A request that changes nothing; `request_id` is the id to answer with."""

    request_id: str = ""


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
        refused = RefusedRequest(error.message, hint=error.hint, code=error.code)
        refused.request_id = request_id
        raise refused from error
    return request


def has_own_id(incoming: Incoming) -> bool:
    """Whether a request that was read names its id itself, instead of by Correlation Data."""
    content: object = incoming.content
    if content is None and incoming.payload.strip():
        content = read_json(incoming.payload, "The request")
    if isinstance(content, Mapping):
        return content.get("id") is not None
    return isinstance(content, Request)


def _verb(text: str) -> Verb:
    try:
        return Verb(text)
    except ValueError:
        raise SenderError(
            f"{_shown(text)} is not something to ask.",
            hint=f"Use one of {', '.join(verb.value for verb in Verb)}.",
        ) from None


def _document(verb: str, payload: bytes) -> Mapping[str, Any]:
    if not text_of(payload) and verb not in _NEEDS_MODEL:
        return {}
    document = read_json(payload, "The request")
    if not isinstance(document, dict):
        raise SenderError(
            f"The request is {_kind(document)}, not an object.",
            hint=f'Send {{"model": "name@version"}} to request/{verb}.'
            if verb in _NEEDS_MODEL
            else 'Send {"id": "42"}, or nothing at all.',
        )
    return document


def _request(request_id: str, verb: Verb, document: Mapping[str, Any]) -> Request:
    return Request(
        id=request_id,
        verb=verb,
        model=_model(verb, document),
        at=_at(document.get("at")) if verb is Verb.SWAP else AtNow(),
        expect=_expect(document) if verb in _TAKES_MODEL else None,
        expires_utc=_expires(document.get("expires")),
        by=_text(document, "by"),
        reason=_text(document, "reason"),
        dry_run=_value(document, "dry_run", bool, default=False),
        accept=_accept(document) if verb in _NEEDS_MODEL else (),
    )


def _with_message_expiry(request: Request, incoming: Incoming) -> Request:
    """MQTT's Message Expiry ends a request as `expires` does; the earlier one counts."""
    if incoming.message_expiry_s is None:
        return request
    ends = incoming.received.utc + incoming.message_expiry_s
    if request.expires_utc is not None:
        ends = min(ends, request.expires_utc)
    return replace(request, expires_utc=ends)


def _refuse_reserved(request_id: str) -> None:
    """The daemon's own ids can be computed: nobody may use them up before it does."""
    if request_id.startswith(RESERVED):
        raise SenderError(
            f"Ids that begin with {RESERVED} are the station's own.",
            hint="Give the request another id, or leave it out.",
        )


def _refuse_times(request: Request, now: Instant, newest_utc: float) -> None:
    """Times that this station's clock cannot judge, or at which nobody will be there to see.

    What never expires is harmless, and some senders say it with a year far ahead.
    """
    times = {"at": request.at.utc if isinstance(request.at, AtTime) else None}
    times["expires"] = request.expires_utc
    given = {key: utc for key, utc in times.items() if utc is not None}
    if given and (behind_s := set_back_s(now, newest_utc)):
        raise SenderError(
            f"The station's clock was set back by {behind_s:.0f} s: it cannot tell whether "
            f"`{next(iter(given))}` is over.",
            hint="Set the clock right, or say that it is: edge-daemon audit trust-clock.",
            code=Code.PRECONDITION_FAILED,
        )
    if isinstance(request.at, AtTime) and request.at.utc > max(now.utc, newest_utc) + FARTHEST_S:
        raise SenderError(
            "`at` is more than ten years ahead of the station's clock.",
            hint="Use a time that is meant; `next_order` and `now` need none.",
        )


def _refuse_expired(request: Request, now_utc: float) -> None:
    if request.expires_utc is not None and request.expires_utc <= now_utc:
        late_s = now_utc - request.expires_utc
        raise SenderError(
            f"The request expired {late_s:.3f} s before it arrived.",
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
    if not isinstance(given, str) or not 1 <= len(given) <= MAX_ID or not given.isprintable():
        raise SenderError(
            f"`id` is {_shown(given)}.",
            hint=f"Use 1 to {MAX_ID} printable characters, or leave it out.",
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


def _model(verb: Verb, document: Mapping[str, Any]) -> ModelChoice | None:
    if verb not in _TAKES_MODEL:
        return None
    given = document.get("model")
    if given is None:
        if verb in _NEEDS_MODEL:
            raise SenderError(
                f"`model` is missing, and {verb.value} needs one.",
                hint='Add "model": "name@version", or "name" for its newest version.',
            )
        return None
    return _choice("model", given)


def _choice(key: str, given: object) -> ModelChoice:
    if isinstance(given, str):
        name, at, version = given.partition("@")
        if REF_PART.fullmatch(name) and (not at or REF_PART.fullmatch(version)):
            return ModelChoice(name, version or None)
    raise SenderError(
        f"`{key}` is {_shown(given)}.",
        hint="Write name@version, such as bottle@1.4.0, with letters, digits and . _ + ! - only.",
    )


def _expect(document: Mapping[str, Any]) -> ModelChoice | None:
    given = document.get("expect")
    if given is None:
        return None
    choice = _choice("expect", given)
    if choice.version is None:
        raise SenderError(
            f"`expect` is {_shown(given)} and names no version.",
            hint="Write the name@version that you believe is active.",
        )
    return choice


def _at(given: object) -> At:
    if given is None or given == "now":
        return AtNow()
    if given == "next_order":
        return AtNextOrder()
    if isinstance(given, dict):
        frame = given.get("frame")
        if isinstance(frame, int) and not isinstance(frame, bool) and 0 <= frame <= MAX_FRAME:
            return AtFrame(frame)
    if isinstance(given, str) and (utc := parse_iso(given)) is not None:
        return AtTime(utc)
    raise SenderError(
        f"`at` is {_shown(given)}.",
        hint='Use "now", "next_order", {"frame": 1200} or a time with its zone, '
        'such as "2026-11-22T10:00:00Z".',
    )


def _expires(given: object) -> float | None:
    if given is None:
        return None
    if isinstance(given, str) and (utc := parse_iso(given)) is not None:
        return utc
    raise SenderError(
        f"`expires` is {_shown(given)}.",
        hint='Use a time with its zone, such as "2026-11-22T10:00:00Z".',
    )


def _accept(document: Mapping[str, Any]) -> tuple[str, ...]:
    """Checks that may fail: each by its name, and for a reason that somebody can read later."""
    given = document.get("accept")
    if given is None or given == []:
        return ()
    known = ", ".join(ACCEPTABLE)
    if not isinstance(given, list):
        raise SenderError(
            f"`accept` is {_shown(given)}, not a list.", hint=f"List some of: {known}."
        )
    for name in given:
        if name not in ACCEPTABLE:
            raise SenderError(
                f"`accept` names {_shown(name)}, which cannot be accepted.",
                hint=f"These can be: {known}.",
            )
    if not _text(document, "reason").strip():
        raise SenderError(
            "`accept` needs a `reason`.",
            hint="Say why these checks may fail; it stays in the receipt and the audit trail.",
        )
    return tuple(dict.fromkeys(given))


def _text(document: Mapping[str, Any], key: str) -> str:
    text = _value(document, key, str, default="")
    if len(text) > MAX_TEXT:
        raise SenderError(f"`{key}` has {len(text)} characters.", hint=f"Use at most {MAX_TEXT}.")
    return refuse_steering(key, text)


def refuse_steering(key: str, text: str) -> str:
    """The text of one line as it is; SenderError where a character would steer a terminal."""
    if not is_line(text):
        raise SenderError(
            f"`{key}` holds control characters.", hint="Write one line of printable characters."
        )
    return text


def _value(document: Mapping[str, Any], key: str, kind: type[_Value], *, default: _Value) -> _Value:
    given = document.get(key)
    if given is None:
        return default
    if not isinstance(given, kind):
        raise SenderError(
            f"`{key}` is {_shown(given)}, not {_KINDS[kind]}.",
            hint=f"Send {_KINDS[kind]}, or leave `{key}` out.",
        )
    return given


# --------------------------------------------------------------------------- words


def parse_iso(text: str) -> float | None:
    """ISO 8601 date and time with a zone -> POSIX seconds; None where it is not one.

    Written out because `datetime.fromisoformat` learnt `Z` only with Python 3.11.
    """
    match = _ISO.fullmatch(text)
    if match is None:
        return None
    date, minutes, seconds, fraction, _, sign, zone_h, zone_m = match.groups()
    try:
        moment = datetime.strptime(f"{date}T{minutes}:{seconds or '00'}", "%Y-%m-%dT%H:%M:%S")
        offset = timedelta(hours=int(zone_h or 0), minutes=int(zone_m or 0))
        zone = timezone(-offset if sign == "-" else offset)
        whole = moment.replace(tzinfo=zone).timestamp()
    except (ValueError, OverflowError):
        return None
    return whole + float(f"0.{fraction or 0}")


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "a number"
    return _KINDS.get(type(value), "something else")


def _shown(value: object) -> str:
    """A stranger's value, short enough for a sentence."""
    if isinstance(value, (dict, list)):
        return _kind(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
