"""The service: systemd's unit and watchdog, the running daemon, the port of the page."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from edge_daemon.cli.checks.finding import Finding, error, ok, skipped, warning
from edge_daemon.cli.station import RetainedStatus, Station
from edge_daemon.config import Settings

_SHOWN = "LoadState,ActiveState,UnitFileState,WatchdogUSec,NRestarts,Type"


def check_service(station: Station, seen: RetainedStatus | None) -> list[Finding]:
    """Is it running, enabled and watched; is the port of the page free or ours?"""
    settings = station.settings
    is_running = station.socket() is not None
    found = [_running(settings, seen, is_running=is_running)]
    found += _page(settings, is_running=is_running)
    found += judge_unit(settings.device, _unit(settings.device))
    return found


def _running(settings: Settings, seen: RetainedStatus | None, *, is_running: bool) -> Finding:
    if not is_running and not (seen is not None and seen.is_online):
        return skipped("daemon", f"No daemon for {settings.device} runs now.")
    health = seen.health if seen is not None else None
    if health is not None and health.problems:
        said = "; ".join(health.problems)
        return warning("daemon", f"It runs, and says: {said}.", "edge-daemon status")
    return ok("daemon", f"The daemon runs{f' and judges with {seen.active}' if seen else ''}.")


def _page(settings: Settings, *, is_running: bool) -> Iterator[Finding]:
    address = settings.http.address
    if address is None or is_running:
        return
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as fault:
        yield error(
            "http.listen",
            f"{settings.http.listen} cannot be listened on: {fault.strerror}.",
            "Another program or device has it: choose another port under http.listen.",
        )
    else:
        yield ok("http.listen", f"{settings.http.listen} is free for the status page.")


def _unit(device: str) -> Mapping[str, str] | None:
    """What systemd knows of the unit; None where systemd does not run this machine."""
    program = shutil.which("systemctl")
    if program is None or not Path("/run/systemd/system").exists():
        return None
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program, a checked device name
            [program, "show", f"edge-daemon@{device}", "-p", _SHOWN],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {}
    pairs = (line.partition("=") for line in done.stdout.splitlines())
    return {key: value for key, _, value in pairs}


def judge_unit(device: str, unit: Mapping[str, str] | None) -> Iterator[Finding]:
    """Installed, enabled, watched, and not restarted all the time."""
    name = f"edge-daemon@{device}"
    if unit is None:
        yield skipped("systemd", "This machine is not run by systemd.")
        return
    if unit.get("LoadState") != "loaded":
        yield warning(
            "systemd",
            f"There is no unit {name}: nothing starts the daemon after a power cut.",
            "Install systemd/edge-daemon@.service and: systemctl enable --now " + name,
        )
        return
    if unit.get("UnitFileState") != "enabled":
        yield warning("systemd", f"{name} is not enabled.", f"systemctl enable --now {name}")
    else:
        yield ok("systemd", f"{name} is enabled and {unit.get('ActiveState')}.")
    if unit.get("ActiveState") == "inactive":  # systemd tells of the watchdog of what runs only
        pass
    elif unit.get("WatchdogUSec", "0") in ("0", "", "infinity"):
        yield warning(
            "watchdog",
            "The unit has no WatchdogSec: a daemon that hangs is not restarted.",
            "Use the unit that comes with edge-daemon, or add WatchdogSec=30.",
        )
    else:
        yield ok("watchdog", f"systemd expects a sign of life every {unit['WatchdogUSec']}.")
    restarts = unit.get("NRestarts", "0")
    if restarts.isdigit() and int(restarts) > 3:
        yield warning(
            "restarts", f"It was restarted {restarts} times.", f"journalctl -u {name}, and why."
        )
