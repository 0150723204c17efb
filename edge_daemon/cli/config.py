"""`edge-daemon config …`: validates the settings file, and shows its schema and its meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_daemon import config
from edge_daemon.cli.checks.refusals import faults_in
from edge_daemon.cli.exits import BAD_CONFIGURATION
from edge_daemon.cli.options import AsJson, ConfigFile, read_settings
from edge_daemon.cli.output import tell, tell_json
from edge_daemon.core.text import number_of

app = typer.Typer(no_args_is_help=True, add_completion=False)

_File = Annotated[Path, typer.Argument(help="The settings file.", show_default=False)]


@app.command("validate")
def validate_file(file: _File, as_json: AsJson = False) -> None:
    """Check FILE as `run` does: each fault with its line, its key and the correct form."""
    _, findings = faults_in(file)
    if as_json:
        faults = [
            {"line": f.line, "key": f.key, "message": f.message, "hint": f.hint} for f in findings
        ]
        tell_json({"file": str(file), "valid": not findings, "findings": faults})
    elif findings:
        for finding in findings:
            tell(str(finding), err=True)
        tell(f"{file} has {number_of(len(findings), 'fault')}.", err=True)
    else:
        tell(f"{file} is valid.")
    if findings:
        raise typer.Exit(BAD_CONFIGURATION)


@app.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of the file, for editors."""
    tell_json(config.schema(), indent=2)


@app.command("show")
def show(file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Show every setting with its default filled in; credentials in URLs are hidden."""
    plain = read_settings(file).redacted()
    if as_json:
        tell_json(plain, indent=2)
    else:
        tell(config.dump(plain).rstrip())
