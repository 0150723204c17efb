"""The little of a registry's protocol that a pull needs, behind a service that gives tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from tests.sim.http_server import http_server, respond
from tests.sim.registry import TITLE

TOKEN = "token-of-an-hour"


class TokenRegistry:
    """One bundle under every name, and what was written under another.

    `needs`: the header that the token service asks for; None: no token is needed. `manifest`: what
    is answered instead of the bundle's own.
    """

    def __init__(self, folder: Path, needs: str | None, manifest: bytes | None = None) -> None:
        self._needs = needs
        self._blobs: dict[str, bytes] = {}
        self._put: dict[str, bytes] = {}  # by path
        self.scopes: set[str] = set()
        self.written: list[str] = []
        self.url = ""
        self._manifest = manifest or self._describe(folder)

    def _describe(self, folder: Path) -> bytes:
        layers = []
        for file in (path for path in folder.rglob("*") if path.is_file()):
            content = file.read_bytes()
            digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
            self._blobs[digest] = content
            title = {TITLE: str(file.relative_to(folder))}
            layers.append({"digest": digest, "size": len(content), "annotations": title})
        return json.dumps({"schemaVersion": 2, "layers": layers}).encode()

    @contextmanager
    def serving(self) -> Iterator[TokenRegistry]:
        with http_server(self.answer) as self.url:
            yield self

    def answer(self, to: BaseHTTPRequestHandler, content: bytes) -> None:
        parts, given = urlsplit(to.path), to.headers.get("Authorization")
        if parts.path == "/token":
            if given != self._needs:
                return respond(to, 401, b"")
            self.scopes.update(parse_qs(parts.query)["scope"])
            return respond(to, 200, json.dumps({"token": TOKEN}).encode())
        if self._needs is not None and given != f"Bearer {TOKEN}":
            wanted = f'Bearer realm="{self.url}/token",service="registry"'
            return respond(to, 401, b"", {"WWW-Authenticate": wanted})
        if to.command != "GET":
            self.written.append(parts.path)
            self._put[parts.path] = content
            return respond(to, 201, b"", {"Location": f"{parts.path}?upload=1"})
        last = parts.path.rpartition("/")[2]
        content = self._manifest if "/manifests/" in parts.path else self._blobs.get(last, b"{}")
        content = self._put.get(parts.path, content)
        return respond(to, 200, content)
