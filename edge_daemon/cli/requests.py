"""`edge-daemon swap` and the other verbs: send a request and wait for its outcome.

Each verb is a command, with an option for each field of its request.
"""

from __future__ import annotations

import getpass
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from inspect import Parameter, Signature
from typing import Any

import msgspec
import typer

from edge_daemon.cli.exits import FAILED, WrongUsage
from edge_daemon.cli.options import (
    AsJson,
    By,
    ConfigFile,
    Local,
    RequestId,
    TimeoutS,
    read_settings,
)
from edge_daemon.cli.output import busy, show, tell, tell_json, unbroken
from edge_daemon.cli.references import Model, model_choice, model_ref
from edge_daemon.cli.station import Station
from edge_daemon.cli.words import checks_table, milliseconds, receipt_lines
from edge_daemon.core.verbs import Verb, about
from edge_daemon.messaging.asks import REQUESTS, needed
from edge_daemon.messaging.times import parse_iso

USUAL_S = 300.0

_OPTIONS: Mapping[str, tuple[Any, Any]] = {
    "model": (Model, Parameter.empty),
    "to": (
        str | None,
        typer.Option(
            None, help="Which name@version; else the one confirmed before.", callback=model_choice
        ),
    ),
    "at": (
        str,
        typer.Option(
            "now", help="now, next_order, frame:N, or a time such as 2026-11-22T10:00:00Z."
        ),
    ),
    "expect": (
        str | None,
        typer.Option(
            None,
            help="Only if this name@version is active now.",
            show_default=False,
            callback=model_ref,
        ),
    ),
    "expires": (
        str | None,
        typer.Option(
            None, help="Give up at this time, such as 2026-11-22T10:00:00Z.", metavar="TIME"
        ),
    ),
    "within": (
        float | None,
        typer.Option(None, min=0.1, help="Give up after this many seconds."),
    ),
    "by": (By, None),
    "reason": (str, typer.Option("", help="Why; it stays in the receipt and the audit trail.")),
    "dry_run": (
        bool,
        typer.Option(False, "--dry-run", help="Load and check it, and change nothing."),
    ),
    "accept": (
        list[str] | None,
        typer.Option(
            None,
            help="A check of verdicts that may fail, by its name; needs --reason. May be repeated.",
            metavar="CHECK",
        ),
    ),
    "rollout": (str | None, typer.Option(None, help="Only if the rollout of this id runs.")),
    "serial": (str | None, typer.Option(None, help="What is written on the part.")),
    "id": (RequestId, None),
}
"""(type, default) of each option, in the order of the help."""

_ALWAYS: Mapping[str, tuple[Any, Any]] = {
    "file": (ConfigFile, None),
    "timeout": (TimeoutS, USUAL_S),
    "local": (Local, False),
    "as_json": (AsJson, False),
}


def __getattr__(name: str) -> Callable[..., None]:
    """The commands of this module: one for each verb, by its name."""
    if name in [verb.value for verb in Verb]:
        return command(Verb(name))
    raise AttributeError(name)


