"""`edge-daemon check`: is this machine ready to judge frames? Each finding has a remedy."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from enum import Enum
from pathlib import Path
from typing import Annotated

import structlog
import typer
from rich.text import Text

from edge_daemon.cli.checks.broker import check_broker
from edge_daemon.cli.checks.camera import check_camera
from edge_daemon.cli.checks.configuration import check_file
from edge_daemon.cli.checks.finding import Finding, Level, error, skipped
from edge_daemon.cli.checks.machine import check_machine
from edge_daemon.cli.checks.models import check_models
from edge_daemon.cli.checks.onlooker import check_onlooker, is_onlooker, not_of_onlooker
from edge_daemon.cli.checks.pictures import check_pictures
from edge_daemon.cli.checks.service import check_service
from edge_daemon.cli.exits import BAD_CONFIGURATION, FAILED
from edge_daemon.cli.options import AsJson, ConfigFile, config_file
from edge_daemon.cli.output import console, fitting, tell, tell_json
from edge_daemon.cli.station import Station
from edge_daemon.cli.words import FAILED as CROSS
from edge_daemon.cli.words import PASSED, WARNED
from edge_daemon.config import Settings
from edge_daemon.core.text import number_of
from edge_daemon.host.error_boundary import contained

_SIGNS = {
    Level.OK: (PASSED, "green"),
    Level.WARNING: (WARNED, "yellow"),
    Level.ERROR: (CROSS, "red"),
    Level.SKIPPED: ("·", "dim"),
}


class Section(str, Enum):
    """What can be looked at by itself."""

    CONFIGURATION = "configuration"
    MACHINE = "machine"
    CAMERA = "camera"
    BROKER = "broker"
    MODELS = "models"
    PICTURES = "pictures"
    SERVICE = "service"


class Output(str, Enum):
    """For people or for machines."""

    TEXT = "text"
    JSON = "json"


Findings = Mapping[str, Sequence[Finding]]


def check(
    file: ConfigFile = None,
    section: Annotated[
        list[Section] | None,
        typer.Option(help="Only this section; may be repeated.", show_default=False),
    ] = None,
    output: Annotated[Output, typer.Option(help="text, or json for programs.")] = Output.TEXT,
    as_json: AsJson = False,
) -> None:
    """Check settings, machine, camera, broker, models, pictures and service, with remedies.

    Exits with 0 if nothing is wrong (warnings are allowed), 1 with errors, 78 if the settings
    cannot be used.
    """
    path = config_file(file)
    if as_json or output is Output.JSON:
        found, settings = examine(path, section)
        tell_json({"file": str(path), **plain(found)}, indent=2)
    else:
        found, settings = examine(path, section, _print_section)
        _print_verdict(found)
    if settings is None:
        raise typer.Exit(BAD_CONFIGURATION)
    if _count(found, Level.ERROR):
        raise typer.Exit(FAILED)


def examine(
    path: Path,
    sections: Sequence[Section] | None = None,
    hear: Callable[[str, Sequence[Finding]], None] = lambda _, __: None,
) -> tuple[Findings, Settings | None]:
    """Check each section in turn; `hear` is called after each.

    The settings are None if they cannot be used; then nothing else was checked.
    """
    wanted = list(sections or Section)
    settings, remarks = check_file(path)
    found: dict[str, Sequence[Finding]] = {Section.CONFIGURATION.value: remarks}
    hear(Section.CONFIGURATION.value, remarks)
    if settings is None:
        return found, None
    looks = _of_onlooker(settings) if is_onlooker(settings) else _of_station(settings, wanted)
    for name, look in looks.items():
        if name in wanted:
            with _quiet():
                found[name.value] = _guarded(look)
            hear(name.value, found[name.value])
    return found, settings


_Looks = Mapping[Section, Callable[[], list[Finding]]]


def _of_onlooker(settings: Settings) -> _Looks:
    nothing = {each: lambda: not_of_onlooker(settings) for each in Section}
    del nothing[Section.CONFIGURATION]
    return {**nothing, Section.BROKER: lambda: check_onlooker(settings)}


def _of_station(settings: Settings, wanted: Sequence[Section]) -> _Looks:
    station = Station(settings)
    seen = station.seen() if {Section.CAMERA, Section.SERVICE} & set(wanted) else None
    return {
        Section.MACHINE: lambda: check_machine(settings),
        Section.CAMERA: lambda: check_camera(settings, seen),
        Section.BROKER: lambda: check_broker(settings),
        Section.MODELS: lambda: check_models(settings),
        Section.PICTURES: lambda: check_pictures(settings),
        Section.SERVICE: lambda: check_service(station, seen),
    }


def plain(found: Findings) -> dict[str, object]:
    """The findings as JSON."""
    return {
        "ok": not _count(found, Level.ERROR),
        "errors": _count(found, Level.ERROR),
        "warnings": _count(found, Level.WARNING),
        "findings": [
            {"section": name, **asdict(one), "level": one.level.value}
            for name, findings in found.items()
            for one in findings
        ],
    }


@contextmanager
def _quiet() -> Iterator[None]:
    """The log of the code that is tried out is not for this command's reader."""
    usual = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**usual)


def _guarded(look: Callable[[], list[Finding]]) -> list[Finding]:
    """One section that fails must not hide what the others find."""
    found: list[Finding] = []
    with contained() as attempt:
        found = look() or [skipped("", "Nothing to look at.")]
    if attempt.fault is not None:
        return [error("check", f"The check itself failed: {attempt.fault!r}.", "Report this.")]
    return found


def _count(found: Findings, level: Level) -> int:
    return sum(one.level is level for findings in found.values() for one in findings)


def _print_section(name: str, findings: Sequence[Finding]) -> None:
    out = console()
    out.print(Text(name, style="bold"))
    for one in findings:
        sign, style = _SIGNS[one.level]
        line = Text(f"  {fitting(sign)} ", style=style)
        line.append(f"{one.name}: " if one.name else "", style="dim")
        line.append(one.message, style="" if one.level is not Level.SKIPPED else "dim")
        out.print(line)
        if one.remedy:
            out.print(Text(f"      {one.remedy}", style="cyan"))


def _print_verdict(found: Findings) -> None:
    errors, warnings = _count(found, Level.ERROR), _count(found, Level.WARNING)
    verdict = "Not ready" if errors else "Ready"
    tell(f"{verdict}: {number_of(errors, 'error')}, {number_of(warnings, 'warning')}.")
