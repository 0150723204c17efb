"""An MLflow server as a source: the artifacts of a registered model's version are a bundle.

They are read through the server (`mlflow-artifacts:`), which is how it runs by default. What was
broken off goes on where it stopped. A server with a bucket gives out whole files only (MLflow
3.17), but it signs an address in the bucket; the rest of the file is read there. Where the station
cannot reach the bucket, the file begins anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from edge_daemon.core.lineage import MOST_NAMES, Origin
from edge_daemon.errors import BundleError
from edge_daemon.models.files import MAX_DEPTH, MAX_ENTRIES, is_inner_path
from edge_daemon.models.manifest import MANIFEST_FILE
from edge_daemon.sources.http import Http, json_object
from edge_daemon.sources.source import Offered, RemoteFile, SourceAway, Stream

_API = "api/2.0/mlflow"
_ARTIFACTS = "api/2.0/mlflow-artifacts/artifacts"
_PRESIGNED = "api/2.0/mlflow-artifacts/presigned"


class MlflowSource:
    """Implements `Source`."""

    def __init__(self, http: Http) -> None:
        self._http = http
        self.where = http.base

    def offered(self, name: str, which: str) -> tuple[Offered, ...]:  # noqa: ARG002 - by its own
        try:
            origin = self._origin(which)
            model, version = origin.name, str(origin.version)
            files = self._files(self._place(model, version))
        except FileNotFoundError as error:
            raise BundleError(
                f"{self.where} has no {which}.",
                hint="Register it there, or correct sources.models.",
            ) from error
        if MANIFEST_FILE not in files:  # a bundle that was logged as one folder of the artifacts
            places = {
                path.rpartition("/")[0] for path in files if path.endswith(f"/{MANIFEST_FILE}")
            }
            if len(places) == 1:
                inner = f"{places.pop()}/"
                files = {
                    path[len(inner) :]: file
                    for path, file in files.items()
                    if path.startswith(inner)
                }
        return (Offered(f"{model}/{version}", origin, None, files),)

    def open(self, offered: Offered, path: str, at: int = 0) -> AbstractContextManager[Stream]:
        file = offered.files.get(path)
        if file is None:
            raise FileNotFoundError(2, "no artifact has this path", path)
        if at:
            return self._rest(file.where, at)
        return self._http.stream(f"{self.where}/{_ARTIFACTS}/{file.where}", 0)

    @contextmanager
    def _rest(self, path: str, at: int) -> Iterator[Stream]:
        with ExitStack() as stack:
            stream = None
            with suppress(SourceAway, BundleError, FileNotFoundError):
                stream = stack.enter_context(self._in_bucket(path, at))
            if stream is None:
                whole = self._http.stream(f"{self.where}/{_ARTIFACTS}/{path}", at)
                stream = stack.enter_context(whole)
            yield stream

    def _in_bucket(self, path: str, at: int) -> AbstractContextManager[Stream]:
        """From the address that the server signs; raises where it has no bucket."""
        signed = self._object(f"{_PRESIGNED}/{path}")
        headers = {str(name): str(value) for name, value in _table(signed, "headers").items()}
        return self._http.stream(str(signed.get("url")), at, headers)

    def _origin(self, which: str) -> Origin:
        """The registered model, the number of its version now, and the run that made it."""
        model, at, alias = which.partition("@")
        if at:
            found = self._ask("registered-models/alias", name=model, alias=alias)
        else:
            model, _, version = which.rpartition("/")
            found = self._ask("model-versions/get", name=model, version=version)
        told = _table(found, "model_version")
        run = told.get("run_id")
        run = run if isinstance(run, str) and run else None
        return Origin(
            "mlflow",
            self.where,
            model,
            version=str(told.get("version")),
            alias=alias or None,
            run_id=run,
            datasets=self._datasets(run) if run else (),
        )

    def _datasets(self, run: str) -> tuple[str, ...]:
        """What the run logged as its input; none where the server has no such run any more."""
        try:
            inputs = _table(_table(self._ask("runs/get", run_id=run), "run"), "inputs")
        except FileNotFoundError:
            return ()
        listed = inputs.get("dataset_inputs")
        each = listed if isinstance(listed, list) else []
        tables = (_table(one, "dataset") for one in each if isinstance(one, dict))
        return tuple(str(table["name"]) for table in tables if table.get("name"))[:MOST_NAMES]

    def _place(self, model: str, version: str) -> str:
        """The path of its artifacts on the server."""
        found = self._ask("model-versions/get-download-uri", name=model, version=version)
        uri = urlsplit(str(found.get("artifact_uri")))
        if uri.scheme != "mlflow-artifacts":
            raise BundleError(
                f"The artifacts of {model}/{version} are not on {self.where} itself, but at "
                f"{uri.scheme}:.",
                hint="Use `mlflow server --serve-artifacts`, or another kind of source.",
            )
        return uri.path.strip("/")

    def _files(self, place: str) -> dict[str, RemoteFile]:
        files: dict[str, RemoteFile] = {}
        for path, size in self._walk(place, "", 0):
            if len(files) >= MAX_ENTRIES:
                raise BundleError(
                    f"{place} has more than {MAX_ENTRIES} files.", hint="It is no bundle."
                )
            files[path] = RemoteFile(quote(f"{place}/{path}"), size)
        return files

    def _walk(self, place: str, inner: str, depth: int) -> Iterator[tuple[str, int | None]]:
        query = urlencode({"path": f"{place}/{inner}".rstrip("/")})
        found = self._object(f"{_ARTIFACTS}?{query}")
        listed = found.get("files") or []
        for each in listed if isinstance(listed, list) else []:
            entry = each if isinstance(each, dict) else {}
            # Some versions of the server answer with the last part, others with the whole path.
            name = str(entry.get("path", "")).rstrip("/").rpartition("/")[2]
            path = f"{inner}{name}"
            if not is_inner_path(path):
                raise BundleError(
                    f"{path[:128]!r} is no path in a bundle.", hint="Rename the file."
                )
            if entry.get("is_dir"):
                if depth + 1 < MAX_DEPTH:
                    yield from self._walk(place, f"{path}/", depth + 1)
            else:
                size = str(entry.get("file_size", ""))
                yield path, int(size) if size.isdecimal() else None

    def _ask(self, verb: str, **query: str) -> dict[str, Any]:
        return self._object(f"{_API}/{verb}?{urlencode(query)}")

    def _object(self, path: str) -> dict[str, Any]:
        return json_object(self._http.text(f"{self.where}/{path}"), f"The answer of {self.where}")


def _table(plain: dict[str, Any], key: str) -> dict[str, Any]:
    found = plain.get(key)
    return found if isinstance(found, dict) else {}
