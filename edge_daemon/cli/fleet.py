"""`edge-daemon fleet`: all stations of a broker, and who has which model."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_daemon.cli import fleet_campaigns, fleet_keys
from edge_daemon.cli.exits import FAILED, WrongUsage
from edge_daemon.cli.fleet_known import fleet_of, signers_of
from edge_daemon.cli.fleet_page import page
from edge_daemon.cli.fleet_publish import publish
from edge_daemon.cli.fleet_verify import (
    Kept,
    Saved,
    plain,
    read_kept,
    tell_checks,
    tell_receipts,
)
from edge_daemon.cli.fleet_watch import watch
from edge_daemon.cli.options import AsJson, ConfigFile, Inventory, read_settings
from edge_daemon.cli.output import show, tell, tell_json
from edge_daemon.cli.tables import Column, FittedTable
from edge_daemon.core.fleet.heads import check_heads
from edge_daemon.core.fleet.ledger import Holder, Ledger, holders
from edge_daemon.core.text import number_of
from edge_daemon.fleet.campaign_view import campaigns_now
from edge_daemon.fleet.ledger import gather, read_inventory, read_ledger
from edge_daemon.fleet.receipts import check_receipts
from edge_daemon.fleet.shown import station, summary
from edge_daemon.messaging.client import Client

app = typer.Typer(no_args_is_help=True, add_completion=False)
app.add_typer(fleet_campaigns.app)
app.add_typer(fleet_keys.app, name="keys")

SHOWN = 20
"""Names of one kind that are shown at once; the ledger has all."""

Patience = Annotated[
    float | None,
    typer.Option(
        "--patience", min=1.0, help="Seconds after which a report is old; else three of its own."
    ),
]


@app.command()
def status(
    file: ConfigFile = None,
    inventory: Inventory = None,
    patience: Patience = None,
    as_json: AsJson = False,
) -> None:
    """How many stations judge by which model, how campaigns stand, and who is silent."""
    settings = read_settings(file)
    names = None if inventory is None else read_inventory(inventory)
    signers = signers_of(settings)
    with Client.of(settings) as client:
        kept = gather(client, fleet_of(settings).roots)
        campaigns = campaigns_now(client, kept, signers, names)
    found = read_ledger(kept, time.time(), names, patience)
    if as_json:
        tell_json({**summary(found), "campaigns": campaigns}, indent=2)
        return
    tell(_sum(found))
    for each in campaigns:
        tell(_campaign(each))
    for field in ("model", "phase", "site", "group"):
        _tell_counts(found, field)
    _tell_others(found, SHOWN)


@app.command()
def ledger(
    file: ConfigFile = None,
    inventory: Inventory = None,
    patience: Patience = None,
    as_json: AsJson = False,
) -> None:
    """List every station and what it has; fails if it and the inventory do not agree."""
    found = _read(file, inventory, patience)
    if as_json:
        rows = [station(line) for line in found.lines]
        tell_json({**summary(found), "stations": rows}, indent=2)
    else:
        _tell_lines(found)
        tell(_sum(found))
        _tell_others(found, None)
    if inventory is not None and not found.is_complete:
        raise typer.Exit(FAILED)


@app.command()
def who(
    wanted: Annotated[
        str,
        typer.Argument(
            help="name@version, a name, or a digest's first 6 characters.", metavar="REF"
        ),
    ],
    file: ConfigFile = None,
    patience: Patience = None,
    as_json: AsJson = False,
) -> None:
    """Which stations judge by a bundle, and which have it."""
    if not wanted.strip():
        raise WrongUsage("No bundle was named.", hint="Name one: edge-daemon fleet who bottle")
    found = holders(_read(file, None, patience), wanted)
    if as_json:
        tell_json([asdict(each) for each in found], indent=2)
        return
    columns = (Column("station"), Column("site", 3), Column("bundle"), Column("digest", 2))
    if not found:
        tell(f"No station that reports has {wanted}.")
        return
    rows = [
        (
            *(each.device, each.site or "-", each.model, each.sha256[:12]),
            *("judges" if each.judges else "has it", each.presence.value),
        )
        for each in found
    ]
    show(FittedTable((*columns, Column("", 1), Column("is")), rows))
    judging = sum(each.judges for each in found)
    having = len({each.device for each in found})
    tell(f"Stations that have {wanted}: {having}; that judge by it: {judging}.")
    for model in _ambiguous(found):
        tell(f"More than one digest is called {model}: look at the column digest.", err=True)


@app.command()
def verify(kept: Kept = None, file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Check each station's receipt against the audit trail that it reported.

    With --kept also whether a trail is shorter than it was, or was written anew. Fails if one is.
    """
    saved = Saved({}, {}) if kept is None else read_kept(kept)
    settings = read_settings(file)
    roots = fleet_of(settings).roots
    with Client.of(settings) as client:
        found = read_ledger(gather(client, roots), time.time())
        shown = client.all_retained([f"{root}/receipt" for root in roots])
    own = {line.device: shown.get(f"{line.root}/receipt", b"") for line in found.lines}
    receipts = check_receipts([line.report for line in found.lines], own, saved.receipts)
    heads = check_heads(saved.heads, found)
    if as_json:
        tell_json(plain(receipts, heads), indent=2)
    else:
        tell_receipts(receipts)
        if heads:
            tell_checks(heads)
    if any(each.is_fault for each in receipts) or any(each.is_fault for each in heads):
        raise typer.Exit(FAILED)


