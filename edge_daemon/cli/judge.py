"""`edge-daemon models judge`: a model's verdicts on a folder of pictures, against their labels."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_daemon.cli.exits import FAILED
from edge_daemon.cli.options import AsJson, ConfigFile, read_settings
from edge_daemon.cli.output import show, tell, tell_json
from edge_daemon.cli.progress import counting
from edge_daemon.cli.references import RefOrFolder
from edge_daemon.cli.store import find_bundle, trust_of
from edge_daemon.cli.tables import Column, FittedTable
from edge_daemon.core.recipe import broken_rules
from edge_daemon.core.text import number_of
from edge_daemon.core.values import Recipe
from edge_daemon.errors import SenderError
from edge_daemon.host import logs
from edge_daemon.models.bundle import Manifest, verified_copy
from edge_daemon.packing import drawing, judging
from edge_daemon.packing.judging import Seen, Unread
from edge_daemon.packing.labels import Labelled, pictures_in, read_labelled

_Pictures = Annotated[
    Path,
    typer.Argument(
        help="A folder (YOLO or COCO labels, ok/ and ng/, or none), or a data set's .yaml.",
        exists=True,
    ),
]
_Sweep = Annotated[
    bool, typer.Option("--sweep", help="Also show escapes and false rejects at every threshold.")
]
_To = Annotated[
    Path | None,
    typer.Option("--to", help="A new folder for the report, the plot and what was wrong."),
]


def judge(
    ref: RefOrFolder,
    pictures: _Pictures,
    sweep: _Sweep = False,
    to: _To = None,
    file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Judge every picture as the line would, and compare the verdicts with the labels."""
    if to is not None and to.exists():
        raise SenderError(f"{to} is there already.", hint="Name a new folder.")
    logs.configure("warning")  # the worker's own words are for a daemon's log
    settings = read_settings(file)
    manifest, place = find_bundle(ref, settings)
    labelled = _labelled(pictures, manifest)
    with tempfile.TemporaryDirectory(prefix="edge-daemon-") as scratch:
        verified = verified_copy(manifest, place, Path(scratch) / "copy", trust_of(settings))
        found = []
        with counting(len(labelled), "Judging") as count:
            root = os.path.commonpath([each.path.resolve().parent for each in labelled])
            for each in judging.look(verified, labelled, Path(root), settings.slots.device):
                found.append(each)
                count(1)
    seen = [each for each in found if isinstance(each, Seen)]
    unread = [each for each in found if isinstance(each, Unread)]
    report = _report(manifest, seen, swept=sweep)
    report["unread"] = [{"picture": str(e.picture.path), "why": e.why} for e in unread]
    if to is not None:
        _write(to, report, manifest.recipe, seen, swept=sweep)
    if as_json:
        tell_json(report, indent=2)
    else:
        _show(report, manifest, to)
    if unread:
        raise typer.Exit(FAILED)


def _labelled(source: Path, manifest: Manifest) -> tuple[Labelled, ...]:
    """With their labels; a folder of plain pictures has none and is judged anyway."""
    try:
        return read_labelled(source, manifest.classes, manifest.task)
    except SenderError:
        paths = pictures_in(source) if source.is_dir() else []
        if not paths or any(_has_labels(path) for path in paths):
            raise
        return tuple(Labelled(path) for path in paths)


def _has_labels(path: Path) -> bool:
    named = {part.lower() for part in path.parts}
    beside = path.with_suffix(".txt").exists()
    return beside or "images" in named or bool(named & {"ok", "ng", "good", "bad"})


# --------------------------------------------------------------------------- the report


