"""`edge-daemon status`: the station at a glance, once or continuously."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from edge_daemon.cli.exits import NOT_REACHABLE
from edge_daemon.cli.options import AsJson, ConfigFile, Local, read_settings
from edge_daemon.cli.output import show, tell_json
from edge_daemon.cli.station import RetainedStatus, Station
from edge_daemon.cli.status_view import summary
from edge_daemon.cli.status_watch import watch as watch_station


def status(
    file: ConfigFile = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Keep showing it, until Ctrl-C.")
    ] = False,
    local: Local = False,
    as_json: AsJson = False,
    seconds: Annotated[
        float | None, typer.Option(hidden=True, help="End the watch after this many seconds.")
    ] = None,
) -> None:
    """Slots, product, order, camera, latency: the station at a glance.

    Exits with 69 if no daemon is running, after showing its last status if there is one.
    """
    station = Station(read_settings(file), local=local)
    if watch:
        watch_station(station, seconds)
        return
    seen = station.retained()
    if as_json:
        tell_json(plain(station, seen), indent=2)
    else:
        show(summary(station.settings.device, seen))
    if not seen.is_online:
        raise typer.Exit(NOT_REACHABLE)


def plain(station: Station, seen: RetainedStatus) -> dict[str, Any]:
    """The whole status under short names, as JSON."""
    return {
        "device": station.settings.device,
        "via": seen.via,
        "online": seen.is_online,
        "status": seen.parts.get("status"),
        "info": seen.parts.get("info"),
        "health": seen.parts.get("health"),
        "model": seen.parts.get("model/state"),
        "camera": seen.parts.get("camera/status"),
        "available": seen.parts.get("model/available"),
    }
