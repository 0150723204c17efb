"""The part of MLflow's REST interface that a pull needs, as version 3 answers it."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.sim.http_server import respond
from tests.sim.web_shelf import WebShelf

_API, _ARTIFACTS = "/api/2.0/mlflow/", "/api/2.0/mlflow-artifacts/artifacts"
_PRESIGNED = "/api/2.0/mlflow-artifacts/presigned/"


class Bucket(WebShelf):
    """Where such a server keeps its artifacts: to be read with its signature, and ranges."""

    SIGNATURE = "X-Amz-Signature=5f1d"

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        to.path, _, query = to.path.partition("?")
        if query != self.SIGNATURE or to.headers.get("Authorization"):  # as S3 refuses both
            return respond(to, 403)
        return super().answer(to)


class MlflowShelf(WebShelf):
    """`versions`: (model, number) -> artifact URI; `aliases`: (model, alias) -> number; `runs`:
    (model, number) -> the run that made it; `inputs`: run -> names of its data sets; `tags`:
    (model, number) -> what was written there.

    What `mlflow-artifacts:/PATH` names lies in `root/PATH`. Ranges are known, as where the server
    keeps artifacts on its own disk. With `keep_in` they are not, and it signs addresses there.
    """

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.versions: dict[tuple[str, str], str] = {}
        self.aliases: dict[tuple[str, str], str] = {}
        self.runs: dict[tuple[str, str], str] = {}
        self.inputs: dict[str, list[str]] = {}
        self.tags: dict[tuple[str, str], dict[str, str]] = {}
        self.refuses_tags = 0  # the status that a tag is answered with
        self.tagged = 0  # how often somebody tried
        self._bucket = ""

    def keep_in(self, bucket: str) -> None:
        """The address of a bucket with the same files."""
        self.no_ranges, self._bucket = True, bucket

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(to.path)
        if parts.path.startswith(_PRESIGNED):
            at = f"{self._bucket}/{parts.path.removeprefix(_PRESIGNED)}?{Bucket.SIGNATURE}"
            return self._json(to, {"url": at, "headers": {}}) if self._bucket else respond(to, 501)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path.startswith(_API):
            return self._json(to, self._registry(parts.path.removeprefix(_API), query))
        if parts.path == _ARTIFACTS:
            return self._json(to, {"files": self._listed(self.root / query["path"])})
        to.path = unquote(parts.path).removeprefix(f"{_ARTIFACTS}/")
        return super().answer(to)

    def _registry(self, verb: str, query: dict[str, str]) -> object:
        """The answer, or what is not true where there is none."""
        if verb == "registered-models/alias":
            version = self.aliases.get((query["name"], query["alias"]))
            return version and self._version(query["name"], version)
        if verb == "model-versions/get":
            there = (query["name"], query["version"]) in self.versions
            return there and self._version(query["name"], query["version"])
        if verb == "runs/get":
            names = self.inputs.get(query["run_id"])
            inputs = [{"dataset": {"name": name, "digest": "d"}} for name in names or ()]
            return names is not None and {"run": {"inputs": {"dataset_inputs": inputs}}}
        assert verb == "model-versions/get-download-uri", verb
        uri = self.versions.get((query["name"], query["version"]))
        return uri and {"artifact_uri": uri}

    def take(self, to: BaseHTTPRequestHandler, body: bytes) -> None:
        self.tagged += 1
        told = json.loads(body)
        version = (told["name"], told["version"])
        if self.refuses_tags or version not in self.versions:
            return respond(to, self.refuses_tags or 404)
        self.tags.setdefault(version, {})[told["key"]] = told["value"]
        return self._json(to, {"ok": True})

    def _version(self, model: str, number: str) -> dict[str, object]:
        run = self.runs.get((model, number), "")
        return {"model_version": {"name": model, "version": number, "run_id": run}}

    def _listed(self, folder: Path) -> list[dict[str, object]]:
        return [
            {"path": each.name, "is_dir": True}
            if each.is_dir()
            else {"path": each.name, "is_dir": False, "file_size": each.stat().st_size}
            for each in sorted(folder.glob("*"))
        ]

    def _json(self, to: BaseHTTPRequestHandler, plain: object) -> None:
        body = json.dumps(plain or {"error_code": "RESOURCE_DOES_NOT_EXIST"}).encode()
        respond(to, 200 if plain else 404, body)
