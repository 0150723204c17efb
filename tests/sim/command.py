"""A command as somebody types it, run in this process."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from edge_daemon.cli.main import app


def command(*words: str, config: Path | None = None) -> tuple[int, str]:
    """Its exit code and what it printed; an error that it does not answer is raised."""
    chosen = [] if config is None else ["--config", str(config)]
    result = CliRunner().invoke(app, [*words, *chosen])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output
