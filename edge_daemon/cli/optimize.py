"""`edge-daemon models optimize`: this box's own engine of a bundle, proven against the original."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from edge_daemon.cli.options import AsJson, ConfigFile, read_settings
from edge_daemon.cli.output import tell, tell_json
from edge_daemon.cli.references import OptionalRef
from edge_daemon.cli.store import open_store, trust_of
from edge_daemon.config import Settings
from edge_daemon.core.agreement import MAX_DRIFT, MIN_IOU
from edge_daemon.core.values import BundleRef
from edge_daemon.errors import BundleError, Code, SenderError
from edge_daemon.host import logs
from edge_daemon.host.gpu import open_gpu
from edge_daemon.models import derived
from edge_daemon.models.bundle import Verified, verified_copy
from edge_daemon.models.manifest import Manifest
from edge_daemon.models.store import Store
from edge_daemon.slots import workbench
from edge_daemon.slots.slot import LoadOrder

ROUNDS = 5
"""How often all golden images are judged by both, for the medians."""


class Kind(str, Enum):
    """What an engine is made for."""

    OPENVINO = "openvino"
    ONNX = "onnx"
    TENSORRT = "tensorrt"


_For = Annotated[
    Optional[Kind],  # noqa: UP045 - typer reads this at run time on 3.10
    typer.Option(
        "--for", help="The kind of engine.", show_default="openvino, or tensorrt on a GPU"
    ),
]
_Key = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option("--key", help="Sign it with this private key (PEM).", exists=True),
]
_Anyway = Annotated[bool, typer.Option("--anyway", help="Keep it even when it is not faster.")]


@dataclass(frozen=True)
class Workshop:
    """What every build needs."""

    settings: Settings
    store: Store
    key: Path | None
    anyway: bool


def optimize(
    ref: OptionalRef = None,
    kind: _For = None,
    key: _Key = None,
    anyway: _Anyway = False,
    file: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Build this box's own engine from a bundle, prove it on the golden images, and keep it."""
    logs.configure("warning")  # the workers' own words are for a daemon's log
    settings = read_settings(file)
    if settings.models.trust.required and key is None:
        raise SenderError(
            "This device takes signed bundles only (models.trust.required).",
            hint="Give the private key of a trusted signer: --key FILE",
        )
    shop = Workshop(settings, open_store(settings), key, anyway)
    if ref is None:
        reports = [_build(shop, parent, made) for parent, made in _stale(shop)]
    else:
        gpu = settings.slots.device.startswith("cuda")
        chosen = kind or (Kind.TENSORRT if gpu else Kind.OPENVINO)
        reports = [_build(shop, shop.store.manifest(BundleRef.parse(ref)), chosen.value)]
    if as_json:
        tell_json(reports, indent=2)
        return
    for report in reports:
        tell("\n".join(_lines(report)))
    if not reports:
        tell("Every engine that was made here is right for this box.")


# --------------------------------------------------------------------------- what is to be done


def _box(settings: Settings, kind: str) -> derived.Box:
    gpu = open_gpu(settings.slots.device, os.environ)
    if gpu is None:
        return derived.this_box(kind, None)
    try:
        return derived.this_box(kind, (f"{gpu.name} {gpu.capability or ''}".strip(), gpu.driver))
    finally:
        gpu.close()


def _made_from(store: Store, parent: Manifest) -> list[Manifest]:
    """The derived bundles of a parent that the store offers, oldest first."""
    known = (each.ref for each in store.available() if each.ref.name == parent.ref.name)
    manifests = (store.manifest(ref) for ref in known)
    digest = parent.weights.sha256
    return [each for each in manifests if each.lineage.get("parent_sha256") == digest]


def _stale(shop: Workshop) -> list[tuple[Manifest, str]]:
    """Parents whose engine was made for another box than this one is now, and the engine's kind."""
    manifests = [shop.store.manifest(known.ref) for known in shop.store.available()]
    found: dict[tuple[BundleRef, str], tuple[Manifest, str]] = {}
    for manifest in manifests:
        made = derived.built_for(manifest)
        digest = manifest.lineage.get("parent_sha256")
        parent = next((each for each in manifests if each.weights.sha256 == digest), None)
        if made is None or parent is None:
            continue
        siblings = _made_from(shop.store, parent)
        if derived.current(siblings, parent, made[0], _box(shop.settings, made[0])) is None:
            found[parent.ref, made[0]] = (parent, made[0])
    return list(found.values())


# --------------------------------------------------------------------------- doing it


