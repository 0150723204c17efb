"""Models as typed on the command line, checked before anything is read or connected."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from edge_daemon.cli.exits import WrongUsage
from edge_daemon.messaging.inbox import REF_PART

_FILES = {
    *(".pt", ".pth", ".onnx", ".engine", ".torchscript", ".safetensors", ".xml", ".bin"),
    *(".yaml", ".yml", ".json", ".zip", ".tar", ".gz", ".tgz"),
}
_STORE = (
    "`edge-daemon models list` shows what the store has; a bundle comes into it with "
    "`edge-daemon models add FOLDER`."
)


def model_choice(given: str | None) -> str | None:
    """NAME, for its newest version, or NAME@VERSION; raises WrongUsage."""
    if given is not None:
        _check(given, "NAME or NAME@VERSION")
    return given


def model_ref(given: str | None) -> str | None:
    """NAME@VERSION; raises WrongUsage."""
    if given is not None and "@" not in _check(given, "NAME@VERSION"):
        raise WrongUsage(
            f"{given} names no version; a model is NAME@VERSION here, such as {given}@1.4.0.",
            hint=_STORE,
        )
    return given


def ref_or_folder(given: str) -> str:
    """NAME@VERSION, or a bundle's folder anywhere; raises WrongUsage."""
    if not os.path.isdir(given):
        model_ref(given)
    return given


def two_models(given: tuple[str, str] | None) -> tuple[str, str] | None:
    """Two different NAME@VERSION; raises WrongUsage."""
    for each in given or ():
        model_ref(each)
    if given is not None and given[0] == given[1]:
        raise WrongUsage(f"{given[0]} is given twice; a swap goes from one model to another.")
    return given


def _check(given: str, form: str) -> str:
    name, at, version = given.partition("@")
    if REF_PART.fullmatch(name) and (REF_PART.fullmatch(version) if at else not _is_file(given)):
        return given
    shown = given if given.isprintable() and given else repr(given)
    if os.path.isdir(shown):
        what = "is a folder"
    elif _is_file(shown):
        what = "is a file"
    elif "/" in shown:
        what = "is a path"
    else:
        what = "is no model"
    raise WrongUsage(f"{shown} {what}; a model is {form}, such as bottle@1.4.0.", hint=_STORE)


def _is_file(given: str) -> bool:
    """A file that is there, or what looks like one that is elsewhere; a version is told apart."""
    return Path(given).suffix.lower() in _FILES or ("." in given and os.path.isfile(given))


Model = Annotated[
    str,
    typer.Argument(
        help="name@version, or name for its newest version.",
        metavar="MODEL",
        show_default=False,
        callback=model_choice,
    ),
]
Ref = Annotated[
    str,
    typer.Argument(
        help="A bundle: name@version.", metavar="REF", show_default=False, callback=model_ref
    ),
]
RefOrFolder = Annotated[
    str,
    typer.Argument(
        help="name@version, or a bundle's folder.",
        metavar="REF",
        show_default=False,
        callback=ref_or_folder,
    ),
]
NamedRef = Annotated[
    str | None,
    typer.Argument(
        help="A bundle: name@version.", metavar="REF", show_default=False, callback=model_ref
    ),
]
OptionalRef = Annotated[
    str | None,
    typer.Argument(
        help="name@version, or nothing: every engine made here that no longer fits this box.",
        metavar="REF",
        show_default=False,
        callback=model_ref,
    ),
]
