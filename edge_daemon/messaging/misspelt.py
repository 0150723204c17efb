"""Keys that hold a request back, spelt otherwise.

Unknown keys are tolerated, so that newer senders can talk to older boxes. But with `dryRun` a model
would be swapped, and with `expct` whatever is active: what nearly is such a key is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from edge_daemon.errors import SenderError

GUARDS = frozenset({"at", "dry_run", "expect", "expires"})
LIKENESS = 0.8
"""From 0 to 1 (`difflib`): `expct` and `expect` have 0.9, `expiry` and `expires` less."""
_MOST, _LONGEST, _SHORT = 32, 32, 4


def refuse_misspelt(given: Iterable[str], known: Iterable[str]) -> None:
    """Raises SenderError for a key that nearly is one of `GUARDS`, where this request has it."""
    guards = {_plain(key): key for key in GUARDS & set(known)}
    others = [key for key in given if key not in GUARDS and len(key) <= _LONGEST]
    for key in others[:_MOST]:
        plain = _plain(key)
        near = [plain] if plain in guards else []
        if len(plain) > _SHORT:
            near = get_close_matches(plain, guards, 1, LIKENESS)
        if near:
            raise SenderError(
                f"`{key}` is not a key of this request, and nearly one.",
                hint=f"Write `{guards[near[0]]}`, or leave it out.",
            )


def _plain(key: str) -> str:
    return key.lower().replace("-", "").replace("_", "")
