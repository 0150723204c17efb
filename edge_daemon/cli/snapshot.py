"""`edge-daemon snapshot`: saves a picture of the line as it is now."""

from __future__ import annotations

import http.client
import queue
from pathlib import Path
from typing import Annotated

import typer

from edge_daemon.cli.exits import FAILED, NotReachable, WrongUsage
from edge_daemon.cli.options import ConfigFile, read_settings
from edge_daemon.cli.output import tell
from edge_daemon.cli.requests import show_answers, user
from edge_daemon.cli.station import Station, elsewhere
from edge_daemon.config import Settings
from edge_daemon.errors import BoxError, BrokerError
from edge_daemon.messaging.client import Client

USUAL_S = 20.0
PICTURE_S = 5.0
"""The picture comes before the outcome; this is for a slow broker."""
_EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104 - what it means is asked at loopback


def snapshot(
    output: Annotated[Path, typer.Option("--output", "-o", help="The JPEG to write.")] = Path(
        "snapshot.jpg"
    ),
    file: ConfigFile = None,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait.")] = USUAL_S,
    local: Annotated[
        bool, typer.Option("--local", help="From the status page of this machine, not by MQTT.")
    ] = False,
) -> None:
    """Ask for a picture with its boxes, and write it.

    It travels by MQTT; without the broker it comes from the status page of this machine.
    """
    if not output.parent.is_dir():
        raise WrongUsage(f"The folder {output.parent} is not there.", hint="Give --output FILE.")
    settings = read_settings(file)
    jpeg = _from_page(settings, timeout) if local else _from_anywhere(settings, timeout)
    output.write_bytes(jpeg)
    tell(f"{output}: {len(jpeg)} bytes.")


def _from_anywhere(settings: Settings, timeout_s: float) -> bytes:
    try:
        return _by_mqtt(settings, timeout_s)
    except BrokerError as error:
        if Station(settings).socket() is None:
            raise elsewhere(error) from error
        tell(f"{error.message} Asking the status page.", err=True)
    return _from_page(settings, timeout_s)


def _by_mqtt(settings: Settings, timeout_s: float) -> bytes:
    pictures: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    with Client.of(settings) as client:
        client.listen(client.topics.snapshot, lambda _, payload: pictures.put(payload))
        outcome = show_answers(
            client.request("snapshot", {"by": user() or ""}, timeout_s), "snapshot", quiet=True
        )
        if outcome.get("status") != "succeeded":
            raise typer.Exit(FAILED)
        try:
            return pictures.get(timeout=PICTURE_S)
        except queue.Empty:
            raise BoxError(
                "The picture was made, but did not arrive.",
                hint=f"May this user read {client.topics.snapshot} at the broker?",
            ) from None


def _from_page(settings: Settings, timeout_s: float) -> bytes:
    """The picture as the status page shows it; raises NotReachable, BoxError."""
    if settings.http.address is None:
        raise NotReachable(
            "This station has no status page to take a picture from.",
            hint="Set http.listen, or ask by MQTT without --local.",
        )
    host, port = settings.http.address
    connection = http.client.HTTPConnection(
        "127.0.0.1" if host in _EVERYWHERE else host, port, timeout=timeout_s
    )
    token = settings.http.read_token()
    headers = {"authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request("GET", "/snapshot.jpg", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise NotReachable(
            f"No status page answers at {settings.http.listen}: {error}.",
            hint=f"Is the daemon running? systemctl status edge-daemon@{settings.device}",
        ) from error
    finally:
        connection.close()
    if answer.status != http.client.OK:
        raise BoxError(body.decode("utf-8", "replace").strip() or f"HTTP {answer.status}.")
    return body
