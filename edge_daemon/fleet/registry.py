"""An OCI registry as an origin: a layer for each file, as `oras push` makes them.

The version is the tag; a second tag, such as `stable`, may be moved to it. A blob that is there is
not sent again, and one that broke off is gone on with where the registry still knows it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from edge_daemon.errors import BoxError
from edge_daemon.fleet.publish import Package, Piece, Published, Tell, another
from edge_daemon.sources.http import Http
from edge_daemon.sources.oci import PATHS
from edge_daemon.sources.oci_login import EMPTY_TYPE, MANIFEST_TYPE, OciLogin
from edge_daemon.sources.pace import Pace
from edge_daemon.sources.source import SourceAway

ARTIFACT_TYPE = "application/vnd.edge-daemon.bundle.v1"
_OCTETS = "application/octet-stream"
_EMPTY = b"{}"
_EMPTY_SHA256 = hashlib.sha256(_EMPTY).hexdigest()
CHUNK_BYTES = 4 << 20
"""Sent at once; so much may have to be sent again."""
TRIES = 5
"""In a row without a byte that came through."""


@dataclass
class _Upload:
    """How far a blob is: its bytes that have come, and where it goes on."""

    at: int = 0
    where: str = ""
    is_whole: bool = False


class RegistryOrigin:
    """Implements `Origin`.

    Args:
        login: with the right to push.
        repository: such as line3/bottle.
        alias: a tag that is moved to this bundle; None: only the version is a tag.
    """

    def __init__(
        self,
        http: Http,
        login: OciLogin,
        repository: str,
        alias: str | None,
        pace: Pace | None = None,
    ) -> None:
        self._http, self._login, self._pace = http, login, pace or Pace()
        self._repository, self._alias = repository, alias
        self._base = f"{http.base}/v2/{quote(repository)}"
        self._sent = 0

    def put(self, package: Package, tell: Tell) -> Published:
        try:
            self._login.renew(self._repository)
            return self._put(package, tell)
        except FileNotFoundError as error:
            raise BoxError(
                f"{self._http.base} is no registry, or has no place for {self._repository}.",
                hint="Correct the address after oci:.",
            ) from error

    def _put(self, package: Package, tell: Tell) -> Published:
        manifest = manifest_of(package)
        tag = package.ref.version.replace("+", "_")  # a tag has no plus
        there = self._manifest(tag)
        if there not in (None, manifest):
            raise another(f"{self._http.base}/{self._repository}", package.ref)
        self._sent = 0
        if there is None:
            self._empty()
            for piece in package.pieces:
                self._piece(piece, tell, package.size)
            self._tag(tag, manifest)
        else:
            tell(package.size, package.size)
        if self._alias not in (None, tag):
            self._tag(str(self._alias), manifest)
        host = urlsplit(self._http.base).netloc
        return Published(f"{host}/{self._repository}:{tag}", there is None, self._sent)

    # ------------------------------------------------------------------ blobs

    def _piece(self, piece: Piece, tell: Tell, total: int) -> None:
        if self._has(piece.sha256):
            tell(piece.size, total)
            return
        upload, failures, told = _Upload(), 0, 0
        while not upload.is_whole:
            before = upload.at
            try:
                self._go_on(piece, upload, is_doubtful=failures > 0)
            except (SourceAway, FileNotFoundError) as error:  # the latter: it forgot the upload
                failures = 1 if upload.at > before else failures + 1
                if failures >= TRIES:
                    why = error.message if isinstance(error, SourceAway) else "it forgets uploads"
                    raise SourceAway(
                        f"{piece.path} does not come through to {self._http.base}: {why}",
                        hint="Publish it again: what is there is not sent again.",
                    ) from error
                if failures > 1 or isinstance(error, FileNotFoundError):
                    upload = _Upload()
                self._pace.before_again(failures)
            if upload.at > told:  # what is sent again is told once
                tell(upload.at - told, total)
                told = upload.at

    def _go_on(self, piece: Piece, upload: _Upload, *, is_doubtful: bool) -> None:
        """One chunk, or the end of a file."""
        if not upload.where:
            with self._asked("POST", f"{self._base}/blobs/uploads/") as answer:
                upload.where = self._location(answer)
        elif is_doubtful:
            with self._asked("GET", upload.where) as answer:
                upload.at, upload.where = _received(answer), self._location(answer, upload.where)
        with piece.place.open("rb") as file:
            file.seek(upload.at)
            chunk = file.read(CHUNK_BYTES)
        if not chunk:
            self._end(upload.where, piece.sha256)
            upload.is_whole = True
            return
        last = upload.at + len(chunk) - 1
        span = {"Content-Range": f"{upload.at}-{last}", "Content-Type": _OCTETS}
        with self._asked("PATCH", upload.where, chunk, span) as answer:
            upload.at, upload.where = last + 1, self._location(answer, upload.where)
        self._sent += len(chunk)

    def _empty(self) -> None:
        """The manifest's config, which says nothing."""
        if self._has(_EMPTY_SHA256):
            return
        with self._asked("POST", f"{self._base}/blobs/uploads/") as answer:
            where = self._location(answer)
        self._end(where, _EMPTY_SHA256, _EMPTY)

    def _has(self, sha256: str) -> bool:
        try:
            with self._asked("HEAD", f"{self._base}/blobs/sha256:{sha256}", answers=(200, 307)):
                return True
        except FileNotFoundError:
            return False

    def _end(self, where: str, sha256: str, content: bytes = b"") -> None:
        mark = "&" if urlsplit(where).query else "?"
        kind = {"Content-Type": _OCTETS}
        with self._asked("PUT", f"{where}{mark}digest=sha256:{sha256}", content, kind):
            return

    # ------------------------------------------------------------------ manifests

    def _manifest(self, tag: str) -> bytes | None:
        try:
            headers = self._login.headers(self._repository)
            return self._http.text(f"{self._base}/manifests/{tag}", headers)
        except FileNotFoundError:
            return None

    def _tag(self, tag: str, manifest: bytes) -> None:
        kind = {"Content-Type": MANIFEST_TYPE}
        with self._asked("PUT", f"{self._base}/manifests/{tag}", manifest, kind):
            return

    # ------------------------------------------------------------------ asking

    @contextmanager
    def _asked(
        self,
        method: str,
        url: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        answers: tuple[int, ...] = (),
    ) -> Iterator[HTTPResponse]:
        """The answer; with a new token where the old one has ended meanwhile."""
        for may_renew in (True, False):
            given = {**self._login.headers(self._repository), **(headers or {})}
            refused = (401,) if may_renew else ()
            with self._http.send(method, url, body, given, (*answers, *refused)) as answer:
                if answer.status != 401:
                    yield answer
                    return
            self._login.renew(self._repository)

    def _location(self, answer: HTTPResponse, before: str = "") -> str:
        given = answer.getheader("Location") or before
        if not given:
            raise SourceAway(f"{self._http.base} does not say where an upload goes on.")
        return urljoin(f"{self._base}/", given)


def _received(answer: HTTPResponse) -> int:
    """From `Range: 0-<last byte>`; a registry that has nothing says 0-0 or nothing."""
    last = (answer.getheader("Range") or "0-0").rpartition("-")[2]
    return int(last) + 1 if last.isdigit() and int(last) else 0


def manifest_of(package: Package) -> bytes:
    """The manifest; the same bundle always gives the same bytes, so the same digest."""
    layers: list[dict[str, Any]] = [
        {
            "mediaType": _OCTETS,
            "digest": f"sha256:{piece.sha256}",
            "size": piece.size,
            "annotations": {PATHS[0]: piece.path},
        }
        for piece in package.pieces
    ]
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "artifactType": ARTIFACT_TYPE,
        "config": {
            "mediaType": EMPTY_TYPE,
            "digest": f"sha256:{_EMPTY_SHA256}",
            "size": len(_EMPTY),
        },
        "layers": layers,
        "annotations": {
            "org.opencontainers.image.title": package.ref.name,
            "org.opencontainers.image.version": package.ref.version,
        },
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
