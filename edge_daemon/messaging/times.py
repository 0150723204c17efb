"""Times in messages: any ISO 8601 with a zone is read; UTC with milliseconds and Z is written."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime, timedelta, timezone

_UTC = timezone.utc
_ISO = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2})(?::(\d{2})(?:[.,](\d{1,9}))?)?"
    r"(?:([Zz])|([+-])(\d{2}):?(\d{2})?)"
)
_OURS = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z", re.ASCII)


def iso_utc(utc: float) -> str:
    """POSIX seconds -> `2026-11-22T10:00:00.250Z`; the nearest that can be written."""
    try:
        when = datetime.fromtimestamp(utc, _UTC)
    except (OverflowError, ValueError, OSError):  # before the year 1, after 9999, or no number
        when = (datetime.max if utc > 0 else datetime.min).replace(tzinfo=_UTC)
    return when.isoformat(timespec="milliseconds")[:-6] + "Z"


def parse_iso(text: str) -> float | None:
    """ISO 8601 date and time with a zone -> POSIX seconds; None where it is not one.

    Written out because `datetime.fromisoformat` learnt `Z` only with Python 3.11; as we write it
    ourselves, it is read many times faster.
    """
    if _OURS.fullmatch(text):
        with suppress(ValueError):
            return datetime.fromisoformat(f"{text[:-1]}+00:00").timestamp()
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
