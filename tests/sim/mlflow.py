"""The part of MLflow's REST interface that a pull needs, as version 3 answers it."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.sim.web_shelf import WebShelf

_API, _ARTIFACTS = "/api/2.0/mlflow/", "/api/2.0/mlflow-artifacts/artifacts"


class MlflowShelf(WebShelf):
    """`versions`: (model, number) -> artifact URI; `aliases`: (model, alias) -> number; `runs`:
    (model, number) -> the run that made it; `inputs`: run -> names of its data sets; `tags`:
    (model, number) -> what was written there.

    What `mlflow-artifacts:/PATH` names lies in `root/PATH`. Ranges are known, as where the server
    keeps artifacts on its own disk; with `no_ranges` they are not, as where it has a bucket.
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

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(to.path)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if parts.path == f"{_API}registered-models/alias":
            version = self.aliases.get((query["name"], query["alias"]))
            return self._json(to, version and self._version(query["name"], version))
        if parts.path == f"{_API}model-versions/get":
            there = (query["name"], query["version"]) in self.versions
            return self._json(to, there and self._version(query["name"], query["version"]))
        if parts.path == f"{_API}runs/get":
            names = self.inputs.get(query["run_id"])
            inputs = [{"dataset": {"name": name, "digest": "d"}} for name in names or ()]
            told = {"run": {"inputs": {"dataset_inputs": inputs}}}
            return self._json(to, None if names is None else told)
        if parts.path == f"{_API}model-versions/get-download-uri":
            uri = self.versions.get((query["name"], query["version"]))
            return self._json(to, uri and {"artifact_uri": uri})
        if parts.path == _ARTIFACTS:
            return self._json(to, {"files": self._listed(self.root / query["path"])})
        to.path = unquote(parts.path).removeprefix(f"{_ARTIFACTS}/")
        return super().answer(to)

    def take(self, to: BaseHTTPRequestHandler, body: bytes) -> None:
        self.tagged += 1
        told = json.loads(body)
        version = (told["name"], told["version"])
        if self.refuses_tags or version not in self.versions:
            return self._end(to, self.refuses_tags or 404)
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
        to.close_connection = True
        body = json.dumps(plain or {"error_code": "RESOURCE_DOES_NOT_EXIST"}).encode()
        to.send_response(200 if plain else 404)
        to.send_header("Content-Length", str(len(body)))
        to.end_headers()
        to.wfile.write(body)