def command(verb: Verb) -> Callable[..., None]:
    """What typer makes a command of: its signature has the verb's options."""
    options = {**{key: _OPTIONS[key] for key in _options(verb)}, **_ALWAYS}

    def run(**given: Any) -> None:
        file, timeout, local, as_json = (given.pop(key) for key in _ALWAYS)
        station = Station(read_settings(file), local=local)
        ask(station, verb.value, _body(**given), timeout, as_json)

    run.__name__ = verb.value
    run.__doc__ = REQUESTS[verb].__doc__
    run.__annotations__ = {key: annotation for key, (annotation, _) in options.items()}
    parameters = [
        Parameter(key, Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for key, (annotation, default) in options.items()
    ]
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return run


def _options(verb: Verb) -> list[str]:
    """One for each field, two for the expiry; a model that may be left out is `--to`."""
    fields = {field.name for field in msgspec.structs.fields(REQUESTS[verb])}
    if "model" not in fields:
        fields = fields - {"at"}  # of a trigger, which is typed when the part is there
    if "model" in fields and "model" not in needed(verb):
        fields = fields - {"model"} | {"to"}
    return [key for key in _OPTIONS if key in fields | {"within"}]


# --------------------------------------------------------------------------- the body


def _body(**given: Any) -> dict[str, Any]:
    """The request as the contract names it, without what is not given; raises WrongUsage."""
    if "to" in given:
        given["model"] = given.pop("to")
    given["expires"] = _expiry(given["expires"], given.pop("within"))
    given["by"] = given["by"] or user()
    if "at" in given:
        given["at"] = _boundary(given["at"])
    return {key: value for key, value in given.items() if value not in (None, "", False, [])}


def user() -> str | None:
    """The user who is typing, as this machine knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def _boundary(at: str) -> Any:
    if at in ("now", "next_order"):
        return None if at == "now" else at
    if at.startswith("frame:"):
        number = at.removeprefix("frame:")
        if not number.isdecimal():
            raise WrongUsage(f"{at!r} names no frame.", hint="Write --at frame:1200.")
        return {"frame": int(number)}
    return _time("--at", at, "now, next_order, frame:1200 or ")


def _time(option: str, given: str, others: str = "") -> str:
    if parse_iso(given) is None:
        raise WrongUsage(
            f"{option} {given!r} is not a time with a zone.",
            hint=f"Write {others}2026-11-22T10:00:00Z.",
        )
    return given


def _expiry(expires: str | None, within_s: float | None) -> str | None:
    if within_s is None:
        return None if expires is None else _time("--expires", expires)
    if expires is not None:
        raise WrongUsage("--expires and --within are both given.", hint="Give one of them.")
    return datetime.fromtimestamp(time.time() + within_s, timezone.utc).isoformat()


# --------------------------------------------------------------------------- the answers


def ask(
    station: Station, verb: str, body: Mapping[str, Any], timeout_s: float, as_json: bool
) -> None:
    """Send it, show its progress, and exit by its outcome, even if the output is closed."""
    with unbroken():
        outcome = show_answers(station.request(verb, body, timeout_s), verb, as_json=as_json)
    if outcome.get("status") != "succeeded":
        raise typer.Exit(FAILED)


def show_answers(
    answers: Iterable[Mapping[str, Any]], verb: str, *, as_json: bool = False, quiet: bool = False
) -> Mapping[str, Any]:
    """Show each answer as it comes; returns the last. JSON: one object a line.

    `quiet` leaves out the words of a success. An answer that is not the last one has none.
    """
    last: Mapping[str, Any] = {}
    with busy(f"{verb} …") as spinner:
        for answer in answers:
            last = answer
            if as_json:
                tell_json(answer)
            elif answer.get("status") == "progress":
                elapsed = milliseconds(answer.get("elapsed_ms"))
                spinner.update(f"{verb}: {answer.get('stage')} … {elapsed}")
                tell(f"  {answer.get('stage')}  after {elapsed}", err=True)
    goes_on = last.get("status") == "progress"
    if not (as_json or goes_on or (quiet and last.get("status") == "succeeded")):
        show_outcome(last, verb)
    return last


def show_outcome(outcome: Mapping[str, Any], verb: str) -> None:
    """The outcome in words: the receipt, or the reason and the next step."""
    status = outcome.get("status")
    if status == "succeeded":
        receipt = outcome.get("receipt")
        lines = list(receipt_lines(receipt)) if isinstance(receipt, Mapping) else []
        if isinstance(told := outcome.get("forecast"), Mapping):
            lines = ["It could begin.", *map(str, told.get("lines", ()))]
        if "part" in outcome:
            again = ", which the same id had opened before" if outcome.get("again") else ""
            lines = [f"It is part {outcome['part']}{again}."]
        for line in lines or [str(outcome.get("detail") or about(Verb(verb)).done)]:
            tell(line)
        return
    error = outcome.get("error")
    if not isinstance(error, Mapping):
        tell(f"The {verb} was {status}. {_ENDS.get(str(status), '')}".strip(), err=True)
        return
    code, message = error.get("code"), str(error.get("message", ""))
    tell(f"The {verb} was {_VERBS.get(str(status), status)} ({code}): {message}", err=True)
    if error.get("hint"):
        tell(str(error["hint"]), err=True)
    table = checks_table(error.get("checks") or ())
    if table is not None:
        show(table, err=True)


_ENDS = {
    "superseded": "A newer request took its place.",
    "interrupted": "The daemon was restarted before the cutover; ask again.",
    "expired": "It was not done in time.",
}
_VERBS = {"failed": "not done, because of this box"}
