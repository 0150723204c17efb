"""`edge-daemon models lineage`: what a version was trained on, and what it judged here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from edge_daemon.cli.exits import WrongUsage
from edge_daemon.cli.history import history_table
from edge_daemon.cli.journal import Records
from edge_daemon.cli.options import AsJson, ConfigFile, read_settings
from edge_daemon.cli.output import show, tell, tell_json
from edge_daemon.cli.references import NamedRef
from edge_daemon.cli.tables import Column, FittedTable, facts
from edge_daemon.cli.words import moment

UNKNOWN = "unknown"

_Plain = Mapping[str, Any]

DataSet = Annotated[
    str,
    typer.Option(help="Every version that learned from it.", metavar="NAME", show_default=False),
]


def lineage(
    ref: NamedRef = None,
    dataset: DataSet = "",
    file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """What a version was trained on, where it came from, and what it judged on this station."""
    if (ref is None) == (not dataset):
        raise WrongUsage(
            "Name a version or a data set, and not both.",
            hint="edge-daemon models lineage bottle@1.4.0, or --dataset line3-2026-10",
        )
    settings = read_settings(file)
    found = Records(settings).lineage(ref or "", dataset)
    found = {"device": settings.device, **found}
    if as_json:
        tell_json(found, indent=2)
    elif ref is not None:
        _show_version(found)
    else:
        _show_dataset(found)


def _show_version(found: _Plain) -> None:
    show(facts(_facts(found)))
    if found["receipts"]:
        show(history_table(found["receipts"]))
    for each in found["rollouts"]:
        both = f"{each['model']} beside {each['reference']}"
        when = moment(each["began"], ago=False)
        tell(f"rollout {each['rollout']}  {when}  {both}  {each['how']}: {each['why']}")


def _facts(found: _Plain) -> Iterator[tuple[str, str]]:
    yield "model", str(found["model"])
    yield "data set", _names(found["datasets"])
    yield "training run", str(found["run"] or UNKNOWN)
    yield "began with", _began(found)
    yield "came from", _source(found["source"])
    yield "first seen", moment(found["first_seen"])
    for span in found["active"][:5]:
        yield "active", f"{_span(span)}: {span['frames']} frames"
    if len(found["active"]) > 5:
        yield "", f"and {len(found['active']) - 5} spans before (--json has them)"
    if not found["active"]:
        yield "active", f"never since {moment(found['counted_since'], ago=False)}"
    yield "judged", _judged(found["judged"])
    yield "counted", f"since {moment(found['counted_since'])}"


def _show_dataset(found: _Plain) -> None:
    columns = (
        *(Column("model"), Column("learned", 3), Column("run", 4)),
        *(Column("frames", 2, whole=True), Column("parts", whole=True), Column("ng", whole=True)),
        *(Column("from", whole=True), Column("to", whole=True)),
    )
    show(FittedTable(columns, [_cells(each) for each in found["versions"]]))
    tell(f"Counted on {found['device']} since {moment(found['counted_since'], ago=False)}.")
    if found["without_dataset"]:
        count = found["without_dataset"]
        tell(f"{count} other versions that were here do not say what they were trained on.")


def _cells(line: _Plain) -> tuple[str, ...]:
    judged = line["judged"]
    return (
        str(line["model"]),
        f"through {line['through']}" if line["through"] else "itself",
        str(line["run"] or UNKNOWN),
        *(str(judged["frames"]), str(judged["parts"]), str(judged["ng"])),
        *(moment(judged["from"], ago=False), moment(judged["to"], ago=False)),
    )


def _names(names: list[str]) -> str:
    return ", ".join(names) or UNKNOWN


def _began(found: _Plain) -> str:
    if not found["parent"]:
        return UNKNOWN
    return ", before it ".join(_ancestor(each) for each in found["ancestors"])


def _ancestor(step: _Plain) -> str:
    of = f"data set {_names(step['datasets'])}" if step["was_here"] else "it was never here"
    return f"{step['model']} ({of})"


def _source(source: _Plain | None) -> str:
    """Of a bundle that a person put into the store, nobody knows where it came from."""
    if source is None:
        return f"{UNKNOWN}: it was put into the store by hand, or before this was kept"
    version = source["version"]
    name = f"{source['name']}/{version}" if version else source["name"]
    alias = f", by {source['alias']}" if source["alias"] else ""
    when = moment(source["seen"], ago=False)
    return f"{source['kind']} {source['url']} as {name}{alias}, {when}; digest {source['digest']}"


def _judged(judged: _Plain) -> str:
    if not judged["frames"] and not judged["parts"]:
        return "no frame whose verdict counted"
    words = ", ".join(f"{judged[word]} {word}" for word in ("ok", "ng", "empty", "uninspected"))
    return f"{judged['frames']} frames; {judged['parts']} parts: {words}; {_span(judged)}"


def _span(span: _Plain) -> str:
    return f"{moment(span['from'], ago=False)} to {moment(span['to'], ago=False)}"
