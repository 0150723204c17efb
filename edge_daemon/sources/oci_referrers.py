"""The report of a rollout beside its bundle in an OCI registry: an artifact that refers to it.

Registries that keep no list of referrers themselves get it under the tag `sha256-<digest>`, as the
OCI distribution specification says. `oras discover` shows both.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin

from edge_daemon.errors import BundleError
from edge_daemon.sources.http import Answer
from edge_daemon.sources.oci import MANIFEST_TYPES, OciSource
from edge_daemon.sources.source import SourceAway
from edge_daemon.sources.write_back import Outcome

ARTIFACT = "application/vnd.edge-daemon.rollout.v1+json"
_MANIFEST = MANIFEST_TYPES[0]
_INDEX = "application/vnd.oci.image.index.v1+json"
_EMPTY = "application/vnd.oci.empty.v1+json"

_Plain = dict[str, Any]


class OciReferrers:
    """Implements `Writer`; one artifact for each rollout that ended."""

    only_endings = True

    def __init__(self, source: OciSource, device: str) -> None:
        self._source, self._device = source, device

    def write(self, outcome: Outcome, report: Callable[[], bytes]) -> None:
        repository, digest = outcome.origin.name, outcome.origin.digest
        subject = self._get(repository, digest)
        if subject.status != 200:
            raise BundleError(
                f"{self._source.where} has {repository}@{digest} no more.", hint="Was it deleted?"
            )
        notes = {
            "edge-daemon.device": self._device,
            "edge-daemon.model": outcome.model,
            "edge-daemon.outcome": outcome.word,
        }
        kind = subject.headers.get("content-type", _MANIFEST)
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "artifactType": ARTIFACT,
            "config": self._blob(repository, b"{}", _EMPTY),
            "layers": [
                self._blob(repository, report(), ARTIFACT)
                | {"annotations": {"org.opencontainers.image.title": "rollout.json"}}
            ],
            "subject": {"mediaType": kind, "digest": digest, "size": len(subject.content)},
            "annotations": notes,
        }
        body = json.dumps(manifest).encode()
        answer = self._put(repository, _digest(body), body, _MANIFEST)
        if "oci-subject" not in answer.headers:
            self._list(repository, digest, body, notes)

    def _list(self, repository: str, digest: str, body: bytes, notes: Mapping[str, str]) -> None:
        """Add the artifact to the index that stands for the list of referrers."""
        tag = digest.replace(":", "-")
        found = self._get(repository, tag)
        index = _index(found.content) if found.status == 200 else []
        line = {
            "mediaType": _MANIFEST,
            "digest": _digest(body),
            "size": len(body),
            "artifactType": ARTIFACT,
            "annotations": dict(notes),
        }
        listed = [each for each in index if each.get("digest") != line["digest"]]
        made = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [*listed, line]}
        self._put(repository, tag, json.dumps(made).encode(), _INDEX)

    def _get(self, repository: str, reference: str) -> Answer:
        headers = {"Accept": ", ".join((*MANIFEST_TYPES, _INDEX))}
        path = f"manifests/{reference}"
        return self._checked(self._source.exchange("GET", repository, path, None, headers), 404)

    def _put(self, repository: str, reference: str, body: bytes, kind: str) -> Answer:
        headers = {"Content-Type": kind}
        path = f"manifests/{reference}"
        return self._checked(self._source.exchange("PUT", repository, path, body, headers))

    def _blob(self, repository: str, content: bytes, kind: str) -> _Plain:
        digest = _digest(content)
        begun = self._source.exchange("POST", repository, "blobs/uploads/", b"", {})
        place = self._checked(begun).headers.get("location", "")
        mark = "&" if "?" in place else "?"
        url = f"{urljoin(self._source.where, place)}{mark}digest={digest}"
        headers = {"Content-Type": "application/octet-stream"}
        self._checked(self._source.exchange("PUT", repository, url, content, headers))
        return {"mediaType": kind, "digest": digest, "size": len(content)}

    def _checked(self, answer: Answer, *also: int) -> Answer:
        if answer.status // 100 != 2 and answer.status not in also:
            raise SourceAway(
                f"{self._source.where} answers {answer.status}.", hint="May this user push there?"
            )
        return answer


def _index(content: bytes) -> list[_Plain]:
    """The referrers that are listed already; what is no list is begun anew."""
    try:
        listed = json.loads(content)["manifests"]
    except (ValueError, KeyError, TypeError):
        return []
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
