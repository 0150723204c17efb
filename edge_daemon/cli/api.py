"""`edge-daemon api`: the messages in and out, for programs, as AsyncAPI and JSON Schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_daemon.cli.options import read_settings
from edge_daemon.cli.output import tell_json
from edge_daemon.messaging import api


def api_document(
    schema: Annotated[
        str | None, typer.Option(help="Print only this type, as JSON Schema.", metavar="NAME")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            help="With the topics and orders of this device; else for every device.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print the API document (AsyncAPI 3, JSON) or one of its types.

    A running daemon keeps its own retained at `<root>/info/api`.
    """
    if schema is not None:
        made = api.schema(schema)
        if made is None:
            names = ", ".join(api.names())
            raise typer.BadParameter(f"{schema!r} is not one of {names}.", param_hint="--schema")
    elif file is None:
        made = api.document()
    else:
        settings = read_settings(file)
        made = api.document(settings.root, settings.orders)
    tell_json(made, indent=2)
