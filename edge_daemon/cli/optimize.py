"""`edge-daemon models optimize`: this box's own engine of a bundle, proven against the original."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from edge_daemon.cli.options import AsJson, ConfigFile, read_settings
from edge_daemon.cli.output import tell, tell_json
from edge_daemon.cli.references import OptionalRef
from edge_daemon.cli.store import open_store, trust_of
from edge_daemon.core.values import BundleRef
from edge_daemon.errors import SenderError
from edge_daemon.host import logs
from edge_daemon.optimize.builder import Builder, Built, Kind

_For = Annotated[
    Kind | None,
    typer.Option(
        "--for", help="The kind of engine.", show_default="openvino, or tensorrt on a GPU"
    ),
]
_Key = Annotated[
    Path | None, typer.Option("--key", help="Sign it with this private key (PEM).", exists=True)
]
_Anyway = Annotated[bool, typer.Option("--anyway", help="Keep it even when it is not faster.")]


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
    builder = Builder(settings, open_store(settings), trust_of(settings), key, anyway)
    found = builder.renew() if ref is None else [builder.build(BundleRef.parse(ref), kind)]
    if as_json:
        tell_json([_plain(built) for built in found], indent=2)
        return
    for built in found:
        tell("\n".join(_lines(built)))
    if not found:
        tell("Every engine that was made here is right for this box.")


def _plain(built: Built) -> dict[str, Any]:
    plain: dict[str, Any] = {
        "model": str(built.ref),
        "from": str(built.parent),
        "built": built.proof is not None,
    }
    if built.proof is not None:
        seen = built.proof.agreement
        plain |= {
            "original_ms": round(built.proof.original_ms, 2),
            "engine_ms": round(built.proof.engine_ms, 2),
            "speed_up": round(built.proof.speed_up, 2),
            "agreement": {
                "images": seen.images,
                "boxes": seen.partners,
                "differences": seen.differences,
                "worst_iou": round(seen.worst_iou, 4),
                "worst_confidence_drift": round(seen.worst_drift, 4),
            },
        }
    return {**plain, **built.box.plain()}


def _lines(built: Built) -> list[str]:
    box, proof = built.box, built.proof
    libraries = ", ".join(f"{name} {version}" for name, version in box.libraries.items())
    if proof is None:
        return [f"{built.ref} is there, built for this very box ({libraries})."]
    seen = proof.agreement
    return [
        f"{built.ref} is in the store, built from {built.parent}.",
        f"  speed      {proof.original_ms:.1f} ms -> {proof.engine_ms:.1f} ms a frame: "
        f"{proof.speed_up:.2f} times as fast",
        f"  agreement  {seen.partners} boxes on {seen.images} golden images, "
        f"{seen.differences} differences; IoU at least {seen.worst_iou:.3f}, "
        f"confidence off by at most {seen.worst_drift:.3f}",
        f"  for        {box.device}, {libraries}",
        f"Try it: edge-daemon swap {built.ref} --dry-run",
    ]
