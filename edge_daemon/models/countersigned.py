"""A text that several people sign: a DSSE envelope with one mark for each key.

Two marks of one key are one, whatever files it lies in (secure-systems-lab/dsse, protocol.md). The
keys are the same kind that bundles are signed with.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from edge_daemon.errors import SenderError
from edge_daemon.models.trust import (
    HASHES,
    encoded,
    is_valid,
    read_private_key,
    read_public_key,
)

MOST_MARKS = 16


class Signers:
    """The keys that count, and how many different ones must have signed.

    Raises ConfigurationError for a key that cannot be read.
    """

    def __init__(self, public_keys: Sequence[Path]) -> None:
        keys = [read_public_key(path) for path in public_keys]
        self._keys = {_key_id(key): key for key in keys}

    @property
    def known(self) -> int:
        return len(self._keys)

    def text_of(self, envelope: bytes, kind: str, needed: int = 2) -> bytes:
        """The text, if enough of the keys signed it as one of this kind.

        Raises SenderError(malformed) for what is no such envelope, and where keys are missing.
        """
        text, marks = _opened(envelope, kind)
        signed = encoded(kind, text)
        made = {
            name
            for name, key in self._keys.items()
            if any(is_valid(mark, signed, key) for mark in marks)
        }
        if len(made) < needed:
            raise SenderError(
                f"{len(made)} of the trusted keys signed it, and {needed} different ones must.",
                hint="Sign it with the missing key: edge-daemon fleet sign FILE --key KEY",
            )
        return text


def sign(text: bytes, kind: str, private_key: Path, envelope: bytes | None = None) -> bytes:
    """The envelope with one more mark; `envelope` is one of the same text, which others signed.

    Raises ConfigurationError when the key cannot be used, SenderError for an envelope of another
    text.
    """
    key = read_private_key(private_key)
    marks: list[dict[str, str]] = []
    if envelope is not None:
        signed, _ = _opened(envelope, kind)
        if signed != text:
            raise SenderError(
                "Others signed another text than this one.", hint="Have all of them sign it anew."
            )
        marks = json.loads(envelope)["signatures"]
    name = _key_id(key.public_key())
    mark = key.sign(encoded(kind, text), ec.ECDSA(HASHES[key.curve.key_size]))
    marks = [each for each in marks if each.get("keyid") != name]
    marks.append({"keyid": name, "sig": base64.b64encode(mark).decode()})
    payload = base64.b64encode(text).decode()
    made = {"payloadType": kind, "payload": payload, "signatures": marks}
    return json.dumps(made, sort_keys=True, separators=(",", ":")).encode()


def text_in(envelope: bytes, kind: str) -> bytes:
    """The text, by any signer; raises SenderError for what is no such envelope."""
    return _opened(envelope, kind)[0]


def marks_in(envelope: bytes) -> int:
    """How many keys have signed, whoever's they are, of an envelope that `sign` made."""
    return len({mark.get("keyid") for mark in json.loads(envelope)["signatures"]})


def _opened(envelope: bytes, kind: str) -> tuple[bytes, list[bytes]]:
    try:
        document = json.loads(envelope)
        if set(document) != {"payloadType", "payload", "signatures"}:
            raise ValueError("unexpected keys")
        if document["payloadType"] != kind:
            raise ValueError("another kind of text")
        marks = document["signatures"]
        if not isinstance(marks, list) or len(marks) > MOST_MARKS:
            raise ValueError("too many signatures")
        text = base64.b64decode(document["payload"], validate=True)
        return text, [base64.b64decode(mark["sig"], validate=True) for mark in marks]
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise SenderError(
            "It is not a signed text of this kind.",
            hint="Sign it: edge-daemon fleet sign FILE --key KEY",
        ) from error


def _key_id(key: Any) -> str:
    """SHA-256 of the key itself, in hex: the same from whatever file it was read."""
    return hashlib.sha256(
        key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    ).hexdigest()
