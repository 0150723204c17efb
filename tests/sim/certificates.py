"""Certificates that end when a test wants them to, and those of a plant of its own."""

from __future__ import annotations

import datetime as dt
import ipaddress
from pathlib import Path

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


def authority_and_server(folder: Path, address: str = "127.0.0.1") -> tuple[Path, Path]:
    """A plant's authority as PEM, and a server's key and certificate in one file, signed by it."""
    now = dt.datetime.now(dt.timezone.utc)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, n)]) for n in ("plant", address)]
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))])
    signer = x509.SubjectKeyIdentifier.from_public_key(keys[0].public_key())
    places = folder / "plant-ca.pem", folder / "server.pem"
    for is_server, place in enumerate(places):
        builder = x509.CertificateBuilder().subject_name(names[is_server]).issuer_name(names[0])
        builder = builder.public_key(keys[is_server].public_key()).serial_number(is_server + 1)
        builder = builder.not_valid_before(now - dt.timedelta(days=1))
        builder = builder.not_valid_after(now + dt.timedelta(days=1))
        if is_server:
            issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(signer)
            builder = builder.add_extension(host, critical=False)
            builder = builder.add_extension(issuer, critical=False)
        else:
            authority = x509.BasicConstraints(ca=True, path_length=0)
            builder = builder.add_extension(authority, critical=True)
            builder = builder.add_extension(signer, critical=False)
            builder = builder.add_extension(_SIGNS, critical=True)
        made = builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        key = keys[1].private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        place.write_bytes(made + (key if is_server else b""))
    return places


_SIGNS = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
