"""Stored proofs: what a bundle showed at the gate of this box, and whether that still holds.

One proof for each bundle, in the journal. It holds while everything that it depends on is
unchanged: the bytes, the device and its driver, the libraries, the gate's settings and the number
of its rules. A proof that cannot be read counts as none, and the whole gate runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import structlog

from edge_daemon.config import GateSettings
from edge_daemon.core.gate import RULES, Evidence, Report
from edge_daemon.core.proof import Proof, changed
from edge_daemon.core.values import StoredBundle
from edge_daemon.errors import StateError
from edge_daemon.host.journal import Entry, Journal
from edge_daemon.host.journal_proofs import ProofRow
from edge_daemon.models.bundle import Verified, digest_of

_log = structlog.get_logger(__name__)

SCHEMA = 1
"""Of the body in the journal; one of another schema proves nothing, and is written anew."""

_UNMEASURED = {"spot_proof"}
"""Settings of the gate that influence neither its measurements nor its limits."""


class Proofs:
    """Keeps and recalls proofs; from any of the loader's threads.

    Args:
        box: what this box runs models with, as text by name; asked each time.
        now_utc: the time of day, for the record.
    """

    def __init__(
        self,
        journal: Journal,
        gate: GateSettings,
        box: Callable[[], Mapping[str, str]],
        now_utc: Callable[[], float],
    ) -> None:
        self._journal = journal
        self._gate = gate
        self._box = box
        self._now_utc = now_utc

    def recall(self, verified: Verified) -> Proof | None:
        """The proof of exactly these bytes, if it holds here and now; never raises."""
        bundle = verified.manifest.sha256
        if not self._gate.spot_proof:
            return None
        try:
            body = self._journal.proof(bundle)
            proof = None if body is None else _decoded(body)
        except StateError as error:
            _log.warning("proof_not_read", model=str(verified.manifest.ref), error=error.message)
            return None
        except ValueError as error:
            _log.warning("proof_damaged", model=str(verified.manifest.ref), error=str(error)[:200])
            self._write(ProofRow(bundle, b""))
            return None
        return proof if proof is not None and self._holds(proof, verified) else None

    def keep(self, verified: Verified, evidence: Evidence, report: Report) -> Proof:
        """Store what the whole gate has just measured.

        Not where it proves too little: where a failed check was accepted, or no golden image was
        seen.
        """
        proof = Proof(
            bundle=verified.manifest.sha256,
            conditions=self._conditions(verified),
            proven_utc=self._now_utc(),
            golden=tuple(image.candidate for image in evidence.golden),
            nothing=evidence.nothing,
            checks=report.checks,
        )
        if proof.golden and all(check.passed for check in report.checks):
            self._write(ProofRow(proof.bundle, _encoded(proof)))
        return proof

    def forget(self, target: StoredBundle, proof: Proof) -> None:
        """It no longer holds."""
        _log.info("proof_forgotten", model=str(target.ref))
        self._write(ProofRow(proof.bundle, b""))

    def _holds(self, proof: Proof, verified: Verified) -> bool:
        other = changed(proof.conditions, self._conditions(verified))
        is_whole = len(proof.golden) == len(verified.golden) > 0
        if other or not is_whole or proof.bundle != verified.manifest.sha256:
            _log.info("proof_outdated", model=str(verified.manifest.ref), changed=list(other))
            return False
        return True

    def _conditions(self, verified: Verified) -> dict[str, str]:
        manifest = verified.manifest
        images = hashlib.sha256()
        for image, path in zip(manifest.golden, verified.golden, strict=True):
            images.update((image.sha256 or digest_of(path)[0]).encode())
        settings = self._gate.model_dump(mode="json", exclude=_UNMEASURED)
        return {
            "manifest": manifest.sha256,
            "weights": manifest.weights.sha256,
            "golden": images.hexdigest(),
            "rules": str(RULES),
            **{f"gate.{name}": str(value) for name, value in settings.items()},
            **self._box(),
        }

    def _write(self, row: ProofRow) -> None:
        """If the disk is full, the next load only takes longer."""
        try:
            self._journal.commit(Entry(proofs=(row,)))
        except StateError as error:
            _log.warning("proof_not_kept", error=error.message)


def _encoded(proof: Proof) -> bytes:
    return msgspec.json.encode({"schema": SCHEMA, **msgspec.to_builtins(proof)})


def _decoded(body: bytes) -> Proof | None:
    """None for another schema; raises ValueError for what is no proof at all."""
    if not body:
        raise ValueError("its digest is not that of its content")
    plain = msgspec.json.decode(body, type=dict[str, Any])
    return msgspec.convert(plain, Proof) if plain.pop("schema", None) == SCHEMA else None
