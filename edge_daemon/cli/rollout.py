"""`edge-daemon rollout` and `feedback`: try a model beside the active one, and label parts."""

# ruff: noqa: PLR0913, PLR0917 - an option of a command is an argument of its function

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_daemon.cli.exits import FAILED, WrongUsage
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
from edge_daemon.cli.output import tell, unbroken
from edge_daemon.cli.references import Model, model_ref
from edge_daemon.cli.requests import ask, show_answers, user
from edge_daemon.cli.station import Station
from edge_daemon.core.rollout.plan import as_mapping, read_plan
from edge_daemon.core.rollout.values import Source
from edge_daemon.documents import DocumentError, parse, read_text
from edge_daemon.messaging.asks import number_of_part

USUAL_S = 600.0
FOREVER_S = 366 * 86_400.0
MAX_PLAN_BYTES = 64 * 1024

_GATE = frozenset({"verify", "load", "warm", "gate"})


def rollout(
    model: Model,
    plan: Annotated[
        Path | None,
        typer.Option(
            help="A YAML file with the stages; else the model's own plan.", metavar="FILE"
        ),
    ] = None,
    share: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Shadow, then this share of the parts, then full."),
    ] = None,
    shadow_only: Annotated[
        bool, typer.Option("--shadow-only", help="Only beside the line: its verdicts never count.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Begin nothing: tell how long it would take.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it ends, not only until it began.")
    ] = False,
    expect: Annotated[
        str | None,
        typer.Option(
            help="Only if this name@version is active now.", callback=model_ref, show_default=False
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
    """Try a model beside the active one of its name, on the same parts, stage by stage.

    It advances by evidence alone and stops by itself; `edge-daemon rollouts show` tells how it
    stands.
    """
    body = {
        "model": model,
        "plan": _plan(plan, share, shadow_only=shadow_only),
        "expect": expect,
        "dry_run": dry_run,
        "by": by or user(),
        "reason": reason,
        "id": id,
    }
    body = {key: value for key, value in body.items() if value}
    station = Station(read_settings(file), local=local)
    if dry_run:
        ask(station, "rollout", body, timeout, as_json)
        return
    answers = station.request("rollout", body, FOREVER_S if wait else timeout)
    with unbroken():
        last = show_answers(
            answers if wait else _until_it_runs(answers), "rollout", as_json=as_json
        )
    if last.get("status") == "progress":
        if not as_json:
            tell(f"It runs. See: edge-daemon rollouts show {last.get('rollout', '')}".rstrip())
    elif last.get("status") != "succeeded":
        raise typer.Exit(FAILED)


def feedback(
    part: Annotated[str, typer.Argument(help="Its number, or the id or serial of its trigger.")],
    verdict: Annotated[str, typer.Argument(metavar="ok|ng", help="What the part really is.")],
    frame: Annotated[
        bool, typer.Option("--frame", help="PART is the number of a frame that shows it.")
    ] = False,
    boot: Annotated[
        str | None,
        typer.Option(help="The start (boot) that the number belongs to; else the newest."),
    ] = None,
    source: Annotated[
        Source, typer.Option(help="Who says so; challenge: a part prepared to be ok or ng.")
    ] = Source.OPERATOR,
    by: By = None,
    reason: Reason = "",
    id: RequestId = None,  # noqa: A002 - the contract's word
    file: ConfigFile = None,
    timeout: TimeoutS = 60.0,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """Say what a part really is: it counts for the rollout, and for the precision of the station.

    A later word on the same part replaces the earlier one; both are kept.
    """
    if verdict not in {"ok", "ng"}:
        raise WrongUsage(f"{verdict!r} is neither ok nor ng.", hint="Such as: feedback 812 ng")
    number = number_of_part(part)
    if frame and number is None:
        raise WrongUsage(
            f"{part!r} is no number of a frame.", hint="Write: feedback 18234 ng --frame"
        )
    body = {
        "verdict": verdict,
        "source": source.value,
        "boot": boot,
        "by": by or user(),
        "reason": reason,
        "id": id,
        "frame" if frame else "part": part if number is None else number,
    }
    body = {key: value for key, value in body.items() if value not in (None, "")}
    ask(Station(read_settings(file), local=local), "feedback", body, timeout, as_json)


def _plan(file: Path | None, share: float | None, *, shadow_only: bool) -> Mapping[str, Any] | None:
    """As the request carries it; raises WrongUsage, DocumentError or PlanError."""
    if (file is not None) + (share is not None) + shadow_only > 1:
        raise WrongUsage("Only one of --plan, --share and --shadow-only.", hint="Leave one out.")
    if share is not None:
        return as_mapping(read_plan({"canary_traffic": share}))
    if shadow_only:
        return as_mapping(read_plan({"shadow_only": True}))
    if file is None:
        return None
    try:
        plain = parse(read_text(file, MAX_PLAN_BYTES)).value
    except DocumentError as error:
        told = f"{file}:{error.line}: it {error.message}."
        raise WrongUsage(told, hint=error.hint or "Correct the file.") from None
    return as_mapping(read_plan(plain))


def _until_it_runs(answers: Iterator[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Up to its first stage; what comes before is the gate's."""
    for answer in answers:
        yield answer
        if answer.get("status") == "progress" and answer.get("stage") not in _GATE:
            return
