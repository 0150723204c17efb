"""`edge-daemon rollouts`: those that run and ran, from the journal of this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edge_daemon.cli.exits import FAILED, WrongUsage
from edge_daemon.cli.journal import Records
from edge_daemon.cli.options import AsJson, ConfigFile, read_settings
from edge_daemon.cli.output import tell, tell_json
from edge_daemon.cli.replay import replayed
from edge_daemon.cli.report_file import verified, write_page
from edge_daemon.cli.report_page import page, summary
from edge_daemon.cli.requests import user
from edge_daemon.core.candidates import word
from edge_daemon.core.rollout.plan import recorded_plan
from edge_daemon.core.rollout.replay import Limits
from edge_daemon.errors import SenderError

app = typer.Typer(no_args_is_help=True, add_completion=False)

Id = Annotated[str | None, typer.Argument(help="A rollout's id; else the newest.", metavar="ID")]


@app.command("list")
def list_rollouts(file: ConfigFile = None, as_json: AsJson = False) -> None:
    """List the rollouts, newest first."""
    found = Records(read_settings(file)).rollouts()["rollouts"]
    if as_json:
        tell_json(found, indent=2)
        return
    for each in found:
        tell(f"{each['rollout']}  {each['began']}  {each['model']}  {each['how']}: {each['why']}")
    if not found:
        tell("No rollout is on record.")


@app.command()
def show(rollout: Id = None, file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show one rollout: its stages, its evidence, and how it stands or ended."""
    records = Records(read_settings(file))
    found = records.rollouts(_id(rollout, records))
    if as_json:
        tell_json(found, indent=2)
        return
    tell(f"{found['rollout']}: {found['model']} beside {found['reference']}, {found['began']}")
    stages = recorded_plan(found["plan"]).stages
    for number, share, _ in found["progress"]["entered"]:
        judges = f", it judges {share:g} of the parts" if share else ""
        tell(f"  stage {number + 1} of {len(stages)}: {word(stages[number])}{judges}")
    tell(f"  {found['how']}: {found['why']}")
    tell(f"  parts that one of both rejects: {len(found['pairs'])}")
    if found["asked"]:
        tell("  parts that want a label, by id or number: edge-daemon feedback PART ok|ng")
    for part in found["asked"]:
        name = part["id"] or f"{part['part']} --boot {part['boot']}"
        tell(f"    {name}  {part['time']}")
    for person in found["people"]:
        tell(f"  labels of {person['name'] or 'nobody named'}: {worth(person)}")


@app.command()
def report(
    rollout: Id = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", help="Write it as a page for the browser.", metavar="FILE"),
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option(
            "--verify",
            help="Check that this report (JSON or page) is the one on record.",
            metavar="FILE",
        ),
    ] = None,
    file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """What it recommends and why, every figure with n and interval; on the audit trail."""
    settings = read_settings(file)
    records = Records(settings)
    if verify is not None:
        if rollout is not None or html is not None:
            raise WrongUsage("--verify goes alone.", hint="Leave ID and --html out.")
        tell(verified(verify, records))
        return
    costs = settings.rollouts.costs
    asked = {"report": True, "rollout": _id(rollout, records), "by": user() or ""}
    made = records.rollout_report(asked | ({"costs": costs.model_dump()} if costs else {}))
    if html is not None:
        write_page(html, page(made))
        tell(f"{html}: {made['recommendation']['do']}.")
    if as_json:
        tell_json(made, indent=2)
    elif html is None:
        tell(summary(made))


@app.command()
def audit(rollout: Id = None, file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Compute the arm of every kept part again; fails if one differs."""
    records = Records(read_settings(file))
    found = records.rollouts(_id(rollout, records), audit=True)
    if as_json:
        tell_json(found, indent=2)
    else:
        tell(f"{found['parts']} parts, {found['candidate']} of them the candidate's.")
        for fault in found["faults"]:
            tell(fault, err=True)
    if found["faults"]:
        raise typer.Exit(FAILED)


@app.command()
def replay(
    rollout: Id = None,
    alpha: Annotated[
        float | None, typer.Option(min=1e-9, max=0.1, help="Chance of stopping an equal candidate.")
    ] = None,
    alpha_advance: Annotated[
        float | None,
        typer.Option(min=1e-9, max=0.2, help="Chance of advancing one that loses too much."),
    ] = None,
    margin: Annotated[
        float | None, typer.Option(min=0.001, max=1.0, help="Recall that may be lost, as a share.")
    ] = None,
    file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Decide once more from what is on record, with other limits: when it would have stopped or
    advanced.

    Without other limits each decision must be the one on record; it fails where one is not.
    """
    records = Records(read_settings(file))
    told, bodies = records.rollout_looks(_id(rollout, records))
    limits = Limits(alpha, alpha_advance, margin)
    found = replayed(told, bodies, limits)
    if as_json:
        tell_json(found, indent=2)
    else:
        for each in found["decisions"]:
            tell(f"{each['time']}  {each['stage']}: {each['decision']}. {each['why']}")
        tell(str(found["summary"]))
    if limits == Limits() and not found["is_same"]:
        raise typer.Exit(FAILED)


def worth(person: dict[str, Any]) -> str:
    """Of one operator, with what an attribute study accepts."""
    words = [f"{person['labels']} challenge parts"]
    limits = {"effectiveness": "90% or more", "miss": "2% or less", "false_alarm": "5% or less"}
    for key, limit in limits.items():
        value, name = person[key], key.replace("_", " ")
        words.append(f"{name} not measured" if value is None else f"{name} {value:.0%} ({limit})")
    return ", ".join(words)


def _id(rollout: str | None, records: Records) -> str:
    """The id that was typed, else the newest; raises SenderError where there is none."""
    if rollout is not None:
        return rollout
    newest = records.rollouts()["rollouts"]
    if not newest:
        raise SenderError(
            "No rollout is on record.", hint="Begin one: edge-daemon rollout NAME@VERSION --dry-run"
        )
    return str(newest[0]["rollout"])
