"""`edge-daemon prepare | swap | rollback | confirm | hold | release`: ask, and hear the outcome."""

# ruff: noqa: PLR0913, PLR0917 - an option of a command is an argument of its function

from __future__ import annotations

import getpass
import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Annotated, Any, Optional

import typer

from edge_daemon.cli.exits import FAILED, WrongUsage
from edge_daemon.cli.options import AsJson, ConfigFile, Local, TimeoutS, read_settings
from edge_daemon.cli.output import busy, show, tell, tell_json, unbroken
from edge_daemon.cli.references import Model, model_choice, model_ref
from edge_daemon.cli.station import Station
from edge_daemon.cli.words import checks_table, milliseconds, receipt_lines
from edge_daemon.control.inbox import parse_iso

USUAL_S = 300.0

_By = Annotated[Optional[str], typer.Option(help="Who asks; your user name.")]  # noqa: UP045
_Reason = Annotated[str, typer.Option(help="Why; it stays in the receipt and the audit trail.")]
_Id = Annotated[
    Optional[str],  # noqa: UP045 - typer reads this at run time on 3.10
    typer.Option("--id", help="Makes the request idempotent: a repeat does nothing anew."),
]
_Expires = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option(help="Give up when it was not done by this ISO time.", metavar="TIME"),
]
_Within = Annotated[
    Optional[float],  # noqa: UP045
    typer.Option(min=0.1, help="Give up when it was not done after so many seconds."),
]
_Accept = Annotated[
    Optional[list[str]],  # noqa: UP045
    typer.Option(
        help="A check of verdicts that may fail, by its name; needs --reason. May be repeated.",
        metavar="CHECK",
    ),
]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Load, warm and check it, then let go.")]


def prepare(
    model: Model,
    file: ConfigFile = None,
    by: _By = None,
    reason: _Reason = "",
    expires: _Expires = None,
    within: _Within = None,
    accept: _Accept = None,
    id_: _Id = None,
    timeout: TimeoutS = USUAL_S,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """Verify, load, warm and check MODEL in a free slot; the active model is not touched."""
    body = _body(
        model=model,
        by=by,
        reason=reason,
        expires=_expiry(expires, within),
        accept=accept or None,
        id=id_,
    )
    _ask(Station(read_settings(file), local=local), "prepare", body, timeout, as_json)


def swap(
    model: Model,
    file: ConfigFile = None,
    at: Annotated[
        str, typer.Option(help="now, next_order, an ISO time with its zone, or frame:N.")
    ] = "now",
    expect: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Only if this name@version is active now.",
            show_default=False,
            callback=model_ref,
        ),
    ] = None,
    expires: _Expires = None,
    within: _Within = None,
    by: _By = None,
    reason: _Reason = "",
    dry_run: _DryRun = False,
    accept: _Accept = None,
    id_: _Id = None,
    timeout: TimeoutS = USUAL_S,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """Make MODEL active at a frame boundary; it is prepared first where it is not ready."""
    body = _body(
        model=model,
        at=_boundary(at),
        expect=expect,
        expires=_expiry(expires, within),
        by=by,
        reason=reason,
        dry_run=dry_run or None,
        accept=accept or None,
        id=id_,
    )
    _ask(Station(read_settings(file), local=local), "swap", body, timeout, as_json)


def rollback(
    to: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            help="Which name@version; else the one confirmed before.", callback=model_choice
        ),
    ] = None,
    file: ConfigFile = None,
    by: _By = None,
    reason: _Reason = "",
    id_: _Id = None,
    timeout: TimeoutS = USUAL_S,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """Go back to the version confirmed before; the one left behind is quarantined."""
    body = _body(model=to, by=by, reason=reason, id=id_)
    _ask(Station(read_settings(file), local=local), "rollback", body, timeout, as_json)


def confirm(
    file: ConfigFile = None,
    by: _By = None,
    timeout: TimeoutS = USUAL_S,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """End the trial of the active version well, before its frames and seconds are over."""
    _ask(Station(read_settings(file), local=local), "confirm", _body(by=by), timeout, as_json)


def hold(
    file: ConfigFile = None,
    by: _By = None,
    reason: _Reason = "",
    timeout: TimeoutS = USUAL_S,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """Freeze automatic changes (orders, schedules); explicit commands still work."""
    body = _body(by=by, reason=reason)
    _ask(Station(read_settings(file), local=local), "hold", body, timeout, as_json)


def release(
    file: ConfigFile = None,
    by: _By = None,
    timeout: TimeoutS = USUAL_S,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """End a hold; the last order that came meanwhile is applied now."""
    _ask(Station(read_settings(file), local=local), "release", _body(by=by), timeout, as_json)


# --------------------------------------------------------------------------- the body


def _body(**fields: Any) -> dict[str, Any]:
    """The request as the contract names it, without what is not given."""
    fields["by"] = fields.get("by") or user()
    return {key: value for key, value in fields.items() if value not in (None, "")}


def user() -> str | None:
    """Who is typing, as this machine knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None


def _boundary(at: str) -> Any:
    if at in ("now", "next_order"):
        return None if at == "now" else at
    if at.startswith("frame:"):
        number = at.removeprefix("frame:")
        if not number.isdigit():
            raise WrongUsage(f"{at!r} names no frame.", hint="Write --at frame:1200.")
        return {"frame": int(number)}
    return _time("--at", at, "now, next_order, frame:1200 or ")


def _time(option: str, given: str, others: str = "") -> str:
    if parse_iso(given) is None:
        raise WrongUsage(
            f"{option} {given!r} is no time with its zone.",
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


def _ask(
    station: Station, verb: str, body: Mapping[str, Any], timeout_s: float, as_json: bool
) -> None:
    """Send it, show how it goes, and exit as the outcome says, whether or not anybody reads it."""
    with unbroken():
        outcome = show_answers(station.request(verb, body, timeout_s), verb, as_json=as_json)
    if outcome.get("status") != "succeeded":
        raise typer.Exit(FAILED)


def show_answers(
    answers: Iterable[Mapping[str, Any]], verb: str, *, as_json: bool = False, quiet: bool = False
) -> Mapping[str, Any]:
    """Show each answer as it comes; returns the last. JSON: one object a line.

    `quiet` leaves out the words of a success.
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
    if not as_json and not (quiet and last.get("status") == "succeeded"):
        show_outcome(last, verb)
    return last


def show_outcome(outcome: Mapping[str, Any], verb: str) -> None:
    """The outcome in words: the receipt, or why not and what to do."""
    status = outcome.get("status")
    if status == "succeeded":
        receipt = outcome.get("receipt")
        lines = list(receipt_lines(receipt)) if isinstance(receipt, Mapping) else []
        for line in lines or [str(outcome.get("detail") or _DONE.get(verb, "Done."))]:
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


_DONE = {
    "confirm": "The active version is confirmed.",
    "hold": "Held: orders and schedules change nothing until the release.",
    "release": "Released.",
}
_ENDS = {
    "superseded": "A newer request took its place.",
    "interrupted": "The daemon was restarted before the cutover; ask again.",
    "expired": "It was not done in time.",
}
_VERBS = {"failed": "not done, because of this box"}
