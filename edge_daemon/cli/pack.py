"""`edge-daemon models pack`: weights and labelled pictures become a bundle."""

from __future__ import annotations

import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_daemon.cli.collected import collected_by
from edge_daemon.cli.exits import WrongUsage
from edge_daemon.cli.options import AsJson, ConfigFile, config_file, read_settings
from edge_daemon.cli.output import tell, tell_json
from edge_daemon.cli.progress import counting, waiting
from edge_daemon.cli.store import trust_of
from edge_daemon.collecting import labels
from edge_daemon.collecting.catalogue import Catalogue
from edge_daemon.config import Settings
from edge_daemon.core.recipe import can_reject
from edge_daemon.core.values import BundleRef, Verdict
from edge_daemon.core.verdicts import NEVER_REJECTS, expected_verdict
from edge_daemon.errors import SenderError
from edge_daemon.host import logs
from edge_daemon.models.store import Store
from edge_daemon.packing.bundle import MOST_GOLDEN, Packed, Wanted, pack
from edge_daemon.packing.labels import Labelled, read_labelled
from edge_daemon.packing.weights import read_weights
from edge_daemon.slots.slot import Loaded

COLLECTED = "collected:"
"""Instead of a folder: the pictures that were collected and labelled here."""

_Weights = Annotated[
    Path, typer.Argument(help="best.pt, or another format; an OpenVINO folder.", exists=True)
]
_Name = Annotated[str, typer.Option("--name", help="The model's name.", show_default=False)]
_Version = Annotated[str, typer.Option("--version", help="Its version.", show_default=False)]
_Reject = Annotated[
    str, typer.Option("--reject", help="Classes that make a part ng: scratch,dent.")
]
_Part = Annotated[
    str | None,
    typer.Option("--part", help="The class that a part is: without one in view nothing is judged."),
]
_Confidence = Annotated[
    float,
    typer.Option(
        "--confidence", min=0.0, max=1.0, help="The least confidence at which a detection counts."
    ),
]
_Golden = Annotated[
    str | None,
    typer.Option(
        "--golden",
        help="Labelled pictures that prove it: a folder (YOLO, COCO, or ok/ and ng/), a data"
        " set's .yaml, or collected: for what was labelled here.",
    ),
]
_Most = Annotated[int, typer.Option("--most", min=1, max=500, help="Golden images at most.")]
_Products = Annotated[str, typer.Option("--products", help="Products it judges: BTL-500,BTL-330.")]
_DataSet = Annotated[str, typer.Option("--dataset", help="The data set that it was trained on.")]
_Run = Annotated[str, typer.Option("--run", help="The training run that made it.")]
_Parent = Annotated[str, typer.Option("--parent", help="The version that the training began with.")]
_Key = Annotated[
    Path | None, typer.Option("--key", help="Sign it with this private key (PEM).", exists=True)
]
_Add = Annotated[bool, typer.Option("--add", help="Put it into this device's store.")]
_To = Annotated[
    Path | None, typer.Option("--to", help="The folder to make.", show_default="./NAME/VERSION")
]


