"""`edge-daemon models …`: the store of this device, with or without a running daemon."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from edge_daemon.cli.history import history
from edge_daemon.cli.journal import Records
from edge_daemon.cli.judge import judge
from edge_daemon.cli.lineage import lineage
from edge_daemon.cli.optimize import optimize
from edge_daemon.cli.options import AsJson, ConfigFile, read_settings
from edge_daemon.cli.output import console, show, tell, tell_json
from edge_daemon.cli.pack import pack_model
from edge_daemon.cli.progress import reading, waiting
from edge_daemon.cli.references import Ref, RefOrFolder
from edge_daemon.cli.requests import user
from edge_daemon.cli.station import Station
from edge_daemon.cli.store import find_bundle, open_store, trust_of
from edge_daemon.cli.tables import Column, FittedTable, facts
from edge_daemon.cli.words import size
from edge_daemon.config import Settings
from edge_daemon.core.recipe import can_reject
from edge_daemon.core.recipe import digest as digest_of_recipe
from edge_daemon.core.roles import Role
from edge_daemon.core.values import BundleRef, Rule
from edge_daemon.core.verdicts import NEVER_REJECTS
from edge_daemon.errors import EdgeDaemonError
from edge_daemon.models.bundle import Manifest, digest_of, read_manifest, verified_copy

app = typer.Typer(no_args_is_help=True, add_completion=False)

SHOWN = 4
"""Classes and products of a line in a list."""


@dataclass(frozen=True)
class Roles:
    """What the daemon does with each version; empty where no daemon can be asked."""

    of_slots: Mapping[Role, str] = field(default_factory=dict)  # role -> model
    selected: Mapping[str, str] = field(default_factory=dict)  # name -> version
    quarantined: Mapping[str, str] = field(default_factory=dict)  # model -> why
    below: frozenset[BundleRef] = frozenset()  # the floor of their name

    def of(self, ref: BundleRef) -> list[str]:
        """The words for one version."""
        text = str(ref)
        words = [role.value for role, model in self.of_slots.items() if model == text]
        if self.selected.get(ref.name) == ref.version:
            words.append("selected")
        if text in self.quarantined:
            words.append("quarantined")
        if ref in self.below:
            words.append("below the floor")
        return words


@app.command("list")
def list_models(file: ConfigFile = None, as_json: AsJson = False) -> None:
    """List the bundles, mark those in use, and say which folders are not taken and why."""
    settings = read_settings(file)
    store = open_store(settings, as_offered=True)
    offer = store.offer()
    roles = replace(_roles(settings), below=frozenset(ref for ref, _ in offer.below))
    lines = [_line(store.manifest(known.ref), roles) for known in offer.known]
    refused = [
        {"folder": str(p.folder), "code": str(p.error.code), "message": p.error.message}
        for p in offer.problems
    ]
    if as_json:
        tell_json({"models": lines, "refused": refused}, indent=2)
        return
    if not lines and not refused:
        tell(f"{settings.models.store} is empty. Add one: edge-daemon models add FOLDER")
        return
    show(models_table(lines))
    for problem in refused:
        console().print(Text(f"{problem['folder']}: {problem['message']}", style="red"))


@app.command("show")
def describe(ref: Ref, file: ConfigFile = None, as_json: AsJson = False) -> None:
    """What a bundle says of itself: classes, recipe, golden images, lineage."""
    settings = read_settings(file)
    manifest = open_store(settings).manifest(BundleRef.parse(ref))
    plain = _described(manifest, _roles(settings))
    if as_json:
        tell_json(plain, indent=2)
        return
    told = {key: value for key, value in plain.items() if value not in (None, [], {}, "")}
    show(facts((key, _shown(value)) for key, value in told.items()))


@app.command("add")
def add(
    folder: Annotated[Path, typer.Argument(help="The bundle, anywhere.", exists=True)],
    file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Check FOLDER byte by byte and copy it into the store; it appears there whole."""
    settings = read_settings(file)
    with reading(folder, "Checking") as count:
        ref = open_store(settings).add(folder, trust_of(settings), count)
    if as_json:
        tell_json({"model": str(ref)})
    else:
        tell(f"{ref} is in the store. Try it: edge-daemon swap {ref} --dry-run")


