"""`edge-daemon drill`: swaps under load on the station itself, verified from the outside."""

# ruff: noqa: PLR0913, PLR0917 - an option of a command is an argument of its function

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Annotated

import typer
from rich.text import Text

from edge_daemon.cli.drill_faults import FaultInjector
from edge_daemon.cli.drill_run import DrillRun, Report
from edge_daemon.cli.exits import FAILED
from edge_daemon.cli.options import AsJson, ConfigFile, read_settings
from edge_daemon.cli.output import busy, console, fitting, show, tell, tell_json
from edge_daemon.cli.references import two_models
from edge_daemon.cli.station import Station, read_retained
from edge_daemon.cli.tables import facts
from edge_daemon.cli.words import FAILED as CROSS
from edge_daemon.cli.words import PASSED, milliseconds
from edge_daemon.config import Settings
from edge_daemon.core.values import BundleRef
from edge_daemon.errors import BrokerError, ConfigurationError, SenderError
from edge_daemon.messaging.client import Client
from edge_daemon.models.store import Store


def drill(
    swaps: Annotated[int, typer.Option(min=1, help="How many swaps.")] = 20,
    faults: Annotated[
        bool, typer.Option("--faults", help="Broken bundles and killed workers in between.")
    ] = False,
    models: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="A B",
            help="The two bundles; else the two newest of the active name.",
            callback=two_models,
        ),
    ] = None,
    frames: Annotated[int, typer.Option(min=0, help="Frames to let pass between two swaps.")] = 10,
    timeout: Annotated[float, typer.Option(min=1.0, help="Seconds for one swap.")] = 120.0,
    file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Swap N times while the line runs, and check every frame as a subscriber.

    Frames must be consecutive, none missing, doubled or out of order, each judged by the model that
    the receipts made active at its number. Exits with 1 if anything was lost.
    """
    settings = read_settings(file)
    if settings.results.publish != "all":
        raise ConfigurationError(
            "A drill needs every frame's result, and results.publish is not all.",
            hint="Set results.publish: all for the drill.",
        )
    with _connected(settings) as client:
        pair = models or _pair(client, settings)
        run = DrillRun(client, settings, pair, between=frames, timeout_s=timeout)
        station = Station(settings)
        injector = FaultInjector(station, client, pair[1]) if faults else None
        try:
            _swap_often(run, swaps, injector)
            _go_home(run, station, pair)
        except KeyboardInterrupt:
            tell("Stopped by Ctrl-C; the receipt is of what was done until then.", err=True)
        finally:
            if injector is not None:
                injector.clean_up()
        run.settle()
    report = run.report()
    if as_json:
        tell_json(report.plain(), indent=2)
    else:
        show_report(report)
    if not report.good:
        raise typer.Exit(FAILED)


@contextmanager
def _connected(settings: Settings) -> Iterator[Client]:
    with ExitStack() as stack:
        try:
            client = stack.enter_context(Client.of(settings))
        except BrokerError as error:  # later ones say what to do themselves
            hint = "A drill counts results at the broker: start it."
            raise BrokerError(error.message, hint=hint) from error
        yield client


def _swap_often(run: DrillRun, swaps: int, injector: FaultInjector | None) -> None:
    with busy("drill …") as spinner:
        for number in range(1, swaps + 1):
            spinner.update(f"{number} of {swaps}: {run.swap(number)}")
            if injector is not None:
                run.note_fault(*injector.act(number))


def _go_home(run: DrillRun, station: Station, pair: tuple[str, str]) -> None:
    """Return to the model from before; a quarantine after a rollback can be lifted here only."""
    on_the_box = station.socket() is not None
    run.go_home(by_rollback=on_the_box)
    if on_the_box:
        with suppress(SenderError):
            station.inquire("unquarantine", {"model": pair[1], "by": "drill"})


def _pair(client: Client, settings: Settings) -> tuple[str, str]:
    """The active version, and the newest other one of its name that may be used."""
    seen = read_retained(client, ("status", "model/state", "model/available"))
    active = seen.active
    if active is None or not seen.is_online:
        raise SenderError(
            "No model is active, so there is nothing to swap from.",
            hint="See why: edge-daemon status",
        )
    name = BundleRef.parse(active).name
    others = [
        str(known.ref)
        for known in Store(settings.models.store).available()
        if known.ref.name == name and str(known.ref) not in {*seen.quarantined, active}
    ]
    if not others:
        raise SenderError(
            f"The store has no second version of {name} to swap to.",
            hint="Name two with --models A B, or add one: edge-daemon models add FOLDER",
        )
    return active, others[-1]


def show_report(report: Report) -> None:
    """The report of a drill, for the terminal."""
    out = console()
    show(facts(report.lines()))
    for fault in report.faults:
        out.print(Text(f"{fitting(CROSS)} {fault}", style="red"))
    if report.good:
        out.print(Text(f"{fitting(PASSED)} Nothing was lost.", style="green"))
    pause = milliseconds(report.pause_p99_ms)
    tell(f"{report.succeeded} swaps, {report.tally.frames} frames, pause p99 {pause}.")
