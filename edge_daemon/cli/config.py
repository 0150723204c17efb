"""`edge-daemon config …`: is the settings file right, what may stand in it, what does it mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from edge_daemon import config
from edge_daemon.cli.exits import BAD_CONFIGURATION
from edge_daemon.cli.options import ConfigFile, read_settings

app = typer.Typer(no_args_is_help=True, help="The settings file: check it, explain it, show it.")

_File = Annotated[Path, typer.Argument(help="The settings file.", show_default=False)]
_Json = Annotated[bool, typer.Option("--json", help="For machines.")]


@app.command("validate")
def validate_file(file: _File, as_json: _Json = False) -> None:
    """Check FILE: each fault with its line, its key and what would be right."""
    findings = config.validate(file)
    if as_json:
        faults = [
            {"line": f.line, "key": f.key, "message": f.message, "hint": f.hint} for f in findings
        ]
        typer.echo(json.dumps({"file": str(file), "valid": not findings, "findings": faults}))
    elif findings:
        for finding in findings:
            typer.echo(str(finding), err=True)
        count = len(findings)
        typer.echo(f"{file} has {count} fault{'s' if count > 1 else ''}.", err=True)
    else:
        typer.echo(f"{file} is valid.")
    if findings:
        raise typer.Exit(BAD_CONFIGURATION)


@app.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of the file, for editors."""
    typer.echo(json.dumps(config.schema(), indent=2, ensure_ascii=False))


@app.command("show")
def show(file: ConfigFile = None, as_json: _Json = False) -> None:
    """Show every setting with its default filled in; credentials in URLs are hidden."""
    plain = read_settings(file).redacted()
    typer.echo(json.dumps(plain, indent=2) if as_json else config.dump(plain).rstrip())
