"""An OCI registry as a source: the manifest of a tag, and one layer for each file.

A layer's path is its title (`oras push registry/line3/bottle:stable model.yaml weights.pt …`) or
its file path by the CNCF ModelPack. Every blob is named by its digest, and so is the manifest: a
tag that moved is another offer, and is told.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from edge_daemon.core.lineage import Origin
from edge_daemon.errors import BundleError, Code
from edge_daemon.models.files import is_inner_path
from edge_daemon.sources.http import Http, json_object
from edge_daemon.sources.oci_login import OciLogin
from edge_daemon.sources.source import Offered, RemoteFile, Stream

PATHS = ("org.opencontainers.image.title", "org.cncf.model.filepath")
MOST_LAYERS = 1024

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


class OciSource:
    """Implements `Source`.

    Args:
        base: the registry's address, such as https://registry.plant:5000.
        basic: the header for its user, for the registry or where it sends for a token; None: none.
        token: a bearer token for the registry itself; None: none.
    """

    def __init__(
        self,
        base: str,
        ca: Callable[[], str | None] = lambda: None,
        basic: Callable[[], str | None] = lambda: None,
        token: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._http = Http(base, ca)
        self.where = self._http.base
        self._login = OciLogin(self._http, ca, basic, token)

    def offered(self, name: str, which: str) -> tuple[Offered, ...]:  # noqa: ARG002 - by reference
        repository, reference = _parts(which)
        url = f"{self.where}/v2/{repository}/manifests/{reference}"
        try:
            self._login.renew(repository)
            content = self._http.text(url, self._login.headers(repository))
        except FileNotFoundError as error:
            raise BundleError(
                f"{self.where} has no {which}.", hint="Push it there, or correct sources.models."
            ) from error
        found = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if reference.startswith("sha256:") and found != reference:
            raise _mismatch(f"{self.where} answers with another manifest than {which}: {found}.")
        base = f"{self.where}/v2/{repository}/blobs"
        tag = None if reference.startswith("sha256:") else reference
        origin = Origin("oci", self.where, repository, found, alias=tag)
        return (Offered(found, origin, None, _files(content, base, which), base=repository),)

    @contextmanager
    def open(self, offered: Offered, path: str, at: int = 0) -> Iterator[Stream]:
        file = offered.files.get(path)
        if file is None:
            raise FileNotFoundError(2, "no layer has this path", path)
        headers = self._login.headers(offered.base)
        with self._http.stream(file.where, at, headers) as stream:
            yield stream


def _parts(which: str) -> tuple[str, str]:
    repository, at, digest = which.partition("@")
    if at:
        return repository, digest
    repository, _, tag = which.rpartition(":")
    return quote(repository), tag


def _files(content: bytes, base: str, which: str) -> dict[str, RemoteFile]:
    manifest = json_object(content, f"the manifest of {which}")
    layers = manifest.get("layers")
    if not isinstance(layers, list) or len(layers) > MOST_LAYERS:
        raise BundleError(
            f"{which} is no single manifest with layers.",
            hint="Push one manifest with a layer for each file, as oras does.",
        )
    files: dict[str, RemoteFile] = {}
    for layer in layers:
        path, file = _layer(layer, base, which)
        if path in files:
            raise BundleError(f"{which} has two layers for {path}.", hint="Push it again.")
        files[path] = file
    return files


def _layer(layer: Any, base: str, which: str) -> tuple[str, RemoteFile]:
    try:
        notes = layer.get("annotations") or {}
        path = next(str(notes[key]) for key in PATHS if key in notes)
        digest, size = _DIGEST.fullmatch(layer["digest"]), layer["size"]
    except (AttributeError, KeyError, TypeError, StopIteration) as error:
        raise BundleError(
            f"A layer of {which} has no path, digest or size.",
            hint=f"Give each layer the annotation {PATHS[0]}.",
        ) from error
    if digest is None or not isinstance(size, int) or size < 0 or not is_inner_path(path):
        raise BundleError(f"A layer of {which} is not understood: {path[:128]!r}.", hint="Mend it.")
    return path, RemoteFile(f"{base}/{digest[0]}", size, digest[1])


def _mismatch(message: str) -> BundleError:
    return BundleError(message, hint="Push it again.", code=Code.DIGEST_MISMATCH)
