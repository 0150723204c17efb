"""Builds engines of bundles for this box: from the store, proven, signed, back into the store."""

from __future__ import annotations

import os
import tempfile
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from edge_daemon.config import Settings
from edge_daemon.core.agreement import MAX_DRIFT, MIN_IOU
from edge_daemon.core.values import BundleRef
from edge_daemon.errors import BundleError, Code
from edge_daemon.host.box import usual_threads
from edge_daemon.host.gpu import open_gpu
from edge_daemon.models.bundle import verified_copy
from edge_daemon.models.manifest import Manifest
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust, sign
from edge_daemon.optimize import derived, engines
from edge_daemon.optimize.derived import Box
from edge_daemon.optimize.engines import Proof
from edge_daemon.slots.slot import LoadOrder

ROUNDS = 5
"""How often all golden images are judged by both, for the medians."""


class Kind(str, Enum):
    """What an engine is made for."""

    OPENVINO = "openvino"
    ONNX = "onnx"
    TENSORRT = "tensorrt"


@dataclass(frozen=True)
class Built:
    """An engine that is in the store; `proof` is None where it was there already."""

    ref: BundleRef
    parent: BundleRef
    box: Box
    proof: Proof | None = None


class Builder:
    """Builds engines.

    Args:
        settings: of the station that is to run them.
        store: where the parents are, and the engines go.
        trust: whose bundles the station takes.
        key: signs what is built (PEM); None: it stays unsigned.
        anyway: keep an engine that is not faster, too.
    """

    def __init__(
        self, settings: Settings, store: Store, trust: Trust, key: Path | None, anyway: bool
    ) -> None:
        self._store, self._trust, self._key, self._anyway = store, trust, key, anyway
        self._device = settings.slots.device
        self._tools = engines.Tools(settings.slots.threads or usual_threads())

    def build(self, ref: BundleRef, kind: Kind | None = None) -> Built:
        """Build, prove, sign and store; or say that it is there already.

        Without a kind it is TensorRT on a GPU, else OpenVINO. Raises BundleError for a parent that
        no engine can be made from, or an engine that fails its proof; BoxError for what this box
        lacks.
        """
        usual = Kind.TENSORRT if self._device.startswith("cuda") else Kind.OPENVINO
        return self._build(self._store.manifest(ref), (kind or usual).value)

    def renew(self) -> list[Built]:
        """Build anew each engine that was made for another box than this one is now."""
        return [self._build(parent, kind) for parent, kind in self._stale()]

    def _stale(self) -> list[tuple[Manifest, str]]:
        """The parents of such engines, and the engine's kind."""
        manifests = [self._store.manifest(known.ref) for known in self._store.available()]
        found: dict[tuple[BundleRef, str], tuple[Manifest, str]] = {}
        for manifest in manifests:
            made = derived.built_for(manifest)
            digest = manifest.lineage.get("parent_sha256")
            parent = next((each for each in manifests if each.weights.sha256 == digest), None)
            if made is None or parent is None:
                continue
            siblings = self._made_from(parent)
            if derived.current(siblings, made[0], self._box(made[0])) is None:
                found[parent.ref, made[0]] = (parent, made[0])
        return list(found.values())

    def _made_from(self, parent: Manifest) -> list[Manifest]:
        """The engines of a parent that the store offers, oldest first."""
        known = (each.ref for each in self._store.available() if each.ref.name == parent.ref.name)
        manifests = (self._store.manifest(ref) for ref in known)
        digest = parent.weights.sha256
        return [each for each in manifests if each.lineage.get("parent_sha256") == digest]

    def _box(self, kind: str) -> Box:
        gpu = open_gpu(self._device, os.environ)
        if gpu is None:
            return derived.this_box(kind, None)
        with closing(gpu):
            name = f"{gpu.name} {gpu.capability or ''}".strip()
            return derived.this_box(kind, (name, gpu.driver))

    def _build(self, parent: Manifest, kind: str) -> Built:
        _refuse_unfit(parent)
        box = self._box(kind)
        siblings = self._made_from(parent)
        there = derived.current(siblings, kind, box)
        if there is not None:
            return Built(there.ref, parent.ref, box)
        taken = [each.ref.version for each in siblings]
        version = derived.next_version(parent.ref.version, kind, taken)
        with tempfile.TemporaryDirectory(prefix="edge-daemon-") as scratch:
            source = self._store.find(parent.ref)
            original = verified_copy(parent, source, Path(scratch) / "original", self._trust)
            draft = Path(scratch) / "draft"
            draft.mkdir()
            order = LoadOrder.of(original, self._device)
            weights = engines.build(kind, order, draft, self._tools)
            proof = engines.prove(order, draft / weights, original.golden, ROUNDS, self._tools)
            built = Built(BundleRef(parent.ref.name, version), parent.ref, box, proof)
            _refuse_unproven(built, proof, self._anyway)
            derived.write_bundle(original.folder, draft, weights, version, kind, box)
            if self._key is not None:
                sign(draft, self._key)
            self._store.add(draft, self._trust)
        return built


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


def _refuse_unproven(built: Built, proof: Proof, anyway: bool) -> None:
    seen = proof.agreement
    if not seen.is_proof:
        raise BundleError(
            f"{built.ref} does not see what {built.parent} sees: {seen.differences} "
            f"differences among {seen.partners} boxes on {seen.images} golden images, "
            f"worst IoU {seen.worst_iou:.3f} (at least {MIN_IOU}), confidence off by up to "
            f"{seen.worst_drift:.3f} (at most {MAX_DRIFT}).",
            hint="Nothing was stored. Try another kind: "
            f"edge-daemon models optimize {built.parent} --for onnx",
            code=Code.GATE_FAILED,
        )
    if proof.speed_up < 1.0 and not anyway:
        raise BundleError(
            f"{built.ref} is not faster than {built.parent}: "
            f"{proof.engine_ms:.1f} ms instead of {proof.original_ms:.1f} ms.",
            hint="Nothing was stored. To keep it anyway: "
            f"edge-daemon models optimize {built.parent} --anyway",
            code=Code.GATE_FAILED,
        )