app.command("page")(page)
app.command("publish")(publish)
app.command("watch")(watch)


# --------------------------------------------------------------------------- parts


def _read(file: Path | None, inventory: Path | None, patience: float | None) -> Ledger:
    settings = read_settings(file)
    names = None if inventory is None else read_inventory(inventory)
    with Client.of(settings) as client:
        kept = gather(client, fleet_of(settings).roots)
    return read_ledger(kept, time.time(), names, patience)


def _campaign(shown: dict[str, Any]) -> str:
    """Such as `campaign 2026-48-bottle, bottle@1.4.0: waiting, 3 of 18 have not answered`."""
    stops = [f"stopped by {who}: {why}" for who, why in (shown.get("stopped") or {}).items()]
    model = f", {shown['model']}" if shown.get("model") else ""
    words = stops or [each for each in (shown["state"], shown.get("next")) if each]
    return f"campaign {shown['id']}{model}: {'; '.join(words)}"


def _tell_counts(found: Ledger, field: str) -> None:
    counts = found.counts(field)
    if set(counts) <= {"-"}:
        return
    rows = [(name, str(number)) for name, number in counts.items()]
    show(FittedTable((Column(field), Column("stations")), rows[:SHOWN]))
    if len(rows) > SHOWN:
        tell(f"and {len(rows) - SHOWN} more")


def _tell_lines(found: Ledger) -> None:
    columns = (
        *(Column("station"), Column("site", 5), Column("group", 6), Column("model")),
        *(Column("digest", 3), Column("phase", 2), Column("campaign", 4), Column("is", 1)),
    )
    rows = []
    for line in found.lines:
        report = line.report
        status = report.campaign_status
        wave = "" if status is None or status.wave is None else f" wave {status.wave}"
        rows.append(
            (
                *(report.device, report.site or "-", report.group or "-", report.model or "-"),
                (report.sha256 or "-")[:12],
                report.phase.value if report.phase else "-",
                f"{status.campaign}{wave}" if status else "-",
                line.presence.value,
            )
        )
    if rows:
        show(FittedTable(columns, rows))


def _sum(found: Ledger) -> str:
    heard, silent = len(found.heard), len(found.silent)
    if found.inventory is None:
        return f"{number_of(len(found.lines), 'station')} = {heard} heard + {silent} silent."
    unknown = set(found.unknown)
    of = [
        sum(line.device not in unknown for line in lines) for lines in (found.heard, found.silent)
    ]
    missing = len(found.missing)
    return (
        f"{found.inventory} in the inventory = {of[0]} heard + {of[1]} silent + {missing} missing; "
        f"{len(unknown)} more are in no inventory."
    )


def _tell_others(found: Ledger, most: int | None) -> None:
    """By name: whoever is not heard, not listed, or no station."""
    _tell_names("silent", [f"{line.device}: {line.why}" for line in found.silent], most)
    _tell_names("missing", [f"{each.device}: {each.why}" for each in found.missing], most)
    _tell_names("unknown", found.unknown, most)
    _tell_names("not counted", [f"{each.root}: {each.why}" for each in found.strangers], most)


def _tell_names(heading: str, names: Iterable[str], most: int | None) -> None:
    given = list(names)
    for name in given[:most]:
        tell(f"{heading}: {name}")
    if most is not None and len(given) > most:
        tell(f"{heading}: {len(given) - most} more; see edge-daemon fleet ledger")


def _ambiguous(found: Iterable[Holder]) -> list[str]:
    """Models of which stations have more than one digest."""
    counts = Counter(model for model, _ in {(each.model, each.sha256) for each in found})
    return sorted(model for model, digests in counts.items() if digests > 1)
