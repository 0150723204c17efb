"""An OCI registry as an origin: a layer for each file, as `oras push` makes them.

The version is the tag; a second tag, such as `stable`, may be moved to it. A blob that is there is
not sent again, and one that broke off is gone on with where the registry still knows it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from edge_daemon.errors import BoxError
from edge_daemon.fleet.publish import Package, Piece, Published, Tell, another
from edge_daemon.sources.http import Answer, Http
from edge_daemon.sources.oci import PATHS
from edge_daemon.sources.oci_login import EMPTY_TYPE, MANIFEST_TYPE, OciLogin
from edge_daemon.sources.oci_repository import OCTETS, OciRepository, digest_of
from edge_daemon.sources.pace import Pace
from edge_daemon.sources.source import SourceAway

ARTIFACT_TYPE = "application/vnd.edge-daemon.bundle.v1"
_EMPTY = b"{}"
_EMPTY_DIGEST = digest_of(_EMPTY)
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
        self._where = f"{urlsplit(http.base).netloc}/{repository}"
        self._repository = OciRepository(http, login, repository)
        self._alias, self._pace = alias, pace or Pace()
        self._sent = 0

    def put(self, package: Package, tell: Tell) -> Published:
        try:
            return self._put(package, tell)
        except FileNotFoundError as error:
            raise BoxError(
                f"{self._where} is no repository of a registry.",
                hint="Correct the address after oci:.",
            ) from error

    def _put(self, package: Package, tell: Tell) -> Published:
        manifest = manifest_of(package)
        tag = package.ref.version.replace("+", "_")  # a tag has no plus
        there = self._repository.manifest(tag)
        if there is not None and there.content != manifest:
            raise another(self._where, package.ref)
        self._sent = 0
        if there is None:
            if not self._repository.has(_EMPTY_DIGEST):
                self._repository.upload(_EMPTY)
            for piece in package.pieces:
                self._piece(piece, tell, package.size)
            self._repository.put_manifest(tag, manifest)
        else:
            tell(package.size, package.size)
        if self._alias not in (None, tag):
            self._repository.put_manifest(str(self._alias), manifest)
        return Published(f"{self._where}:{tag}", there is None, self._sent)

    # ------------------------------------------------------------------ blobs

    def _piece(self, piece: Piece, tell: Tell, total: int) -> None:
        if self._repository.has(f"sha256:{piece.sha256}"):
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
                        f"{piece.path} does not come through to {self._where}: {why}",
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
        repository = self._repository
        if not upload.where:
            upload.where = repository.begin_upload()
        elif is_doubtful:
            answer = repository.send("GET", upload.where)
            upload.at = _received(answer)
            upload.where = repository.location(answer, upload.where)
        with piece.place.open("rb") as file:
            file.seek(upload.at)
            chunk = file.read(CHUNK_BYTES)
        if not chunk:
            repository.end_upload(upload.where, f"sha256:{piece.sha256}")
            upload.is_whole = True
            return
        last = upload.at + len(chunk) - 1
        span = {"Content-Range": f"{upload.at}-{last}", "Content-Type": OCTETS}
        answer = repository.send("PATCH", upload.where, chunk, span)
        upload.at, upload.where = last + 1, repository.location(answer, upload.where)
        self._sent += len(chunk)


def _received(answer: Answer) -> int:
    """From `Range: 0-<last byte>`; a registry that has nothing says 0-0 or nothing."""
    last = answer.headers.get("range", "0-0").rpartition("-")[2]
    return int(last) + 1 if last.isdigit() and int(last) else 0


def manifest_of(package: Package) -> bytes:
    """The manifest; the same bundle always gives the same bytes, so the same digest."""
    layers: list[dict[str, Any]] = [
        {
            "mediaType": OCTETS,
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
            "digest": _EMPTY_DIGEST,
            "size": len(_EMPTY),
        },
        "layers": layers,
        "annotations": {
            "org.opencontainers.image.title": package.ref.name,
            "org.opencontainers.image.version": package.ref.version,
        },
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
