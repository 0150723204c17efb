"""`edge-daemon tune`: adjusts a rule of the active model, or previews the effect."""

# ruff: noqa: PLR0913, PLR0917 - an option of a command is an argument of its function

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any

import typer

from edge_daemon.cli.exits import WrongUsage
from edge_daemon.cli.options import (
    AsJson,
    By,
    ConfigFile,
    Local,
    Reason,
    RequestId,
    TimeoutS,
    read_settings,
)
from edge_daemon.cli.output import tell, tell_json
from edge_daemon.cli.references import Model
from edge_daemon.cli.requests import ask, user
from edge_daemon.cli.station import Station
from edge_daemon.errors import Code, SenderError

USUAL_S = 60.0
MOST_NAMED = 20
"""Frames of a preview that are named."""


def tune(
    model: Model,
    values: Annotated[
        list[str] | None,
        typer.Argument(metavar="RULE.FIELD=VALUE", help="Such as scratch.confidence=0.45."),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Go back to the signed values.")] = False,
    preview: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=500,
            help="Change nothing: show how this many recent frames would have been judged. "
            "Asks the daemon of this machine.",
            metavar="N",
        ),
    ] = None,
    by: By = None,
    reason: Reason = "",
    id: RequestId = None,  # noqa: A002 - the contract's word
    file: ConfigFile = None,
    timeout: TimeoutS = USUAL_S,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """Adjust rules of the active model's recipe, within the bounds that it was signed with.

    It takes effect at the next frame and lasts over a restart, until it is reset or another version
    of the model becomes active.
    """
    changes = _changes(values or [])
    if bool(changes) == reset:
        raise WrongUsage(
            "Give values or --reset." if not reset else "--reset sets back all values.",
            hint="Such as: edge-daemon tune bottle scratch.confidence=0.45 --reason …",
        )
    station = Station(read_settings(file), local=local)
    if preview is not None:
        if reset:
            raise WrongUsage("--preview needs values.", hint="Give RULE.FIELD=VALUE.")
        seen = station.inquire("preview", {"set": changes, "limit": preview})
        if model not in (seen["model"], seen["model"].partition("@")[0]):
            raise SenderError(
                f"{seen['model']} is active, not {model}.",
                hint="Only the model that judges can be tuned.",
                code=Code.PRECONDITION_FAILED,
            )
        _show(seen, as_json=as_json)
        return
    body = {
        "model": model,
        "set": changes,
        "reset": reset,
        "by": by or user(),
        "reason": reason,
        "id": id,
    }
    ask(station, "tune", {key: value for key, value in body.items() if value}, timeout, as_json)


def _changes(given: list[str]) -> dict[str, float]:
    """Numbers by their names; raises WrongUsage."""
    found: dict[str, float] = {}
    for each in given:
        name, _, text = each.partition("=")
        value = math.nan
        with suppress(ValueError):
            value = float(text)
        if not name or not math.isfinite(value):
            raise WrongUsage(
                f"{each!r} gives no rule a value.",
                hint="Write RULE.FIELD=VALUE, such as scratch.confidence=0.45.",
            )
        found[name] = value
    return found


def _show(seen: Mapping[str, Any], *, as_json: bool) -> None:
    if as_json:
        tell_json(seen, indent=2)
        return
    before, after, newly = seen["before"], seen["after"], seen["newly"]
    tell(f"{seen['frames']} frames that {seen['model']} judged:")
    for word in ("ok", "ng", "empty"):
        tell(f"  {word:6} {before[word]:5} -> {after[word]:5}  {_named(newly[word])}".rstrip())
    if seen["golden"]:
        tell(f"It would be refused: {seen['golden']}")
    for cause in sorted({*before["causes"], *after["causes"]}):
        was, now = before["causes"].get(cause, 0), after["causes"].get(cause, 0)
        tell(f"  cause {cause}: {was} -> {now}")


def _named(frames: list[int]) -> str:
    if not frames:
        return ""
    more = f" and {len(frames) - MOST_NAMED} more" if len(frames) > MOST_NAMED else ""
    return f"newly: {', '.join(str(each) for each in frames[:MOST_NAMED])}{more}"
