"""Options that many commands share, and the settings that they lead to."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_daemon import config
from edge_daemon.config import Settings
from edge_daemon.config.fleet import ShareSettings
from edge_daemon.config.named_files import readable_path

ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help=f"The settings file; else ${config.VARIABLE}, else the one in {config.FOLDER}.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Local = Annotated[
    bool, typer.Option("--local", help="Ask through this machine's control socket, not by MQTT.")
]
By = Annotated[
    str | None, typer.Option("--by", help="Who asks; else your user name.", show_default=False)
]
Reason = Annotated[str, typer.Option("--reason", help="Why; it stays in the audit trail.")]
RequestId = Annotated[
    str | None,
    typer.Option(
        "--id",
        help="The request's own id: asked again with it, nothing is done twice.",
        show_default=False,
    ),
]
Inventory = Annotated[
    Path | None,
    typer.Option(
        "--inventory",
        help="A file with the name of every station, one a line.",
        metavar="FILE",
        show_default=False,
    ),
]
TimeoutS = Annotated[
    float, typer.Option("--timeout", min=0.1, help="Seconds to wait for the outcome.")
]

SwarmAuthority = Annotated[
    Path | None,
    typer.Option(
        "--swarm-ca",
        help="PEM of the plant's authority, for stations that share bundles; else fleet.share.ca.",
        show_default=False,
    ),
]


def config_file(file: Path | None) -> Path:
    """The chosen settings file; a bare NAME means /etc/edge-daemon/NAME.yaml.

    Raises ConfigurationError.
    """
    if file is not None and not file.exists() and file == Path(file.name) and not file.suffix:
        return config.find_config(None, file.name, environ={})
    return config.find_config(file)


def read_settings(file: Path | None) -> Settings:
    """The settings of the chosen device; raises ConfigurationError."""
    return config.load(config_file(file))


def authority_of(settings: Settings, given: Path | None) -> bytes | None:
    """The PEM of whose certificates stations show each other; None where they share nothing.

    Raises ConfigurationError where it cannot be read.
    """
    share = settings.fleet.share if settings.fleet is not None else None
    if given is None and isinstance(share, ShareSettings):
        given = share.ca
    path = readable_path(given, "--swarm-ca")
    return None if path is None else Path(path).read_bytes()
