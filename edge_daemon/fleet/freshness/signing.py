"""Keys of the fleet's metadata: the same PEM files that bundles and campaigns are signed with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from securesystemslib.signer import CryptoSigner, Key, SSlibKey
from tuf.api.metadata import Metadata, Root, Targets

from edge_daemon.errors import SenderError
from edge_daemon.fleet.freshness.layout import ROOT
from edge_daemon.models.trust import read_private_key, read_public_key

_NAME = "x-name"


def public_key(path: Path) -> Key:
    """The public key of a file, which keeps the file's name; raises ConfigurationError."""
    key = SSlibKey.from_crypto(read_public_key(path))
    key.unrecognized_fields[_NAME] = path.stem
    return key


def signer(path: Path) -> CryptoSigner:
    """The private key of a file; raises ConfigurationError."""
    return CryptoSigner(read_private_key(path))


def name_of(key: Key) -> str:
    """As its file was called; else the start of its id."""
    name = key.unrecognized_fields.get(_NAME)
    return name if isinstance(name, str) and name.isprintable() else key.keyid[:12]


def matching(keys: Mapping[str, Key], wanted: str) -> Key:
    """The one that is meant: by name, by the start of its id, or as a file with its public half.

    Raises SenderError where it is none of them, or more than one.
    """
    file = Path(wanted)
    if file.is_file():
        wanted = public_key(file).keyid
    found = [key for key in keys.values() if name_of(key) == wanted]
    found = found or [key for key in keys.values() if key.keyid.startswith(wanted) and wanted]
    if len(found) != 1:
        names = ", ".join(f"{name_of(key)} ({key.keyid[:12]})" for key in keys.values())
        raise SenderError(
            f"{wanted[:80]!r} is not one of these keys: {names}.", hint="Name one of them."
        )
    return found[0]


def missing(role: str, made: Metadata[Any], above: Root | Targets, before: Root | None) -> int:
    """How many signatures are still wanted.

    `above` delegates to the role; `before` is the root that a new root follows.
    """
    payload, signatures = made.signed_bytes, made.signatures
    wanted = above.get_verification_result(role, payload, signatures).missing
    if role == ROOT and before is not None:
        by_old = before.get_verification_result(role, payload, signatures).missing
        return max(wanted, by_old)
    return wanted