def _build(shop: Workshop, parent: Manifest, kind: str) -> dict[str, Any]:
    """Build, prove, sign, store; or say that it is there already."""
    from edge_daemon.models.trust import sign  # noqa: PLC0415 - a second

    _refuse_unfit(parent)
    box = _box(shop.settings, kind)
    siblings = _made_from(shop.store, parent)
    there = derived.current(siblings, parent, kind, box)
    if there is not None:
        return {"model": str(there.ref), "from": str(parent.ref), "built": False, **box.plain()}
    taken = [each.ref.version for each in siblings]
    version = derived.next_version(parent.ref.version, kind, taken)
    trust = trust_of(shop.settings)
    with tempfile.TemporaryDirectory(prefix="edge-daemon-") as scratch:
        source = shop.store.find(parent.ref)
        original = verified_copy(parent, source, Path(scratch) / "original", trust)
        draft = Path(scratch) / "draft"
        draft.mkdir()
        order, tools = _order(shop.settings, original), _tools(shop.settings)
        weights = workbench.build(kind, order, draft, tools)
        proof = workbench.prove(order, draft / weights, original.golden, ROUNDS, tools)
        report = _report(parent, version, proof, box)
        _refuse_unproven(report, proof, shop.anyway)
        derived.write_bundle(original.folder, draft, weights, version, kind, box)
        if shop.key is not None:
            sign(draft, shop.key)
        shop.store.add(draft, trust)
    return report


def _refuse_unfit(parent: Manifest) -> None:
    if not parent.weights.file.endswith(".pt"):
        raise BundleError(
            f"{parent.ref} is no .pt model: an engine is made from the weights that were trained.",
            hint="Give the version that it was made from.",
            code=Code.INCOMPATIBLE,
        )
    if not parent.golden:
        raise BundleError(
            f"{parent.ref} has no golden images, so nothing could prove another engine.",
            hint="Publish a version with golden images.",
            code=Code.INCOMPATIBLE,
        )


def _refuse_unproven(report: dict[str, Any], proof: workbench.Proof, anyway: bool) -> None:
    seen = proof.agreement
    if not seen.is_proof:
        raise BundleError(
            f"{report['model']} does not see what {report['from']} sees: {seen.differences} "
            f"differences among {seen.partners} boxes on {seen.images} golden images, "
            f"worst IoU {seen.worst_iou:.3f} (at least {MIN_IOU}), confidence off by up to "
            f"{seen.worst_drift:.3f} (at most {MAX_DRIFT}).",
            hint="Nothing was stored. Try another kind: --for onnx",
            code=Code.GATE_FAILED,
        )
    if proof.speed_up < 1.0 and not anyway:
        raise BundleError(
            f"{report['model']} is not faster than {report['from']}: "
            f"{proof.engine_ms:.1f} ms instead of {proof.original_ms:.1f} ms.",
            hint="Nothing was stored. Keep it all the same with --anyway.",
            code=Code.GATE_FAILED,
        )


def _order(settings: Settings, original: Verified) -> LoadOrder:
    manifest, device = original.manifest, settings.slots.device
    return LoadOrder(
        ref=manifest.ref,
        sha256=original.sha256,
        folder=original.folder,
        weights=original.weights,
        task=manifest.task,
        classes=manifest.classes,
        imgsz=manifest.imgsz,
        confidence=manifest.recipe.lowest_confidence,
        device=device,
        half=device.startswith("cuda"),
    )


def _tools(settings: Settings) -> workbench.Tools:
    from edge_daemon.app.box import usual_threads  # noqa: PLC0415 - the daemon's own rule

    return workbench.Tools(settings.slots.threads or usual_threads())


# --------------------------------------------------------------------------- telling


def _report(
    parent: Manifest, version: str, proof: workbench.Proof, box: derived.Box
) -> dict[str, Any]:
    seen = proof.agreement
    return {
        "model": str(BundleRef(parent.ref.name, version)),
        "from": str(parent.ref),
        "built": True,
        "original_ms": round(proof.original_ms, 2),
        "engine_ms": round(proof.engine_ms, 2),
        "speed_up": round(proof.speed_up, 2),
        "agreement": {
            "images": seen.images,
            "boxes": seen.partners,
            "differences": seen.differences,
            "worst_iou": round(seen.worst_iou, 4),
            "worst_confidence_drift": round(seen.worst_drift, 4),
        },
        **box.plain(),
    }


def _lines(report: dict[str, Any]) -> list[str]:
    libraries = ", ".join(f"{name} {version}" for name, version in report["libraries"].items())
    if not report["built"]:
        return [f"{report['model']} is there, built for this very box ({libraries})."]
    seen = report["agreement"]
    return [
        f"{report['model']} is in the store, built from {report['from']}.",
        f"  speed      {report['original_ms']:.1f} ms -> {report['engine_ms']:.1f} ms a frame: "
        f"{report['speed_up']:.2f} times as fast",
        f"  agreement  {seen['boxes']} boxes on {seen['images']} golden images, "
        f"{seen['differences']} differences; IoU at least {seen['worst_iou']:.3f}, "
        f"confidence off by at most {seen['worst_confidence_drift']:.3f}",
        f"  for        {report['device']}, {libraries}",
        f"Try it: edge-daemon swap {report['model']} --dry-run",
    ]