@app.command("verify")
def verify(ref: RefOrFolder, file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Check every byte of a bundle against its digests, and its signature against the keys."""
    settings = read_settings(file)
    manifest, place = find_bundle(ref, settings)
    trust = trust_of(settings)
    name = str(manifest.ref)
    with (
        tempfile.TemporaryDirectory(prefix="edge-daemon-") as scratch,
        reading(place, "Checking") as count,
    ):
        verified = verified_copy(manifest, place, Path(scratch) / "copy", trust, count)
    signer = verified.signer.name if verified.signer else None
    warnings = [] if can_reject(manifest.recipe) else [f"{name}: {NEVER_REJECTS}."]
    if as_json:
        weights = {"sha256": manifest.weights.sha256, "size": manifest.weights.size}
        tell_json({"model": name, "valid": True, **weights, "signer": signer, "warnings": warnings})
    elif signer:
        tell(f"{name} is whole, and {signer} vouches for it.")
    else:
        tell(f"{name} is whole. Nobody signed it that this device knows.")
    for warning in () if as_json else warnings:
        tell(f"Warning: {warning}", err=True)


@app.command("digest")
def digest(
    path: Annotated[
        Path, typer.Argument(help="Weights: a file, or an OpenVINO folder.", exists=True)
    ],
    as_json: AsJson = False,
) -> None:
    """Print the SHA-256 and the size of weights, as model.yaml declares them."""
    place = path.resolve()
    with waiting("Reading"):
        sha256, size_bytes = digest_of(place)
    if as_json:
        tell_json({"file": place.name, "sha256": sha256, "size": size_bytes})
    else:
        tell(f"weights: {{file: {place.name}, sha256: {sha256}, size: {size_bytes}}}")


@app.command("sign")
def sign(
    ref: RefOrFolder,
    key: Annotated[Path, typer.Option(help="The private key (PEM, P-256).", exists=True)],
    file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Sign every file of a bundle; whoever trusts the public key may load it."""
    from edge_daemon.models import trust  # noqa: PLC0415 - a second that `list` need not pay

    folder, root = Path(ref), None
    if folder.is_dir():
        read_manifest(folder, placed=False)  # nobody should vouch for what no station takes
    else:
        store = open_store(read_settings(file))
        folder, root = store.find(BundleRef.parse(ref)), store.root
    with waiting("Signing"):
        signature = trust.sign(folder, key, root)
    if as_json:
        tell_json({"signature": str(signature)})
    else:
        tell(f"Signed: {signature}")


app.command("history")(history)
app.command("lineage")(lineage)


@app.command("quarantine")
def quarantine(
    ref: Ref,
    file: ConfigFile = None,
    reason: Annotated[str, typer.Option(help="Why; shown to everybody who requests it.")] = "",
    as_json: AsJson = False,
) -> None:
    """Keep a version from becoming active, until `models unquarantine`."""
    settings, why = read_settings(file), reason or "by an operator"
    Records(settings).quarantine(BundleRef.parse(ref), why, user() or "")
    if as_json:
        tell_json({"model": ref, "quarantined": why})
        return
    tell(f"{ref} is quarantined. Lift it with: edge-daemon models unquarantine {ref}")
    if _roles(settings).of_slots.get(Role.ACTIVE) == ref:
        tell("It judges frames until something else is active: edge-daemon rollback")


@app.command("unquarantine")
def unquarantine(ref: Ref, file: ConfigFile = None, as_json: AsJson = False) -> None:
    """Let a quarantined version become active again."""
    Records(read_settings(file)).quarantine(BundleRef.parse(ref), None, user() or "")
    if as_json:
        tell_json({"model": ref, "quarantined": None})
        return
    tell(f"{ref} may become active again.")


app.command("optimize")(optimize)
app.command("pack")(pack_model)
app.command("judge")(judge)


# --------------------------------------------------------------------------- parts


def _roles(settings: Settings) -> Roles:
    """From the daemon if it answers, else from its journal, else none."""
    seen = Station(settings).online()
    if seen is not None:
        told = ((role, seen.model.of(role)) for role in Role)
        of_slots = {role: bundle.model for role, bundle in told if bundle is not None}
        return Roles(of_slots, seen.model.selected, seen.quarantined)
    try:
        durable = Records(settings).durable()
    except EdgeDaemonError:
        return Roles()  # another process holds the journal: the list itself is still right
    if durable is None:
        return Roles()
    held = {str(ref): why for ref, why in durable.quarantined}
    return Roles(selected=dict(durable.selected), quarantined=held)


def _line(manifest: Manifest, roles: Roles) -> dict[str, Any]:
    ref = str(manifest.ref)
    return {
        "model": ref,
        "sha256": manifest.weights.sha256,
        "size": manifest.weights.size,
        "classes": list(manifest.classes),
        "products": list(manifest.products),
        "roles": roles.of(manifest.ref),
        "quarantined": roles.quarantined.get(ref),
    }


def models_table(lines: list[dict[str, Any]]) -> FittedTable:
    """The store, a version a line."""
    columns = (
        *(Column("model"), Column(""), Column("weights", 3, whole=True)),
        *(Column("classes", 2), Column("products", 1)),
    )
    return FittedTable(columns, [_cells(line) for line in lines])


def _cells(line: dict[str, Any]) -> tuple[Text | str, ...]:
    words = ", ".join(line["roles"])
    style = "yellow" if line["quarantined"] else "green" if "active" in words else ""
    return (
        line["model"],
        Text(words, style=style),
        size(line["size"]),
        _some(line["classes"]),
        _some(line["products"]),
    )


def _some(words: list[str]) -> str:
    """A model may have hundreds; `show` and `--json` have them all."""
    shown = ", ".join(words[:SHOWN])
    return f"{shown} and {len(words) - SHOWN} more" if len(words) > SHOWN else shown


def _described(manifest: Manifest, roles: Roles) -> dict[str, Any]:
    recipe = manifest.recipe
    return {
        **_line(manifest, roles),
        "weights": manifest.weights.file,
        "task": manifest.task,
        "input": manifest.imgsz,
        "requires": dict(manifest.requires),
        "recipe": {
            "confidence": recipe.confidence,
            "reject": sorted(recipe.reject),
            "part": recipe.part,
            "zones": {zone.name: zone.points for zone in recipe.zones},
            "rules": [_rule_line(rule) for rule in recipe.rules],
            "adjustable": {each.name: (each.low, each.high) for each in recipe.adjustable},
            "sha256": digest_of_recipe(recipe),
        },
        "golden": len(manifest.golden),
        "limits": asdict(manifest.limits),
        "lineage": dict(manifest.lineage),
        "metrics": dict(manifest.metrics),
        "notes": list(manifest.notes),
    }


def _rule_line(rule: Rule) -> dict[str, Any]:
    line = {key: value for key, value in asdict(rule).items() if value not in (None, math.inf)}
    if rule.zone is not None:
        line["zone"] = rule.zone.name
    return line


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {inner}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
