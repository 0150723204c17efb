"""`edge-daemon collect`: pictures for the next training, out to be labelled and back."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_daemon.cli.collected import catalogue_of, chosen, collected_by, named
from edge_daemon.cli.exits import FAILED, WrongUsage
from edge_daemon.cli.options import AsJson, ConfigFile, Local, TimeoutS, read_settings
from edge_daemon.cli.output import tell, tell_json
from edge_daemon.cli.requests import user
from edge_daemon.cli.station import Station
from edge_daemon.cli.words import size
from edge_daemon.collecting import exports, labels
from edge_daemon.collecting.catalogue import Catalogue, Collected, sampled
from edge_daemon.collecting.exports import FORMATS
from edge_daemon.collecting.labels import Joined, PartLabel
from edge_daemon.collecting.places import target_of
from edge_daemon.collecting.push import Push
from edge_daemon.config import CollectSettings, Settings
from edge_daemon.core.collecting.estimate import Interval, quality
from edge_daemon.core.text import number_of
from edge_daemon.core.values import BundleRef, Recipe
from edge_daemon.errors import Code, EdgeDaemonError, SenderError
from edge_daemon.messaging.asks import MAX_ITEMS
from edge_daemon.models.bundle import read_manifest
from edge_daemon.models.manifest import Manifest

app = typer.Typer(no_args_is_help=True, add_completion=False)

Reasons = Annotated[
    str | None,
    typer.Option("--reason", help="Only pictures kept for these reasons: disagreement,ng."),
]


@app.command()
def status(file: ConfigFile = None, as_json: AsJson = False) -> None:
    """What is kept and why, what was lost, and what labels say of precision and recall."""
    settings = collected_by(read_settings(file))
    catalogue = catalogue_of(settings)
    plain = _status(settings, catalogue)
    if as_json:
        tell_json(plain, indent=2)
        return
    quota = size(settings.quota_mb << 20)
    tell(f"{plain['pictures']} pictures in {settings.folder}, {size(plain['bytes'])} of {quota}")
    for reason, count in plain["reasons"].items():
        tell(f"  {count:6}  {reason}")
    tell(f"{plain['labelled']} are labelled.")
    station = plain["station"]
    if station:
        tell(
            f"Since the start of the station: {station.get('missed', 0)} came too fast,"
            f" {station.get('failed', 0)} were refused by the disk, {station.get('alike', 0)} were"
            f" nearly the same as another, {station.get('removed', 0)} went for room."
        )
    for name in ("precision", "recall"):
        tell(_in_words(name, plain[name]))


def _status(settings: CollectSettings, catalogue: Catalogue) -> dict[str, Any]:
    pictures = list(catalogue)
    since = catalogue.since_utc
    sample = [sampled(each) for each in pictures if each.record.utc > since]
    found = quality(each for each in sample if each is not None)
    counts = Counter(each.record.leading.value for each in pictures)
    return {
        "folder": str(settings.folder),
        "pictures": len(pictures),
        "bytes": sum(_size_of(each.path) for each in pictures),
        "reasons": dict(counts.most_common()),
        "labelled": sum(each.truth is not None for each in pictures),
        "station": dict(catalogue.status),
        "precision": _interval(found.precision),
        "recall": _interval(found.recall),
    }


def _size_of(picture: Path) -> int:
    """In bytes; 0 of one that went meanwhile, for the quota."""
    with suppress(FileNotFoundError):
        return picture.stat().st_size
    return 0


def _interval(found: Interval | None) -> dict[str, float] | None:
    return None if found is None else {key: round(value, 4) for key, value in vars(found).items()}


def _in_words(name: str, told: Mapping[str, float] | None) -> str:
    if told is None:
        needs = {"precision": "label rejected parts", "recall": "label parts that were passed too"}
        return f"{name}: not known; {needs[name]}."
    low, high = 100 * told["low"], 100 * told["high"]
    return f"{name}: {100 * told['estimate']:.1f} % (95 %: {low:.1f} to {high:.1f})"


@app.command()
def purge(
    file: ConfigFile = None,
    reason: Reasons = None,
    days: Annotated[
        float | None,
        typer.Option(
            "--older-than-days", min=0.0, max=36_500.0, help="Only pictures that are older."
        ),
    ] = None,
    labelled: Annotated[
        bool, typer.Option("--labelled", help="Only pictures with labels.")
    ] = False,
    all_of_them: Annotated[bool, typer.Option("--all", help="All pictures.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete collected pictures for good, also while the station runs."""
    if not (all_of_them or labelled or reason is not None or days is not None):
        raise WrongUsage(
            "Nothing says which pictures are to go.",
            hint="Give --older-than-days, --reason, --labelled or --all.",
        )
    settings = collected_by(read_settings(file))
    catalogue = catalogue_of(settings)
    until = datetime.now(timezone.utc) - timedelta(days=days or 0.0)
    filed = named(reason)  # as `status` counts them: what is worth more for another reason stays
    gone = [
        each
        for each in catalogue
        if each.record.leading in filed
        and (each.truth is not None or not labelled)
        and each.record.utc <= until.timestamp()
    ]
    deleted, fault = catalogue.remove_all(gone)
    if as_json:
        tell_json({"deleted": deleted} | ({"fault": fault} if fault else {}))
    else:
        tell(f"Deleted: {number_of(deleted, 'picture')}.")
        if fault:
            stay = len(gone) - deleted
            tell(f"{stay} stay: {fault}. May this user delete in {settings.folder}?", err=True)
    if fault:
        raise typer.Exit(FAILED)


