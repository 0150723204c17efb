"""How long the certificates for the broker remain valid: an expired one cuts off the broker.

The files are read again now and then, so that a renewed one ends its problem without a restart.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from cryptography import x509

from edge_daemon.core.values import Instant
from edge_daemon.documents import DocumentError, read_bytes

AGAIN_S = 60.0
MAX_BYTES = 1 << 20  # the authorities of a whole system take a quarter of it
SOON_S = 14 * 86_400.0
"""How long before its end a certificate becomes a problem in health."""
_DAY_S = 86_400.0


class Certificates:
    """The ends of those files that can be read; one thread looks, any thread reads.

    `authorities` is good as long as one of its certificates is; of `own`, the device's and those
    that vouch for it, the first to end counts. None: there is no such file.
    """

    def __init__(self, own: Path | None = None, authorities: Path | None = None) -> None:
        self._own = own
        self._authorities = authorities
        self._looked_at = float("-inf")
        self.ends: Mapping[str, float] = {}
        """POSIX seconds, by the key of the setting: `ca` and `certificate`."""

    def look(self, now: Instant) -> None:
        if now.at - self._looked_at < AGAIN_S:
            return
        self._looked_at = now.at
        ends = {}
        if found := _ends(self._authorities):
            ends["ca"] = max(found)
        if found := _ends(self._own):
            ends["certificate"] = min(found)
        self.ends = ends


def expiry_problems(ends: Mapping[str, float], utc: float) -> Iterator[str]:
    """A sentence for each that has expired or soon will; `ends` as in `Certificates`."""
    for key, end in ends.items():
        days = int((end - utc) // _DAY_S)
        if end <= utc:
            yield f"the file of mqtt.tls.{key} has expired: no broker will be joined anew"
        elif end - utc < SOON_S:
            when = "today" if days == 0 else "in 1 day" if days == 1 else f"in {days} days"
            yield f"the file of mqtt.tls.{key} expires {when}"


def _ends(path: Path | None) -> list[float]:
    """When each certificate in the file ends; none if unreadable, which the session reports."""
    try:
        found = path and x509.load_pem_x509_certificates(read_bytes(path, MAX_BYTES))
    except (DocumentError, ValueError):
        return []
    return [each.not_valid_after_utc.timestamp() for each in found or ()]
