"""Whether the places that pictures are copied and sent to can be reached."""

from __future__ import annotations

from edge_daemon.cli.checks.finding import Finding, error, ok, skipped
from edge_daemon.collecting.places import Target, target_of
from edge_daemon.config import Settings
from edge_daemon.errors import BoxError
from edge_daemon.frames.copy_places import Place, place_of


def check_pictures(settings: Settings) -> list[Finding]:
    """Opens each place; writes nothing."""
    return [*_copies(settings), *_pushed(settings)]


def _copies(settings: Settings) -> list[Finding]:
    pictures = settings.results.pictures
    place = place_of(pictures) if pictures is not None else None
    if place is None:
        return [skipped("copies", "No pictures are copied.")]
    return [_opened(place, "copies", "results.pictures.copy_to", "is there")]


def _pushed(settings: Settings) -> list[Finding]:
    """A server on the web is only opened by name: its token is tried with the first picture."""
    collect = settings.collect
    if collect is None or collect.push is None:
        return []
    target = target_of(collect.push)
    return [_opened(target, "collect.push", "collect.push.folder", "is where pictures are sent")]


def _opened(place: Place | Target, what: str, setting: str, found: str) -> Finding:
    name = _sentence(place.name)[:-1]
    try:
        place.open()
    except BoxError as fault:
        return error(what, _sentence(fault.message), fault.hint)
    except OSError as fault:
        return error(what, f"{name}: {fault.strerror}.", f"Mount it, or correct {setting}.")
    finally:
        place.close()
    return ok(what, f"{name} {found}.")


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:].rstrip('.')}."
