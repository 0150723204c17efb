"""Sentences of bounded length: a bundle may bring long text, and people get a short one."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence

MESSAGE = 400  # characters of one message
LABEL = 40  # characters of one name within a message

_MOST = 4
_PATH = re.compile(r"(?<![\w.])/+(?=\S)(?:[^\s/'\"(),:;]+/+)*")
_ARROWS = 0x2190
"""Signs from here on are pictures; those before, such as the degree sign, are writing."""


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    shown = [shortened(name, LABEL) for name in names[:_MOST]]
    more = len(names) - len(shown)
    return ", ".join(shown) + (f" … and {more} more" if more else "")


def public(text: str, folders: Sequence[str] = ()) -> str:
    """The text as it may leave this box: printable, bounded, and without the folders of the box.

    Of a path only its last part is left; `folders` are taken out first, whatever their names hold.
    """
    for folder in folders:
        text = text.replace(folder, "")
    text = "".join(sign if _is_writing(sign) else " " for sign in text)
    return shortened(_PATH.sub("", " ".join(text.split())))


def _is_writing(sign: str) -> bool:
    is_picture = ord(sign) >= _ARROWS and unicodedata.category(sign) in ("So", "Sk", "Mn")
    return sign.isprintable() and not is_picture


def duration(seconds: float) -> str:
    """`12 s`, `3 min`, `2 h 5 min`, `4 d 3 h`."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def shortened(text: str, most: int = MESSAGE) -> str:
    """The text, cut where it is longer than `most` characters."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def shown(value: float) -> float | str:
    """A number of four places that JSON can hold: no NaN and no infinity."""
    return round(value, 4) if math.isfinite(value) else str(value)
