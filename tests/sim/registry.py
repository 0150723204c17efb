"""Debian's docker-registry on a port of its own, and a client that pushes bundles to it."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

PROGRAM = "docker-registry"
TITLE = "org.opencontainers.image.title"
MODEL_PACK = "org.cncf.model.filepath"


def is_installed() -> bool:
    return shutil.which(PROGRAM) is not None


class Registry:
    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._folder = folder

    @contextmanager
    def running(self) -> Iterator[Registry]:
        file = self._folder / "registry.yml"
        lines = (
            "version: 0.1",
            f"storage: {{filesystem: {{rootdirectory: {self._folder}/blobs}}}}",
            f"http: {{addr: 127.0.0.1:{self.port}}}",
        )
        file.write_text("\n".join(lines) + "\n")
        quiet = subprocess.DEVNULL
        process = subprocess.Popen([PROGRAM, "serve", str(file)], stdout=quiet, stderr=quiet)
        try:
            self._await()
            yield self
        finally:
            process.terminate()
            process.wait(10)

    def _await(self) -> None:
        give_up_at = time.monotonic() + 20
        while time.monotonic() < give_up_at:
            with suppress(URLError), urlopen(f"{self.url}/v2/"):
                return
            time.sleep(0.02)
        raise TimeoutError("docker-registry does not start")

    def push(self, folder: Path, repository: str, tag: str, path_key: str = TITLE) -> str:
        """A layer for each file; the digest of the manifest."""
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        layers = [
            self._blob(repository, file.read_bytes())
            | {"annotations": {path_key: str(file.relative_to(folder))}}
            for file in files
        ]
        config = self._blob(repository, b"{}", "application/vnd.cncf.model.config.v1+json")
        return self.put_manifest(repository, tag, {"config": config, "layers": layers})

    def put_manifest(self, repository: str, tag: str, content: Mapping[str, object]) -> str:
        kind = "application/vnd.oci.image.manifest.v1+json"
        body = json.dumps({"schemaVersion": 2, "mediaType": kind, **content}).encode()
        url = f"{self.url}/v2/{repository}/manifests/{tag}"
        self._send("PUT", url, body, {"Content-Type": kind})
        return f"sha256:{hashlib.sha256(body).hexdigest()}"

    def put_index(self, repository: str, tag: str, listed: list[dict[str, object]]) -> None:
        """An image index under a tag, whatever was there before."""
        kind = "application/vnd.oci.image.index.v1+json"
        body = json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": listed}).encode()
        url = f"{self.url}/v2/{repository}/manifests/{tag}"
        self._send("PUT", url, body, {"Content-Type": kind})

    def _blob(
        self, repository: str, content: bytes, kind: str = "application/octet-stream"
    ) -> dict[str, object]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        place = self._send("POST", f"{self.url}/v2/{repository}/blobs/uploads/", b"", {})
        octets = {"Content-Type": "application/octet-stream"}
        self._send("PUT", f"{place}&digest={digest}", content, octets)
        return {"mediaType": kind, "digest": digest, "size": len(content)}

    def get(self, place: str) -> bytes:
        """A manifest or a blob below /v2/."""
        kinds = (
            "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json"
        )
        with urlopen(Request(f"{self.url}/v2/{place}", headers={"Accept": kinds})) as answer:
            content: bytes = answer.read()
            return content

    def blob_file(self, digest: str) -> Path:
        """Where the registry keeps a blob on its disk."""
        text = digest.removeprefix("sha256:")
        return self._folder / "blobs/docker/registry/v2/blobs/sha256" / text[:2] / text / "data"

    def _send(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> str:
        with urlopen(Request(url, body, dict(headers), method=method)) as answer:
            return str(answer.headers.get("Location", ""))
