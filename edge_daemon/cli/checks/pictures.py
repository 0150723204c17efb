"""Can the place be reached that pictures are copied to?"""

from __future__ import annotations

from edge_daemon.cli.checks.finding import Finding, error, ok, skipped
from edge_daemon.config import Settings
from edge_daemon.errors import BoxError
from edge_daemon.frames.copy_places import place_of


def check_pictures(settings: Settings) -> list[Finding]:
    """Reaches it, and writes nothing."""
    pictures = settings.results.pictures
    place = place_of(pictures) if pictures is not None else None
    if place is None:
        return [skipped("copies", "No pictures are copied.")]
    try:
        place.open()
    except BoxError as fault:
        return [error("copies", f"{_sentence(fault.message)}", fault.hint)]
    except OSError as fault:
        told = f"{_sentence(place.name)[:-1]}: {fault.strerror}."
        return [error("copies", told, "Mount it, or correct results.pictures.copy_to.")]
    finally:
        place.close()
    return [ok("copies", f"{_sentence(place.name)[:-1]} is there.")]


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:].rstrip('.')}."
