"""The report of a rollout beside its bundle in an OCI registry: an artifact that refers to it.

Registries that keep no list of referrers themselves get it under the tag `sha256-<digest>`, as the
OCI distribution specification says. `oras discover` shows both.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from edge_daemon.errors import BundleError
from edge_daemon.sources.http import Http
from edge_daemon.sources.oci_login import EMPTY_TYPE, MANIFEST_TYPE, OciLogin
from edge_daemon.sources.oci_repository import INDEX_TYPE, OciRepository, digest_of
from edge_daemon.sources.source import SourceAway
from edge_daemon.sources.write_back import Outcome

ARTIFACT = "application/vnd.edge-daemon.rollout.v1+json"

SETTLE_S = 1.0
"""After this the list is read back: a station that read it before has written it by then."""
_TRIES = 5

_Plain = dict[str, Any]


class OciReferrers:
    """Implements `Writer`; one artifact for each rollout that ended.

    `settle`: waits for whoever writes the same list at the same moment.
    """

    only_endings = True

    def __init__(
        self,
        http: Http,
        login: OciLogin,
        device: str,
        settle: Callable[[], None] = lambda: time.sleep(SETTLE_S),
    ) -> None:
        self._http, self._login, self._device = http, login, device
        self._settle = settle

    def write(self, outcome: Outcome, report: Callable[[], bytes]) -> None:
        try:
            self._write(outcome, report)
        except FileNotFoundError as error:  # so some registries call what may not be written
            raise SourceAway(
                f"{self._http.base} has no place for it.", hint="May this user push there?"
            ) from error

    def _write(self, outcome: Outcome, report: Callable[[], bytes]) -> None:
        name, digest = outcome.origin.name, outcome.origin.digest
        repository = OciRepository(self._http, self._login, name)
        subject = repository.manifest(digest)
        if subject is None:
            raise BundleError(
                f"{self._http.base} has {name}@{digest} no more.", hint="Was it deleted?"
            )
        notes = {
            "edge-daemon.device": self._device,
            "edge-daemon.model": outcome.model,
            "edge-daemon.outcome": outcome.word,
        }
        kind = subject.headers.get("content-type", MANIFEST_TYPE)
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "artifactType": ARTIFACT,
            "config": _blob(repository, b"{}", EMPTY_TYPE),
            "layers": [
                _blob(repository, report(), ARTIFACT)
                | {"annotations": {"org.opencontainers.image.title": "rollout.json"}}
            ],
            "subject": {"mediaType": kind, "digest": digest, "size": len(subject.content)},
            "annotations": notes,
        }
        body = json.dumps(manifest).encode()
        answer = repository.put_manifest(digest_of(body), body)
        if "oci-subject" not in answer.headers:
            self._list(repository, digest, body, notes)

    def _list(
        self, repository: OciRepository, digest: str, body: bytes, notes: Mapping[str, str]
    ) -> None:
        """Add the artifact to the index that stands for the list of referrers.

        Such a registry lets two stations that end a rollout together overwrite each other's list:
        it is read back until this artifact stays in it.
        """
        tag = digest.replace(":", "-")
        line = {
            "mediaType": MANIFEST_TYPE,
            "digest": digest_of(body),
            "size": len(body),
            "artifactType": ARTIFACT,
            "annotations": dict(notes),
        }
        for _ in range(_TRIES):
            found = repository.manifest(tag)
            listed = [] if found is None else _index(found.content)
            if any(each.get("digest") == line["digest"] for each in listed):
                return
            made = {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [*listed, line]}
            repository.put_manifest(tag, json.dumps(made).encode(), INDEX_TYPE)
            self._settle()
        raise SourceAway(
            f"Others write the list {tag} on {self._http.base} at the same time.",
            hint="It is tried again later.",
        )


def _blob(repository: OciRepository, content: bytes, kind: str) -> _Plain:
    return {"mediaType": kind, "digest": repository.upload(content), "size": len(content)}


def _index(content: bytes) -> list[_Plain]:
    """The referrers that are listed already; what is no list is begun anew."""
    try:
        listed = json.loads(content)["manifests"]
    except (ValueError, KeyError, TypeError):
        return []
    return [each for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
