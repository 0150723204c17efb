"""The report of a rollout beside its bundle in an OCI registry: an artifact that refers to it.

Registries that keep no list of referrers themselves get it under the tag `sha256-<digest>`, as the
OCI distribution specification says. `oras discover` shows both.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

from edge_daemon.errors import BundleError
from edge_daemon.sources.http import Answer, Http
from edge_daemon.sources.oci_login import DOCKER_TYPE, EMPTY_TYPE, MANIFEST_TYPE, OciLogin
from edge_daemon.sources.source import SourceAway
from edge_daemon.sources.write_back import Outcome

ARTIFACT = "application/vnd.edge-daemon.rollout.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"

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
        repository, digest = outcome.origin.name, outcome.origin.digest
        subject = self._get(repository, digest)
        if subject.status != 200:
            raise BundleError(
                f"{self._http.base} has {repository}@{digest} no more.", hint="Was it deleted?"
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
            "config": self._blob(repository, b"{}", EMPTY_TYPE),
            "layers": [
                self._blob(repository, report(), ARTIFACT)
                | {"annotations": {"org.opencontainers.image.title": "rollout.json"}}
            ],
            "subject": {"mediaType": kind, "digest": digest, "size": len(subject.content)},
            "annotations": notes,
        }
        body = json.dumps(manifest).encode()
        answer = self._put(repository, _digest(body), body, MANIFEST_TYPE)
        if "oci-subject" not in answer.headers:
            self._list(repository, digest, body, notes)

    def _list(self, repository: str, digest: str, body: bytes, notes: Mapping[str, str]) -> None:
        """Add the artifact to the index that stands for the list of referrers.

        Such a registry lets two stations that end a rollout together overwrite each other's list:
        it is read back until this artifact stays in it.
        """
        tag = digest.replace(":", "-")
        line = {
            "mediaType": MANIFEST_TYPE,
            "digest": _digest(body),
            "size": len(body),
            "artifactType": ARTIFACT,
            "annotations": dict(notes),
        }
        for _ in range(_TRIES):
            found = self._get(repository, tag)
            listed = _index(found.content) if found.status == 200 else []
            if any(each.get("digest") == line["digest"] for each in listed):
                return
            made = {"schemaVersion": 2, "mediaType": _INDEX, "manifests": [*listed, line]}
            self._put(repository, tag, json.dumps(made).encode(), _INDEX)
            self._settle()
        raise SourceAway(
            f"Others write the list {tag} on {self._http.base} at the same time.",
            hint="It is tried again later.",
        )

    def _get(self, repository: str, reference: str) -> Answer:
        headers = {"Accept": ", ".join((MANIFEST_TYPE, DOCKER_TYPE, _INDEX))}
        path = f"manifests/{reference}"
        return self._checked(self._send("GET", repository, path, None, headers), 404)

    def _put(self, repository: str, reference: str, body: bytes, kind: str) -> Answer:
        headers = {"Content-Type": kind}
        path = f"manifests/{reference}"
        return self._checked(self._send("PUT", repository, path, body, headers))

    def _blob(self, repository: str, content: bytes, kind: str) -> _Plain:
        digest = _digest(content)
        begun = self._send("POST", repository, "blobs/uploads/", b"", {})
        place = self._checked(begun).headers.get("location", "")
        mark = "&" if "?" in place else "?"
        url = f"{urljoin(self._http.base, place)}{mark}digest={digest}"
        headers = {"Content-Type": "application/octet-stream"}
        self._checked(self._send("PUT", repository, url, content, headers))
        return {"mediaType": kind, "digest": digest, "size": len(content)}

    def _send(
        self,
        method: str,
        repository: str,
        place: str,
        body: bytes | None,
        headers: Mapping[str, str],
    ) -> Answer:
        """Read or write below a repository; `place` may be a whole address of this registry."""
        url = place if urlsplit(place).scheme else f"{self._http.base}/v2/{repository}/{place}"
        if self._http.base.startswith("https://") and urlsplit(url).scheme != "https":
            raise SourceAway(f"{self._http.base} sends on to an address without TLS.")
        for _ in range(2):
            given = {**self._login.headers(repository), **headers}
            answer = self._http.exchange(method, url, body, given)
            if answer.status != 401:
                break
            self._login.renew(repository)
        return answer

    def _checked(self, answer: Answer, *also: int) -> Answer:
        if answer.status // 100 != 2 and answer.status not in also:
            raise SourceAway(
                f"{self._http.base} answers {answer.status}.", hint="May this user push there?"
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