def pack_model(  # noqa: PLR0913, PLR0917 - a command takes its options as arguments
    weights: _Weights,
    name: _Name,
    version: _Version,
    reject: _Reject = "",
    part: _Part = None,
    confidence: _Confidence = 0.35,
    golden: _Golden = None,
    most: _Most = MOST_GOLDEN,
    products: _Products = "",
    dataset: _DataSet = "",
    run: _Run = "",
    parent: _Parent = "",
    key: _Key = None,
    add: _Add = False,
    to: _To = None,
    file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a bundle of WEIGHTS: classes and input from the weights, golden images from labels."""
    logs.configure("warning")  # the worker's own words are for a daemon's log
    if add and to is not None:
        raise WrongUsage("--add and --to exclude each other.", hint="Give one of them.")
    if golden is not None and golden != COLLECTED and not Path(golden).exists():
        raise WrongUsage(f"There is no {golden}.", hint="Give a folder, a .yaml or collected:")
    settings = read_settings(file) if add or golden == COLLECTED else None
    with waiting("Reading the weights"):
        facts = read_weights(weights)
    pictures = _pictures(golden, facts, _words(reject), settings)
    lineage = {
        "weights": weights.name,
        "golden": "collected" if golden == COLLECTED else Path(golden or "").name,
        "dataset": dataset,
        "run": run,
        "parent": parent,
    }
    wanted = Wanted(
        ref=BundleRef(name, version),
        weights=weights.resolve(),
        reject=_words(reject),
        confidence=confidence,
        part=part,
        products=_words(products),
        most=most,
        key=key,
        lineage={key: said for key, said in lineage.items() if said},
    )
    with counting(min(len(pictures), most), "Copying") as count:
        if settings is None or not add:
            place = to or Path(name) / version
            packed = pack(wanted, facts, pictures, place, count)
        else:
            store = Store(settings.models.store, floor=settings.models.floor)
            with tempfile.TemporaryDirectory(prefix="edge-daemon-") as scratch:
                draft = Path(scratch) / "bundle"
                packed = pack(wanted, facts, pictures, draft, count)
                store.add(draft, trust_of(settings))
    _tell(packed, config_file(file) if add else None, as_json=as_json)


def _pictures(
    golden: str | None, facts: Loaded, reject: Sequence[str], settings: Settings | None
) -> Sequence[Labelled]:
    """Of a folder or a data set, or those that were labelled here."""
    if golden is None:
        return ()
    if golden == COLLECTED:
        assert settings is not None
        folder = collected_by(settings).folder
        found = labels.golden(Catalogue(folder), facts.classes, reject)
        if not found:
            raise SenderError(
                f"No picture of {folder} is labelled with classes of these weights.",
                hint="Bring labels back first: edge-daemon collect import FILE",
            )
        return found
    return read_labelled(Path(golden), facts.classes, facts.task)


def _words(given: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip() for word in given.split(",") if word.strip()))


def _tell(packed: Packed, station: Path | None, *, as_json: bool) -> None:
    """`station`: the settings of whose store it is in; None: in a folder."""
    added = station is not None
    manifest, ref = packed.manifest, str(packed.manifest.ref)
    recipe = manifest.recipe
    warnings = _warnings(packed)
    if as_json:
        plain: dict[str, Any] = {
            "model": ref,
            "folder": None if added else str(packed.folder),
            "sha256": manifest.weights.sha256,
            "task": manifest.task,
            "classes": list(manifest.classes),
            "imgsz": manifest.imgsz,
            "recipe": {
                "confidence": recipe.confidence,
                "reject": sorted(recipe.reject),
                "part": recipe.part,
            },
            "golden": len(manifest.golden),
            "left_out": packed.left_out,
            "warnings": warnings,
        }
        tell_json(plain, indent=2)
        return
    slices = sorted({image.expectation.slice for image in manifest.golden})
    tell(f"{ref} is {'in the store' if added else f'in {packed.folder}'}.")
    tell(f"  task     {manifest.task} at {manifest.imgsz}, classes {', '.join(manifest.classes)}")
    part = f"; a part is a {recipe.part}" if recipe.part is not None else ""
    rejected = ", ".join(rule.label for rule in recipe.rules) or "nothing"
    tell(f"  recipe   rejects {rejected} from a confidence of {recipe.confidence:g} on{part}")
    left = f"; {packed.left_out} more were left out" if packed.left_out else ""
    tell(f"  golden   {len(manifest.golden)} images{left}; slices {', '.join(slices) or 'none'}")
    for warning in warnings:
        tell(f"Warning: {warning}", err=True)
    if station is not None:
        place = f"--config {shlex.quote(str(station))}"
        tell(f"Start with it: edge-daemon check {place} && edge-daemon run {place}")
        tell(f"Or, where the station runs already: edge-daemon swap {ref} --dry-run {place}")
    else:
        tell(f"Put it into a station's store: edge-daemon models add {packed.folder}")


def _warnings(packed: Packed) -> list[str]:
    found = []
    if not can_reject(packed.manifest.recipe):
        found.append(f"{NEVER_REJECTS}. Name the classes of defects: --reject A,B")
    recipe, golden = packed.manifest.recipe, packed.manifest.golden
    shown = {expected_verdict(image.expectation, recipe) for image in golden}
    if not golden:
        found.append("no golden images: nothing proves its verdicts. Give labels: --golden FOLDER")
    elif Verdict.NG not in shown:
        found.append("no golden image shows a defect, so nothing proves that one is rejected")
    elif Verdict.OK not in shown:
        found.append("no golden image shows a good part, so nothing proves that one passes")
    return found
