"""Can the places be reached that pictures are copied to, and sent to for training?"""

from __future__ import annotations

from edge_daemon.cli.checks.finding import Finding, error, ok, skipped
from edge_daemon.collecting.places import target_of
from edge_daemon.config import Settings
from edge_daemon.errors import BoxError
from edge_daemon.frames.copy_places import place_of


def check_pictures(settings: Settings) -> list[Finding]:
    """Reaches it, and writes nothing."""
    return [*_copies(settings), *_pushed(settings)]


def _copies(settings: Settings) -> list[Finding]:
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


def _pushed(settings: Settings) -> list[Finding]:
    """Servers of the web are reached by the first picture only: nothing else tells of a token."""
    collect = settings.collect
    if collect is None or collect.push is None:
        return []
    target = target_of(collect.push)
    try:
        target.open()
    except BoxError as fault:
        return [error("collect.push", _sentence(fault.message), fault.hint)]
    except OSError as fault:
        told = f"{_sentence(target.name)[:-1]}: {fault.strerror}."
        return [error("collect.push", told, "Mount it, or correct collect.push.folder.")]
    finally:
        target.close()
    return [ok("collect.push", f"{_sentence(target.name)[:-1]} is where pictures are sent.")]


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:].rstrip('.')}."
