"""The collected pictures of a station, for the commands that read them."""

from __future__ import annotations

import os

from edge_daemon.cli.exits import WrongUsage
from edge_daemon.collecting.catalogue import Catalogue, Collected
from edge_daemon.config import CollectSettings, Settings
from edge_daemon.core.collecting.reasons import Why
from edge_daemon.errors import Code, SenderError


def collected_by(settings: Settings) -> CollectSettings:
    """What collects here; raises SenderError where nothing does."""
    if settings.collect is None:
        raise SenderError(
            "No pictures are collected here.",
            hint="Set collect: {folder: …} in the settings.",
            code=Code.PRECONDITION_FAILED,
        )
    return settings.collect


def catalogue_of(settings: CollectSettings) -> Catalogue:
    """The pictures; raises SenderError where their folder is not there."""
    folder = settings.folder
    try:
        os.listdir(folder)
        os.stat(f"{folder}/.")
    except PermissionError as error:
        raise SenderError(
            f"{folder} may not be read by this user.",
            hint="Run it as root, or as a member of the daemon's group.",
            code=Code.PRECONDITION_FAILED,
        ) from error
    except OSError as error:
        what = "not there" if isinstance(error, FileNotFoundError) else "no folder"
        raise SenderError(
            f"{folder} is {what}.",
            hint="Is its disk mounted? The station makes the folder when it starts.",
            code=Code.PRECONDITION_FAILED,
        ) from error
    return Catalogue(folder)


def named(reasons: str | None) -> set[Why]:
    """The reasons that were typed; all where none was."""
    if reasons is None:
        return set(Why)
    words = {word.strip() for word in reasons.split(",") if word.strip()}
    known = {why.value for why in Why}
    if unknown := sorted(words - known):
        raise WrongUsage(
            f"There is no reason {unknown[0]!r}.", hint=f"Use {', '.join(sorted(known))}."
        )
    return {Why(word) for word in words}


def chosen(catalogue: Catalogue, reasons: str | None) -> list[Collected]:
    """The pictures that these reasons hold for, the oldest first; all where none is named."""
    wanted = named(reasons)
    return [each for each in catalogue if wanted & _reasons(each)]


def _reasons(picture: Collected) -> set[Why]:
    """Each part may be audited: this reason holds for those that the audit has drawn."""
    found = {picture.record.leading, *picture.record.reasons}
    is_audited = any(each.is_audited for each in picture.record.parts)
    return found if is_audited else found - {Why.AUDIT}
