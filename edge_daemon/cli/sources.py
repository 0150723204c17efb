"""`edge-daemon sources`: where new bundles come from, and to fetch them now."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import typer

from edge_daemon.cli.exits import FAILED
from edge_daemon.cli.journal import Records
from edge_daemon.cli.options import AsJson, ConfigFile, read_settings
from edge_daemon.cli.output import tell, tell_json
from edge_daemon.cli.progress import fetching
from edge_daemon.cli.store import open_store, trust_of
from edge_daemon.cli.words import size, with_short_digests
from edge_daemon.config import BundleSource, Settings
from edge_daemon.control.lineage import row_of
from edge_daemon.errors import BoxError, BundleError, EdgeDaemonError, SenderError
from edge_daemon.models.manifest import Manifest
from edge_daemon.sources.fetch import PullTarget, fetch, is_there, look
from edge_daemon.sources.kinds import make_source
from edge_daemon.sources.pace import Pace
from edge_daemon.sources.pins import PINS_FILE, Pins
from edge_daemon.sources.source import Offered, Source

app = typer.Typer(no_args_is_help=True, add_completion=False)

Name = Annotated[
    str | None, typer.Argument(help="A bundle's name; else all of them.", metavar="NAME")
]


@app.command("list")
def list_sources(file: ConfigFile = None, as_json: AsJson = False) -> None:
    """List the sources and what is wanted from each; none is contacted."""
    sources = read_settings(file).sources
    if as_json:
        tell_json([_plain(each) for each in sources], indent=2)
        return
    for each in sources:
        tell(f"{each.kind}  {each.where}  every {each.every_s} s")
        for name, wanted in each.models.items():
            tell(f"  {name}: {wanted}")
    if not sources:
        tell("No source is configured: name one under sources in the settings.")


@app.command()
def check(file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Ask every source what it has; nothing is fetched. Fails where one cannot be asked."""
    settings = read_settings(file)
    _end(list(_each(settings, None, _checked)), as_json)


@app.command()
def pull(name: Name = None, file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Fetch what is new into the store, now; nothing becomes active."""
    settings = read_settings(file)
    _end(list(_each(settings, name, partial(_pulled, Records(settings)))), as_json)


# --------------------------------------------------------------------------- parts

_Plain = dict[str, Any]


@dataclass(frozen=True)
class _Found:
    """A bundle that a source offers."""

    source: Source
    offered: Offered
    manifest: Manifest
    pace: Pace


_Do = Callable[[_Found, PullTarget], _Plain]


def _each(settings: Settings, only: str | None, do: _Do) -> Iterator[_Plain]:
    """A line for each thing that is offered, and for each source that cannot be asked."""
    wanted = [
        (each, name, which)
        for each in settings.sources
        for name, which in each.models.items()
        if only in (None, name)
    ]
    if not wanted:
        raise SenderError(
            f"No source is configured for {only}." if only else "No source is configured.",
            hint="Name one under sources in the settings.",
        )
    store, folder = open_store(settings), settings.state_folder
    pins = Pins(folder / PINS_FILE if os.access(folder, os.W_OK) else None)
    target = PullTarget(store, trust_of(settings), pins)
    for each, name, which in wanted:
        line = {"source": each.where, "name": name}
        source = make_source(each)
        try:
            offers = source.offered(name, which)
        except (BoxError, BundleError) as error:
            yield line | _refused(error) | {"model": None}
            continue
        for offered in offers:
            model: str | None = None
            pace = Pace(each.rate_kb)
            try:
                manifest = look(source, offered, name, target, pace)
                model = str(manifest.ref)
                said = do(_Found(source, offered, manifest, pace), target)
            except (BoxError, BundleError) as error:
                said = _refused(error)
            yield line | said | {"model": model}
        if not offers:
            yield line | {"state": "nothing", "model": None, "hint": _of_nothing(each, name)}


def _of_nothing(settings: BundleSource, name: str) -> str:
    """An empty folder may be the place of a stick that is not plugged in."""
    if settings.folder is None or (settings.folder / name).is_dir():
        return ""
    return f"There is no folder {name}. Is it plugged in, or mounted?"


def _checked(found: _Found, target: PullTarget) -> _Plain:
    return {"state": "there" if is_there(found.manifest, target) else "new"}


def _pulled(records: Records, found: _Found, target: PullTarget) -> _Plain:
    manifest = found.manifest
    with fetching(f"Fetching {manifest.ref}") as count:
        heard = PullTarget(target.store, target.trust, target.pins, count)
        fetched = fetch(found.source, found.offered, manifest, heard, found.pace)
    if not fetched.is_new:
        return {"state": "there"}
    now = time.time()
    try:
        records.came(row_of(manifest, now, found.offered.origin_of(manifest, now)))
    except EdgeDaemonError as error:  # the bundle is there all the same
        tell(f"Where {manifest.ref} came from is not on record: {error}", err=True)
    return {"state": "pulled", "again_bytes": fetched.again_bytes}


def _refused(error: EdgeDaemonError) -> _Plain:
    state = "refused" if isinstance(error, BundleError) else "failed"
    told = {"code": str(error.code), "message": error.message, "hint": error.hint}
    return {"state": state, "error": told}


_WORDS = {
    "there": "is in the store",
    "new": "is new",
    "pulled": "came into the store",
    "nothing": "nothing is offered",
}


def _end(lines: list[_Plain], as_json: bool) -> None:
    if as_json:
        tell_json(lines, indent=2)
    for line in () if as_json else lines:
        said = _WORDS.get(line["state"], line["state"])
        if error := line.get("error"):
            said = f"{said}: {with_short_digests(error['message'])} {error['hint']}".strip()
        if hint := line.get("hint"):
            said = f"{said}. {hint}"
        if again := line.get("again_bytes"):
            said = f"{said}. {size(again)} came twice: the server cannot begin within a file"
        tell(f"{line['source']}  {line['model'] or line['name']}  {said}")
    if any("error" in line for line in lines):
        raise typer.Exit(FAILED)


def _plain(source: BundleSource) -> _Plain:
    return {
        "kind": source.kind,
        "where": source.where,
        "models": dict(source.models),
        "every_s": source.every_s,
        "rate_kb": source.rate_kb,
        "write_back": source.write_back,
    }
