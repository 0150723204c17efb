"""`edge-daemon parts`: results and counts of the parts of the last days."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

from edge_daemon.cli.exits import WrongUsage
from edge_daemon.cli.journal import Records
from edge_daemon.cli.options import AsJson, ConfigFile, read_settings
from edge_daemon.cli.output import show, tell, tell_json
from edge_daemon.cli.tables import Column, FittedTable
from edge_daemon.cli.words import milliseconds, moment
from edge_daemon.config import Settings
from edge_daemon.errors import Code, SenderError
from edge_daemon.host.picture_index import find_pictures

MOST = 1000
"""Parts in one answer."""

AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV, for spreadsheets.")]

app = typer.Typer(no_args_is_help=True, add_completion=False)

_FIELDS = (
    *("boot", "part", "id", "serial", "triggered_at", "captured_at", "verdict", "causes"),
    *("reason", "late", "age_ms", "frames", "model", "sha256", "recipe", "product", "job_order"),
    *("trial", "picture"),
)
_COUNTED = ("parts", "ok", "ng", "empty", "uninspected", "late")
_RISKY = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins so would be a formula to a spreadsheet."""

_Row = Mapping[str, Any]


@app.command("list")
def list_parts(
    file: ConfigFile = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many of the newest parts.")] = 20,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """The newest parts, newest first."""
    _one_form(as_json, as_csv)
    answer = Records(read_settings(file)).parts(limit)
    _tell(answer["parts"], as_json=as_json, as_csv=as_csv)
    if answer["left_out"]:
        tell(f"{answer['left_out']} older ones had no room; ask for fewer.", err=True)


@app.command()
def find(
    name: Annotated[str, typer.Argument(help="The trigger's id, or the serial.", metavar="ID")],
    file: ConfigFile = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Find a part by its trigger's id or its serial: its verdict, time and model."""
    _one_form(as_json, as_csv)
    settings = read_settings(file)
    found = _pictured(Records(settings).parts(MOST, name)["parts"], name, settings)
    if not found:
        raise SenderError(
            f"No part {name} is on record.",
            hint="Parts are kept for the days that parts.keep says; see: edge-daemon parts list",
            code=Code.PRECONDITION_FAILED,
        )
    if as_json or as_csv or len(found) > 1:
        _tell(found, as_json=as_json, as_csv=as_csv)
        return
    for key in _FIELDS:
        if (value := _cell(found[0].get(key))) != "":
            tell(f"{key}: {value}")
    for path in found[0].get("pictures", ())[1:]:
        tell(f"picture: {path}")


@app.command()
def counts(file: ConfigFile = None, as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """Parts since the start of the order and of the shift, by verdict and cause."""
    _one_form(as_json, as_csv)
    held = Records(read_settings(file)).parts(1)["counts"]
    if held is None:
        raise SenderError(
            "No part was counted here.",
            hint="Set parts: {by: …} in the settings.",
            code=Code.PRECONDITION_FAILED,
        )
    if as_json:
        tell_json(held, indent=2)
        return
    tallies = {name: tally for name, tally in held.items() if tally is not None}
    if as_csv:
        _tell_csv(("since", "of", "what", "count"), _count_rows(tallies))
        return
    for name, tally in tallies.items():
        tell(_title(name, tally))
        numbers = ", ".join(f"{tally[word]} {word}" for word in _COUNTED)
        tell(f"  {numbers}")
        for cause, number in sorted(tally["causes"].items(), key=lambda each: -each[1]):
            tell(f"  {number:6}  {cause}")
        for reason, number in sorted(tally["reasons"].items(), key=lambda each: -each[1]):
            tell(f"  {number:6}  not judged: {reason}")


def _title(name: str, tally: _Row) -> str:
    since = moment(tally["since"], ago=False)
    if name == "shift":
        return f"This shift, since {since}"
    what = f"Order {tally['job_order']}" if tally["job_order"] else "No order"
    product = f" of {tally['product']}" if tally["product"] else ""
    return f"{what}{product}, since {since}"


def _count_rows(tallies: Mapping[str, _Row]) -> Iterable[Sequence[object]]:
    for name, tally in tallies.items():
        for word in _COUNTED:
            yield tally["since"], name, word, tally[word]
        for kind, counted in (("cause", tally["causes"]), ("reason", tally["reasons"])):
            for word, number in counted.items():
                yield tally["since"], name, f"{kind}:{word}", number


def _pictured(parts: Sequence[_Row], name: str, settings: Settings) -> Sequence[_Row]:
    """The parts with the paths of their pictures, the first one as `picture`."""
    if settings.results.pictures is None:
        return parts
    paths: dict[tuple[str, int], list[str]] = {}
    for one in find_pictures(settings.results.pictures.folder, name):
        paths.setdefault((one.part.boot, one.part.part), []).append(str(one.path))
    told = []
    for part in parts:
        pictures = paths.get((part["boot"], part["part"]), [])
        first = pictures[0] if pictures else part.get("picture")
        told.append({**part, "picture": first, "pictures": pictures})
    return told


def _one_form(as_json: bool, as_csv: bool) -> None:
    if as_json and as_csv:
        raise WrongUsage("--json and --csv are both given.", hint="Give one of them.")


def _tell(parts: Sequence[_Row], *, as_json: bool, as_csv: bool) -> None:
    if as_json:
        tell_json(parts, indent=2)
    elif as_csv:
        _tell_csv(_FIELDS, ([_cell(part.get(key)) for key in _FIELDS] for part in parts))
    else:
        show(_table(parts))


def _tell_csv(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    tell(written.getvalue().rstrip("\n"))


def _safe(cell: object) -> object:
    is_text = isinstance(cell, str) and cell.startswith(_RISKY)
    return f"'{cell}" if is_text else cell


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(str(each) for each in value)
    return str(value)


def _table(parts: Sequence[_Row]) -> FittedTable:
    columns = (
        *(Column("when", whole=True), Column("part", whole=True), Column("id"), Column("serial")),
        *(Column("verdict", whole=True), Column("why", free=True), Column("model", 2)),
        *(Column("order", 3), Column("age", 4, whole=True)),
    )
    return FittedTable(columns, [_cells(part) for part in parts])


def _cells(part: _Row) -> tuple[str, ...]:
    why = [*part["causes"], *([part["reason"]] if part["reason"] else [])]
    return (
        moment(part["triggered_at"] or part["captured_at"], ago=False),
        str(part["part"]),
        part["id"] or "",
        part["serial"] or "",
        part["verdict"],
        ", ".join(why),
        part["model"] or "",
        part["job_order"] or "",
        milliseconds(part["age_ms"]),
    )
