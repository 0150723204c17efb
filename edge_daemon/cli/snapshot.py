"""`edge-daemon snapshot`: the picture of now."""

from __future__ import annotations

import queue
from pathlib import Path
from typing import Annotated

import typer

from edge_daemon.cli.exits import FAILED
from edge_daemon.cli.options import ConfigFile, read_settings
from edge_daemon.cli.requests import show_answers, user
from edge_daemon.control.client import Client
from edge_daemon.errors import BoxError

USUAL_S = 20.0
PICTURE_S = 5.0
"""The picture comes before the outcome; this is for a broker that takes its time."""


def snapshot(
    output: Annotated[Path, typer.Option("--output", "-o", help="The JPEG to write.")] = Path(
        "snapshot.jpg"
    ),
    file: ConfigFile = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait.")] = USUAL_S,
) -> None:
    """Ask for a picture with its boxes, and write it; the picture travels by MQTT."""
    pictures: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    with Client.of(read_settings(file)) as client:
        client.listen(client.topics.snapshot, lambda _, payload: pictures.put(payload))
        outcome = show_answers(
            client.request("snapshot", {"by": user() or ""}, timeout), "snapshot", quiet=True
        )
        if outcome.get("status") != "succeeded":
            raise typer.Exit(FAILED)
        try:
            jpeg = pictures.get(timeout=PICTURE_S)
        except queue.Empty:
            raise BoxError(
                "The picture was made, but did not come.",
                hint=f"May this user read {client.topics.snapshot} at the broker?",
            ) from None
    output.write_bytes(jpeg)
    typer.echo(f"{output}: {len(jpeg)} bytes.")
