"""What is wrong with a request, in words: the key, the place in it, its value, the next step."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from edge_daemon.core.rollout.values import Source
from edge_daemon.core.text import is_line
from edge_daemon.core.verbs import Verb
from edge_daemon.core.verdicts import ACCEPTABLE
from edge_daemon.core.wording import LABEL, shortened
from edge_daemon.errors import SenderError
from edge_daemon.messaging.asks import MAX_CHANGES, MAX_ID, MAX_SERIAL, MAX_TEXT
from edge_daemon.messaging.document import kind_of, shown

ID_HINT = f"Use 1 to {MAX_ID} printable characters, or leave it out."
_LINE = f"Write one line of at most {MAX_TEXT} printable characters, or leave it out."
_TIME = 'a time with its zone, such as "2026-11-22T10:00:00Z".'
TRUTH = "Name a part by `part` (number, id or serial) or by `frame`, and `verdict` ok or ng."
_SEE = "The API document shows what may stand there: edge-daemon api."
HINTS = {
    "model": "Write name@version, such as bottle@1.4.0, or the name alone for its newest version; "
    "with letters, digits and . _ + ! - only.",
    "expect": "Write the name@version that you believe is active, such as bottle@1.4.0.",
    "at": f'Use "now", "next_order", {{"frame": 1200}} or {_TIME}',
    "expires": f"Use {_TIME}",
    "by": _LINE,
    "reason": _LINE,
    "dry_run": "Send true or false, or leave it out.",
    "serial": f"Use 1 to {MAX_SERIAL} printable characters, or leave it out.",
    "set": 'Write {"scratch.confidence": 0.45}: numbers by rule and field; at most '
    f"{MAX_CHANGES} of them.",
    "reset": "Send true, or leave it out.",
    "plan": 'Write {"canary_traffic": 0.1}, or the stages as the manual shows them.',
    "rollout": "Write the id that rollout/state shows, or leave it out.",
    "accept": f"List some of: {', '.join(ACCEPTABLE)}.",
    **dict.fromkeys(("part", "frame", "verdict", "items"), TRUTH),
    "boot": "Write the boot that the part's result names, or leave it out.",
    "source": f"Use one of {', '.join(source.value for source in Source)}, or leave it out.",
}


def wrong(place: str, given: object, verb: Verb) -> SenderError:
    """The error to be raised: a key, or a place within it, has a value that it may not have."""
    return SenderError(f"`{place}` is {shown(given)}.", hint=hint_of(place, verb))


def hint_of(place: str, verb: Verb) -> str:
    """What may stand there."""
    if place == "at" and verb is Verb.TRIGGER:  # it opens a part now, and needs no other moment
        return f"Leave it out for the moment of arrival, or use {_TIME}"
    key, *within = re.findall(r"[a-z_]+", place)
    return HINTS.get(within[-1] if within and key == "items" else key, _SEE)


_MISSING = re.compile(r"missing required field `(\w+)`(?: - at `\$\.(.*)`)?")
_TOO_MANY = re.compile(r"of length <= (\d+)")
_PLACE = re.compile(r" - at `\$\.(\w+)(.*)`")


def told(fault: str, verb: Verb, given: Mapping[str, Any]) -> SenderError:
    """The decoder's complaint in our words: the key, the place within it, and its value."""
    if missing := _MISSING.search(fault):
        key, where = missing.groups()
        if where is None:
            message = f"`{key}` is missing, and {verb.value} needs one."
            return SenderError(message, hint=hint_of(key, verb))
        return SenderError(f"`{where}` has no `{key}`.", hint=hint_of(where, verb))
    place = _PLACE.search(fault)
    if place is None:
        return SenderError(f"The request cannot be read: {fault}.", hint=_SEE)
    key, within = place.groups()
    value = given[key]
    if within == _ANY_KEY:
        at_fault = (each for each, number in value.items() if kind_of(number) != "a number")
        name = next(at_fault, next(iter(value)))
        return wrong(f"{key}.{shortened(name, LABEL)}", value[name], verb)
    for step in re.findall(r"\w+", within):
        value = value[int(step)] if isinstance(value, list) else value[step]
    if most := _TOO_MANY.search(fault):
        what = "characters" if isinstance(value, str) else "entries"
        message = f"`{key}{within}` has {len(value)} {what}; at most {most[1]} are allowed."
        return SenderError(message, hint=hint_of(key + within, verb))
    return wrong(key + within, value, verb)


_ANY_KEY = "[...]"
"""So the decoder names a value of a mapping."""


def refuse_steering(key: str, text: str) -> str:
    """The text of one line as it is; SenderError if it has control characters."""
    if not is_line(text):
        raise SenderError(
            f"`{key}` holds control characters.", hint="Write one line of printable characters."
        )
    return text


# --------------------------------------------------------------------------- misspelt keys

_GUARDS = frozenset({"at", "dry_run", "expect", "expires"})
_LIKENESS = 0.8
"""From 0 to 1 (`difflib`): `expct` and `expect` have 0.9, `expiry` and `expires` less."""
_MOST, _LONGEST, _SHORT = 32, 32, 4


def refuse_misspelt(given: Iterable[str], known: Iterable[str]) -> None:
    """Raises SenderError for a key that nearly is one that holds a request back.

    Other unknown keys are tolerated, so that newer senders can talk to older boxes. But with
    `dryRun` a model would be swapped, and with `expct` whatever is active.
    """
    guards = {_plain(key): key for key in _GUARDS & set(known)}
    others = [key for key in given if key not in _GUARDS and len(key) <= _LONGEST]
    for key in others[:_MOST]:
        plain = _plain(key)
        near = [plain] if plain in guards else []
        if len(plain) > _SHORT:
            near = get_close_matches(plain, guards, 1, _LIKENESS)
        if near:
            raise SenderError(
                f"`{key}` is not a key of this request, and nearly one.",
                hint=f"Write `{guards[near[0]]}`, or leave it out.",
            )


def _plain(key: str) -> str:
    return key.lower().replace("-", "").replace("_", "")
