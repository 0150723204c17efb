"""A derived bundle: another engine of a bundle's weights, made on this box and for it.

Its version is the parent's with a local part (`1.4.0+openvino`, the next build `+openvino.2`), so
that it orders right after its parent and before the next release. Its manifest is the parent's,
with other weights, and a lineage that names the parent by digest and the box by what an engine
depends on: a derived bundle whose box has changed is built anew, under the next number.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_daemon.errors import BoxError, BundleError, Code
from edge_daemon.host.box import processor
from edge_daemon.models.document import plain_document, written_document
from edge_daemon.models.files import digest_of
from edge_daemon.models.manifest import MANIFEST_FILE, Manifest
from edge_daemon.models.versions import installed

LIBRARIES = {
    "openvino": ("openvino", "ultralytics", "torch"),
    "onnx": ("onnxruntime", "onnx", "ultralytics", "torch"),
    "tensorrt": ("tensorrt", "ultralytics", "torch"),
}
"""Kind of engine -> what builds and runs it."""


@dataclass(frozen=True)
class Box:
    """What an engine depends on: the device, its driver, the libraries' versions."""

    device: str
    driver: str
    libraries: Mapping[str, str]

    def plain(self) -> dict[str, Any]:
        return {"device": self.device, "driver": self.driver, "libraries": dict(self.libraries)}


def this_box(kind: str, gpu: tuple[str, str] | None) -> Box:
    """The box as an engine of this kind sees it; `gpu`: name and driver of the one that is used.

    Raises BoxError when a library is lacking.
    """
    found = installed(LIBRARIES[kind])
    lacking = [name for name, version in found.items() if version is None]
    if lacking:
        raise BoxError(
            f"An engine for {kind} needs {' and '.join(lacking)}, which this box does not have.",
            hint=f"Install it: pip install 'edge-daemon[{kind}]'",
        )
    libraries = {name: version for name, version in found.items() if version is not None}
    device, driver = gpu or (processor(), "none")
    return Box(device, driver, libraries)


def built_for(manifest: Manifest) -> tuple[str, Mapping[str, Any]] | None:
    """The kind of engine and the box that a derived bundle was built for; None of any other."""
    made = manifest.lineage.get("optimized")
    if not isinstance(made, dict) or not isinstance(made.get("engine"), str):
        return None
    return made["engine"], {key: made.get(key) for key in ("device", "driver", "libraries")}


def current(siblings: Sequence[Manifest], kind: str, box: Box) -> Manifest | None:
    """The newest of a parent's derived bundles that is right for this box; None: build one."""
    wanted = kind, box.plain()
    return next((each for each in reversed(siblings) if built_for(each) == wanted), None)


def next_version(parent: str, kind: str, taken: Sequence[str]) -> str:
    """`1.4.0+openvino`, then `1.4.0+openvino.2`, …

    Raises BundleError for a parent that has a local part itself.
    """
    if "+" in parent:
        raise BundleError(
            f"Version {parent} has a local part already.",
            hint="Give the version that it was made from.",
            code=Code.INCOMPATIBLE,
        )
    first = f"{parent}+{kind}"
    numbered = (f"{first}.{number}" for number in range(2, len(taken) + 3))
    return next(version for version in (first, *numbered) if version not in taken)


def write_bundle(
    parent: Path, folder: Path, weights: str, version: str, kind: str, box: Box
) -> None:
    """Complete `folder`, which holds the weights already: golden images and `model.yaml`.

    `parent` is the verified copy of the parent's bundle. Its products, recipe and limits stay.
    """
    content = (parent / MANIFEST_FILE).read_bytes()
    plain = plain_document(content, MANIFEST_FILE)
    if (parent / "golden").is_dir():
        shutil.copytree(parent / "golden", folder / "golden")
    sha256, size = digest_of(folder / weights)
    lineage = dict(plain.get("lineage") or {})
    lineage |= {
        "parent": plain["version"],
        "parent_sha256": plain["weights"]["sha256"],
        "parent_manifest_sha256": hashlib.sha256(content).hexdigest(),
        "optimized": {"engine": kind, **box.plain()},
    }
    plain |= {
        "version": version,
        "weights": {"file": weights, "sha256": sha256, "size": size},
        "lineage": lineage,
    }
    if kind == "tensorrt":  # its engines run under the very version that built them, and no other
        pinned = {"tensorrt": f"=={box.libraries['tensorrt']}"}
        plain["requires"] = {**(plain.get("requires") or {}), **pinned}
    (folder / MANIFEST_FILE).write_bytes(written_document(plain))
