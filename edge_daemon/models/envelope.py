"""The envelope of an OpenSSF model signature: which key made it, whatever it says of the files.

The signing library checks a signature together with every file that it covers, which takes a second
for each bundle. A store asks for the key of every bundle at every start, before any weights are
read.
"""

from __future__ import annotations

import base64
import json

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

_PAYLOAD_TYPE = "application/vnd.in-toto+json"
HASHES = {256: hashes.SHA256(), 384: hashes.SHA384(), 521: hashes.SHA512()}
"""By the key's size in bits, as the library chooses them."""


def is_made_by(signature: bytes, key: ec.EllipticCurvePublicKey) -> bool:
    """Whether this key made it; False for anything that is no such signature."""
    try:
        envelope = json.loads(signature)["dsseEnvelope"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        mark = base64.b64decode(envelope["signatures"][0]["sig"], validate=True)
        if envelope["payloadType"] != _PAYLOAD_TYPE:
            return False
    except (ValueError, KeyError, IndexError, TypeError, RecursionError):
        return False
    texts = (encoded(_PAYLOAD_TYPE, payload), _early_text(payload))
    return any(is_valid(mark, text, key) for text in texts)


def is_valid(mark: bytes, text: bytes, key: ec.EllipticCurvePublicKey) -> bool:
    """Whether this ECDSA signature of the text was made with the key's other half."""
    try:
        key.verify(mark, text, ec.ECDSA(HASHES[key.curve.key_size]))
    except InvalidSignature:
        return False
    return True


def encoded(kind: str, text: bytes) -> bytes:
    """DSSE's pre-authentication encoding (secure-systems-lab/dsse, protocol.md)."""
    return f"DSSEv1 {len(kind.encode())} {kind} {len(text)} ".encode() + text


def _early_text(payload: bytes) -> bytes:
    """As model signing before 1.0 wrote it, which the library accepts still."""
    return f"DSSEV1 {len(_PAYLOAD_TYPE)} {_PAYLOAD_TYPE} {len(payload)} {payload!r}".encode()
