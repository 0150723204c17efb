"""Certificates that end when a test wants them to."""

from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def pem(now_utc: float, *days: float) -> bytes:
    """One for each number of days, that long before its end; signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "line3-cam1")])
    made = b""
    for each in days:
        ends = dt.datetime.fromtimestamp(now_utc + each * 86_400.0, dt.timezone.utc)
        builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
        builder = builder.public_key(key.public_key()).serial_number(1)
        builder = builder.not_valid_before(ends - dt.timedelta(days=999))
        signed = builder.not_valid_after(ends).sign(key, hashes.SHA256())
        made += signed.public_bytes(serialization.Encoding.PEM)
    return made
