"""Proofs in the journal: one for each bundle that passed the gate, the newest ones only.

Each has its digest beside it. A damaged one is deleted, and proves nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from edge_daemon.host.journal_sql import Rows, Run

PROOF_LIMIT = 256
"""Bundles whose proof is known; beyond it the one that was proven longest ago goes."""
PROOF_BYTES = 64 << 20
"""Their bytes on the disk, about; the same goes for them. A larger one is not kept at all."""


@dataclass(frozen=True)
class ProofRow:
    """The proof of one bundle; an empty body forgets it."""

    bundle: str
    body: bytes


def find(rows: Rows, bundle: str) -> bytes | None:
    """The body as it was written; b"" for one that is not whole any more, None where none is."""
    for body, sha256 in rows("SELECT body, sha256 FROM proofs WHERE bundle = ?", bundle):
        is_whole = isinstance(body, bytes) and hashlib.sha256(body).hexdigest() == sha256
        return body if is_whole else b""
    return None


def write(run: Run, proofs: Iterable[ProofRow]) -> None:
    """Each row replaces the one of its bundle."""
    for proof in proofs:
        run("DELETE FROM proofs WHERE bundle = ?", proof.bundle)
        if not proof.body or len(proof.body) > PROOF_BYTES:
            continue
        sha256 = hashlib.sha256(proof.body).hexdigest()
        run(
            "INSERT INTO proofs (bundle, body, sha256) VALUES (?,?,?)",
            *(proof.bundle, proof.body, sha256),
        )
        run(
            "DELETE FROM proofs WHERE seq <= "
            "(SELECT seq FROM proofs ORDER BY seq DESC LIMIT 1 OFFSET ?)",
            PROOF_LIMIT,
        )
        run(
            "DELETE FROM proofs WHERE seq IN (SELECT seq FROM (SELECT seq,"
            " sum(length(body)) OVER (ORDER BY seq DESC) AS held FROM proofs) WHERE held > ?)",
            PROOF_BYTES,
        )
