"""How long the device's certificates remain valid: an expired one cuts off the broker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from cryptography import x509

from edge_daemon.cli.checks.finding import Finding, error, ok, warning
from edge_daemon.config import TlsSettings
from edge_daemon.documents import DocumentError, read_bytes

SOON_S = 30 * 86_400.0
MAX_PEM_BYTES = 1 << 20  # the authorities of a whole system take a quarter of it
_REMEDY = "Have a new one made (scripts/make_certificates shows how), and put it in its place."


def check_certificates(tls: TlsSettings, now_utc: float | None = None) -> Iterator[Finding]:
    """Each certificate of `mqtt.tls` that can be read: not yet, no longer, or not much longer."""
    now = time.time() if now_utc is None else now_utc
    for key, path in (("ca", tls.ca), ("certificate", tls.certificate)):
        if path is not None:
            yield from _judge(f"mqtt.tls.{key}", path, now)


def _judge(key: str, path: Path, now: float) -> Iterator[Finding]:
    try:
        found = x509.load_pem_x509_certificates(read_bytes(path, MAX_PEM_BYTES))
    except DocumentError:
        return  # told where it is looked whether it can be read
    except ValueError:
        yield error(key, f"{path} holds no certificate (PEM).", "Name the right file.")
        return
    begins = max(one.not_valid_before_utc.timestamp() for one in found)
    ends = min(one.not_valid_after_utc.timestamp() for one in found)
    days = int((ends - now) // 86_400)
    if begins > now:
        yield error(key, f"{path} is not valid yet.", "Compare this machine's clock.")
    elif ends <= now:
        yield error(key, f"{path} has expired.", _REMEDY)
    elif ends - now < SOON_S:
        yield warning(key, f"{path} expires in {days} days.", _REMEDY)
    else:
        yield ok(key, f"{path} is valid for {days} days.")
