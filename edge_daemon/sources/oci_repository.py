"""One repository of an OCI registry, as whoever pushes into it sees it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from urllib.parse import quote, urljoin, urlsplit

from edge_daemon.sources.http import Answer, Http
from edge_daemon.sources.oci_login import DOCKER_TYPE, MANIFEST_TYPE, OciLogin
from edge_daemon.sources.source import SourceAway

INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
OCTETS = "application/octet-stream"


def digest_of(content: bytes) -> str:
    """As a registry names it."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class OciRepository:
    """Everything raises SourceAway where the registry is away or refuses it.

    Args:
        login: with the right to push.
        name: such as line3/bottle.
    """

    def __init__(self, http: Http, login: OciLogin, name: str) -> None:
        self._http, self._login, self.name = http, login, name
        self._base = f"{http.base}/v2/{quote(name)}/"

    def send(
        self,
        method: str,
        place: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer; with a new token where the old one has ended meanwhile.

        `place`: below the repository, or a whole address of this registry. Raises FileNotFoundError
        for 404.
        """
        where, url = self._http.base, urljoin(self._base, place)
        if where.startswith("https://") and urlsplit(url).scheme != "https":
            raise SourceAway(f"{where} sends on to an address without TLS.")
        for _ in range(2):
            given = {**self._login.headers(self.name), **(headers or {})}
            answer = self._http.exchange(method, url, body, given)
            if answer.status != 401:
                break
            self._login.renew(self.name)
        if answer.status == 404:
            raise FileNotFoundError(2, "the registry has no such thing")
        if answer.status // 100 not in (2, 3):
            raise SourceAway(f"{where} answers {answer.status}.", hint="May this user push there?")
        return answer

    # ------------------------------------------------------------------ manifests

    def manifest(self, reference: str) -> Answer | None:
        """By tag or digest; None: there is none."""
        accepted = {"Accept": f"{MANIFEST_TYPE}, {DOCKER_TYPE}, {INDEX_TYPE}"}
        try:
            return self.send("GET", f"manifests/{reference}", headers=accepted)
        except FileNotFoundError:
            return None

    def put_manifest(self, reference: str, content: bytes, kind: str = MANIFEST_TYPE) -> Answer:
        return self.send("PUT", f"manifests/{reference}", content, {"Content-Type": kind})

    # ------------------------------------------------------------------ blobs

    def has(self, digest: str) -> bool:
        """Whether it has this blob."""
        try:
            self.send("HEAD", f"blobs/{digest}")
        except FileNotFoundError:
            return False
        return True

    def upload(self, content: bytes) -> str:
        """A small blob whole; its digest."""
        digest = digest_of(content)
        self.end_upload(self.begin_upload(), digest, content)
        return digest

    def begin_upload(self) -> str:
        """Where its bytes are sent to."""
        return self.location(self.send("POST", "blobs/uploads/", b""))

    def end_upload(self, place: str, digest: str, content: bytes = b"") -> None:
        """With its last bytes."""
        mark = "&" if urlsplit(place).query else "?"
        self.send("PUT", f"{place}{mark}digest={digest}", content, {"Content-Type": OCTETS})

    def location(self, answer: Answer, before: str = "") -> str:
        """Where an upload goes on; `before`: where it went on until now."""
        given = answer.headers.get("location") or before
        if not given:
            raise SourceAway(f"{self._http.base} does not say where an upload goes on.")
        return urljoin(self._base, given)