@app.command()
def export(
    destination: Annotated[Path, typer.Argument(help="A new folder.", metavar="DIR")],
    wanted: Annotated[
        str, typer.Option("--format", help="coco, yolo, label-studio or cvat.", show_default=False)
    ],
    file: ConfigFile = None,
    reason: Reasons = None,
    labelled: Annotated[
        bool, typer.Option("--labelled", help="Only what people have labelled, to train with.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the pictures as a data set, with what the models found as labels to begin with."""
    if wanted not in FORMATS:
        raise WrongUsage(f"There is no format {wanted!r}.", hint=f"Use {', '.join(FORMATS)}.")
    settings = read_settings(file)
    catalogue = catalogue_of(collected_by(settings))
    pictures = [
        each
        for each in chosen(catalogue, reason)
        if not labelled or (each.truth is not None and each.truth.boxes is not None)
    ]
    done = exports.export(
        exports.dataset(pictures, _classes(settings, pictures)), wanted, destination
    )
    if as_json:
        tell_json({"folder": str(destination), "format": wanted, **vars(done)}, indent=2)
        return
    splits = ", ".join(f"{count} {name}" for name, count in done.splits.items() if count)
    tell(f"{done.pictures} pictures ({splits}) with {done.boxes} boxes are in {destination}.")
    if done.gone:
        tell(f"{done.gone} others went while they were copied, for the quota or by hand.", err=True)
    if wanted == "yolo" and not done.splits["val"]:
        tell("Warning: all of them show one part, so nothing is there to validate with.", err=True)


def _classes(settings: Settings, pictures: Sequence[Collected]) -> Sequence[str]:
    """Of the newest model that judged them and is in the store, in its own order."""
    models = [said.model for each in pictures for said in each.record.opinions]
    for model in dict.fromkeys(reversed(models)):
        manifest = manifest_of(settings, model)
        if manifest is not None:
            return manifest.classes
    return ()


def manifest_of(settings: Settings, model: str) -> Manifest | None:
    """The manifest of a model in this station's store; None where it has none that can be read."""
    with suppress(EdgeDaemonError):
        ref = BundleRef.parse(model)
        return read_manifest(settings.models.store / ref.name / ref.version)
    return None


@app.command("import")
def import_labels(  # noqa: PLR0913, PLR0917 - a command takes its options as arguments
    labels_file: Annotated[
        Path,
        typer.Argument(
            help="COCO or Label Studio (.json), CVAT (.xml), or YOLO's dataset.yaml.",
            metavar="FILE",
        ),
    ],
    file: ConfigFile = None,
    by: Annotated[str | None, typer.Option(help="Who labelled; else your user name.")] = None,
    reviewed: Annotated[
        bool,
        typer.Option(
            "--reviewed", help="Accept an unchanged export: people have looked through it."
        ),
    ] = False,
    timeout: TimeoutS = 60.0,
    local: Local = False,
    as_json: AsJson = False,
) -> None:
    """Take labels back: beside the pictures, and as feedback on their parts where it runs."""
    settings = read_settings(file)
    catalogue = catalogue_of(collected_by(settings))
    found = labels.read(labels_file, catalogue)
    if not found.labels:
        raise SenderError(
            f"{labels_file} holds no labels.",
            hint="Label pictures in the tool, submit them, and export again.",
        )
    if found.is_ours and not reviewed:
        raise SenderError(
            f"{labels_file} is as this program exported it: its boxes are the models' own.",
            hint="If people have looked through all of it, add --reviewed.",
        )
    who = by or user() or ""
    joined = labels.join(found, catalogue, partial(_recipe_of, settings), who, time.time())
    joined = _noted(joined, catalogue)
    station = Station(settings, local=local)
    noted, fault = _feed_back(station, labels.words(joined), who, timeout)
    if as_json:
        tell_json(
            {
                "labelled": len(joined.known),
                "unknown": list(joined.unknown),
                "undecided": list(joined.undecided),
                "feedback": noted,
                "fault": fault,
            },
            indent=2,
        )
    else:
        _tell_imported(joined, noted, fault)
    if not joined.known:
        raise typer.Exit(FAILED)


def _noted(joined: Joined, catalogue: Catalogue) -> Joined:
    """The labels beside their pictures; raises SenderError where the disk does not take them."""
    try:
        return labels.noted(joined, catalogue)
    except OSError as error:
        raise SenderError(
            f"Not all labels could be written beside their pictures: {error.strerror or error}.",
            hint="Is room on that disk? Then import the file again: nothing counts twice.",
        ) from error


def _feed_back(
    station: Station, said: Sequence[PartLabel], by: str, timeout_s: float
) -> tuple[int, str]:
    """Tell the station, in requests of as many as one may hold.

    Returns how many words on parts it took, and why not all ("" where it took them).
    """
    noted = 0
    for first in range(0, len(said), MAX_ITEMS):
        items = [
            {"boot": each.boot, "part": each.part, "verdict": each.verdict.value}
            for each in said[first : first + MAX_ITEMS]
        ]
        body = {"items": items, "source": "operator", "by": by}
        body["reason"] = "labels of collected pictures"
        try:
            outcome = list(station.request("feedback", body, timeout_s))[-1]
        except EdgeDaemonError as error:
            return noted, error.message
        if outcome.get("status") != "succeeded":
            return noted, str((outcome.get("error") or {}).get("message", ""))
        noted += len(items)
    return noted, ""


def _tell_imported(joined: Joined, noted: int, fault: str) -> None:
    tell(f"Labelled: {number_of(len(joined.known), 'picture')}.")
    if joined.unknown:
        tell(f"Not collected here, or deleted: {labels.named(joined.unknown)}.", err=True)
    if joined.undecided:
        tell(
            f"Nothing says whether these are ok: {labels.named(joined.undecided)}. Label the"
            " verdict too, or add the model that judged them to the store.",
            err=True,
        )
    if noted:
        tell(f"{noted} of them are feedback on parts now.")
    if fault:
        tell(f"The station was not told: {fault} Import the file again when it runs.", err=True)


def _recipe_of(settings: Settings, model: str) -> Recipe | None:
    manifest = manifest_of(settings, model)
    return None if manifest is None else manifest.recipe


@app.command()
def push(file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Send the pictures that wait to `collect.push` now. Fails if some were not taken."""
    settings = collected_by(read_settings(file))
    if settings.push is None:
        raise SenderError(
            "No place is named to send pictures to.",
            hint="Set collect.push: {folder: …}, {s3: …}, {http: …} or {label_studio: …}.",
            code=Code.PRECONDITION_FAILED,
        )
    catalogue_of(settings)
    with closing(target_of(settings.push)) as target:
        done = Push(settings.folder, target, time.time).send_all()
    if as_json:
        tell_json({"place": target.name, **vars(done)}, indent=2)
    else:
        tell(f"Sent to {target.name}: {number_of(done.sent, 'picture')}.")
        if done.fault:
            tell(f"{done.waiting} wait: {done.fault}. {done.hint}".rstrip(), err=True)
    if done.fault:
        raise typer.Exit(FAILED)