def _report(manifest: Manifest, seen: Sequence[Seen], *, swept: bool) -> dict[str, Any]:
    recipe = manifest.recipe
    slices = sorted({each.picture.slice for each in seen})
    report: dict[str, Any] = {
        "model": str(manifest.ref),
        "pictures": [_picture(each, recipe) for each in seen],
        "verdicts": asdict(judging.score(seen, recipe)),
        "slices": {
            name: asdict(judging.score([s for s in seen if s.picture.slice == name], recipe))
            for name in slices
        },
        "classes": {
            each.label: {"labelled": each.expected, "found": each.found, "made": each.made}
            for each in judging.score_classes(seen, recipe, manifest.classes)
        },
        "confusion": [
            {"labelled": labelled, "found": found, "boxes": boxes}
            for (labelled, found), boxes in sorted(judging.confusion(seen, recipe).items())
        ],
    }
    if swept:
        report["sweep"] = {
            rule: [{"confidence": at, **asdict(score)} for at, score in points]
            for rule, points in judging.sweep(seen, recipe).items()
        }
    return report


def _picture(seen: Seen, recipe: Recipe) -> dict[str, Any]:
    expected = seen.expected(recipe)
    return {
        "picture": str(seen.picture.path),
        "slice": seen.picture.slice,
        "verdict": seen.verdict(recipe).value,
        "causes": list(broken_rules(seen.detections, recipe, seen.size)),
        "expected": expected.value if expected else None,
    }


def _write(
    to: Path, report: dict[str, Any], recipe: Recipe, seen: Sequence[Seen], *, swept: bool
) -> None:
    (to / "wrong").mkdir(parents=True)
    (to / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for number, each in enumerate(judging.wrong(seen, recipe), start=1):
        expected = each.expected(recipe)
        kind = f"{expected.value if expected else ''}-called-{each.verdict(recipe).value}"
        name = f"{number:04}-{kind}-{each.picture.path.stem}.jpg"
        drawing.draw_picture(each, each.counted(recipe), to / "wrong" / name)
    if swept and recipe.rules:
        chosen = {rule.id: rule.confidence for rule in recipe.rules}
        drawing.draw_sweep(judging.sweep(seen, recipe), chosen, to / "sweep.png")


# --------------------------------------------------------------------------- telling


def _show(report: dict[str, Any], manifest: Manifest, to: Path | None) -> None:
    _show_verdicts(report, manifest)
    if to is not None:
        plot = "plot, " if "sweep" in report else ""
        tell(f"Report, {plot}and the pictures that came out wrong: {to}")
    for each in report["unread"]:
        tell(f"{each['picture']} was not judged: {each['why']}", err=True)


def _show_verdicts(report: dict[str, Any], manifest: Manifest) -> None:
    whole = report["verdicts"]
    if whole["unlabelled"] == len(report["pictures"]):
        columns = (Column("picture", free=True), Column("verdict"), Column("causes", 1))
        rows = [
            (each["picture"], each["verdict"], ", ".join(each["causes"]))
            for each in report["pictures"]
        ]
        show(FittedTable(columns, rows))
        tell(f"{manifest.ref} judged {number_of(len(rows), 'picture')} without labels.")
        return
    lines = {**report["slices"], **({"all": whole} if len(report["slices"]) > 1 else {})}
    _table(
        ("slice", "labelled ng", "escaped", "labelled ok", "rejected"),
        [
            (name, each["ng"], each["escaped"], each["ok"], each["rejected"])
            for name, each in lines.items()
        ],
    )
    _table(
        ("class", "labelled", "found", "detections"),
        [
            (name, each["labelled"], each["found"], each["made"])
            for name, each in report["classes"].items()
        ],
    )
    for rule, points in report.get("sweep", {}).items():
        _table(
            (f"{rule} counts from", "escaped", "rejected"),
            [(each["confidence"], each["escaped"], each["rejected"]) for each in points],
        )
    for each in report["pictures"]:
        if each["expected"] not in (None, each["verdict"]):
            causes = f" ({', '.join(each['causes'])})" if each["causes"] else ""
            tell(f"{each['picture']}: {each['verdict']}{causes}, labelled {each['expected']}")


def _table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if rows:
        columns = tuple(Column(heading) for heading in headings)
        show(FittedTable(columns, [[str(cell) for cell in row] for row in rows]))
