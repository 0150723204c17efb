"""The files of collected pictures: written whole, taken away whole, cleaned after a kill."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import structlog

from edge_daemon.collecting.record import NAME, SUFFIXES, Record, read

_log = structlog.get_logger(__name__)

STATUS = "status.json"
TRUTH = ".truth.json"
SENT = ".sent"
"""An empty file beside a picture that lies in the other place too."""


def take_away(picture: Path) -> None:
    """A picture and all that lies beside it; the picture last, so that a rest can be found."""
    for beside in (
        picture.with_suffix(SENT),
        picture.with_suffix(TRUTH),
        picture.with_suffix(".json"),
        picture,
    ):
        beside.unlink(missing_ok=True)
    with suppress(OSError):  # others lie there yet
        picture.parent.rmdir()


def clean(folder: Path) -> None:
    """What an earlier life did not finish: half a file, a record or a picture alone."""
    for path in folder.glob("*/.*.part"):
        path.unlink(missing_ok=True)
    for path in folder.glob("*/*"):
        name = path.name.partition(".")[0]
        if NAME.fullmatch(name) is None:
            continue
        pictures = [path.with_name(name + suffix) for suffix in SUFFIXES]
        picture = next((each for each in pictures if each.exists()), None)
        record = path.with_name(f"{name}.json")
        if picture is None or not record.exists() or whole_record(record) is None:
            _log.info("collect_rest_removed", name=name)
            path.unlink(missing_ok=True)
    for day in folder.glob("*/"):
        with suppress(OSError):
            day.rmdir()


def whole_record(path: Path) -> Record | None:
    """The record of a picture that is there; None where it is none of ours, or not whole."""
    name = path.name.removesuffix(".json")
    if NAME.fullmatch(name) is None:
        return None
    with suppress(OSError, ValueError):
        record = read(path.read_bytes(), name)
        if path.with_suffix(record.suffix).exists():
            return record
    return None


def size_of(picture: Path) -> int:
    """Bytes of a picture with what lies beside it."""
    total = 0
    for path in (picture, picture.with_suffix(".json"), picture.with_suffix(TRUTH)):
        with suppress(OSError):
            total += path.stat().st_size
    return total
