"""`edge-daemon collect`: pictures for the next training, out to be labelled and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Annotated, Any, Optional

import typer

from edge_daemon.cli.exits import WrongUsage
from edge_daemon.cli.options import AsJson, ConfigFile, read_settings
from edge_daemon.cli.output import tell, tell_json
from edge_daemon.cli.words import size
from edge_daemon.collecting.catalogue import Catalogue, Collected, sampled
from edge_daemon.config import CollectSettings, Settings
from edge_daemon.core.collecting.estimate import Interval, Quality, quality
from edge_daemon.core.collecting.reasons import Why
from edge_daemon.errors import Code, SenderError

app = typer.Typer(
    no_args_is_help=True, help="Pictures for the next training: status, export, import, purge."
)

Reasons = Annotated[
    Optional[str],  # noqa: UP045 - typer reads this at run time on 3.10
    typer.Option("--reason", help="Only those of these reasons: disagreement,ng."),
]


def collected_by(settings: Settings) -> CollectSettings:
    """What collects here; raises SenderError where nothing does."""
    if settings.collect is None:
        raise SenderError(
            "No pictures are collected here.",
            hint="Set collect: {folder: …} in the settings.",
            code=Code.PRECONDITION_FAILED,
        )
    return settings.collect


def chosen(catalogue: Catalogue, reasons: str | None) -> list[Collected]:
    """The pictures of these reasons, the oldest first; all where none is named."""
    if reasons is None:
        return list(catalogue)
    words = {word.strip() for word in reasons.split(",") if word.strip()}
    known = {why.value for why in Why}
    if unknown := sorted(words - known):
        raise WrongUsage(
            f"There is no reason {unknown[0]!r}.", hint=f"Use {', '.join(sorted(known))}."
        )
    return [each for each in catalogue if words & {why.value for why in each.record.reasons}]


@app.command()
def status(file: ConfigFile = None, as_json: AsJson = False) -> None:
    """What is kept and why, what was lost, and what labels say of precision and recall."""
    settings = collected_by(read_settings(file))
    catalogue = Catalogue(settings.folder)
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
        "bytes": sum(each.path.stat().st_size for each in pictures if each.path.exists()),
        "reasons": dict(counts.most_common()),
        "labelled": sum(each.truth is not None for each in pictures),
        "station": dict(catalogue.status),
        **_estimates(found),
    }


def _estimates(found: Quality) -> dict[str, Any]:
    return {"precision": _interval(found.precision), "recall": _interval(found.recall)}


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
        Optional[float],  # noqa: UP045
        typer.Option("--older-than-days", min=0.0, help="Only those that are older."),
    ] = None,
    labelled: Annotated[bool, typer.Option("--labelled", help="Only those with labels.")] = False,
    all_of_them: Annotated[bool, typer.Option("--all", help="All of them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete collected pictures for good, also while the station runs."""
    if not (all_of_them or labelled or reason is not None or days is not None):
        raise WrongUsage(
            "Nothing says which pictures are to go.",
            hint="Give --older-than-days, --reason, --labelled or --all.",
        )
    catalogue = Catalogue(collected_by(read_settings(file)).folder)
    until = datetime.now(timezone.utc) - timedelta(days=days or 0.0)
    gone = [
        each
        for each in chosen(catalogue, reason)
        if (each.truth is not None or not labelled) and each.record.utc <= until.timestamp()
    ]
    for each in gone:
        catalogue.remove(each)
    if as_json:
        tell_json({"deleted": len(gone)})
        return
    tell("1 picture was deleted." if len(gone) == 1 else f"{len(gone)} pictures were deleted.")
