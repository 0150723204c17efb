"""Certificates that end when a test wants them to, those of a plant of its own, and thousands."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


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
            builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
        made = builder.sign(keys[0], hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        place.write_bytes(made + (_private(keys[1]) if is_server else b""))
    return places


def sign_stations(folder: Path, names: Sequence[str]) -> None:
    """What scripts/make_certificates makes for each station to speak with, a millisecond each.

    The folder is that script's: its authority signs. What is there already stays.
    """
    now = dt.datetime.now(dt.timezone.utc)
    authority = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    signer: Any = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    for name in names:
        if (folder / f"{name}.pem").exists():
            continue
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(authority.subject)
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - dt.timedelta(days=1))
        builder = builder.not_valid_after(now + dt.timedelta(days=825))
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        builder = builder.add_extension(_usage(signs_certificates=False), True)
        made = builder.add_extension(usage, False).sign(signer, hashes.SHA256())
        (folder / f"{name}.key").write_bytes(_private(key))
        (folder / f"{name}.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
