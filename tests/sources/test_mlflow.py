"""MLflow's registry: an alias or a version leads to artifacts, and those are a bundle."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from edge_daemon.errors import BundleError, Code
from edge_daemon.models.bundle import read_manifest
from edge_daemon.sources.http import Http
from edge_daemon.sources.mlflow import MlflowSource
from edge_daemon.sources.mlflow_tags import MlflowTags
from edge_daemon.sources.write_back import Outcome
from tests.sim.bundles import make_bundle, noise
from tests.sim.mlflow import MlflowShelf
from tests.sources.conftest import Station

CHAMPION = "bottle-model@champion"


@pytest.fixture
def mlflow(shelf: Path) -> Iterator[MlflowShelf]:
    with MlflowShelf(shelf).serving() as serving:
        assert isinstance(serving, MlflowShelf)
        yield serving


def register(mlflow: MlflowShelf, number: str, folder: Path) -> None:
    """As the training does it: the bundle's folder becomes a version, and the alias moves to it."""
    place = folder.relative_to(mlflow.root)
    mlflow.versions["bottle-model", number] = f"mlflow-artifacts:/{place}"
    mlflow.aliases["bottle-model", "champion"] = number


def test_an_alias_comes_into_the_store(station: Station, shelf: Path, mlflow: MlflowShelf) -> None:
    """Then the alias moves to the next version, and that comes as well."""
    register(mlflow, "1", make_bundle(shelf, "bottle@1.0.0", key=station.key))
    source = MlflowSource(Http(mlflow.url))
    station.pull(source, CHAMPION)
    register(mlflow, "2", make_bundle(shelf, "bottle@1.1.0", key=station.key))
    station.pull(source, "bottle-model/1")
    assert station.listed == ["bottle@1.0.0"]
    station.pull(source, CHAMPION)
    assert station.listed == ["bottle@1.0.0", "bottle@1.1.0"]


def test_the_run_and_its_data_sets_are_known(
    station: Station, shelf: Path, mlflow: MlflowShelf
) -> None:
    """By alias or by version; of a run that the server forgot, only the id."""
    register(mlflow, "3", make_bundle(shelf, key=station.key))
    mlflow.runs["bottle-model", "3"] = "8fa1"
    mlflow.inputs["8fa1"] = ["line3-2026-10"]
    source = MlflowSource(Http(mlflow.url))
    for which, alias in ((CHAMPION, "champion"), ("bottle-model/3", None)):
        (offered,) = source.offered("bottle", which)
        origin = offered.origin
        assert (origin.name, origin.version, origin.alias) == ("bottle-model", "3", alias)
        assert (origin.run_id, origin.datasets) == ("8fa1", ("line3-2026-10",))
    mlflow.inputs.clear()
    (offered,) = source.offered("bottle", CHAMPION)
    assert (offered.origin.run_id, offered.origin.datasets) == ("8fa1", ())
    mlflow.runs.clear()
    (offered,) = source.offered("bottle", CHAMPION)
    assert offered.origin.run_id is None


def test_a_bundle_that_was_logged_as_one_folder(
    station: Station, shelf: Path, mlflow: MlflowShelf
) -> None:
    """`mlflow.log_artifacts(folder, "bundle")` puts it one folder deeper, beside other files."""
    run = shelf / "0/run/artifacts"
    made = make_bundle(shelf, key=station.key)
    run.mkdir(parents=True)
    made.rename(run / "bundle")
    (run / "MLmodel").write_text("flavors: {}\n")
    register(mlflow, "1", run)
    station.pull(MlflowSource(Http(mlflow.url)), CHAMPION)
    assert station.listed == ["bottle@1.0.0"]


def test_the_alias_moves_to_another_bundle_of_the_same_version(
    station: Station, shelf: Path, mlflow: MlflowShelf
) -> None:
    """A version is pinned by its digest at first sight."""
    source = MlflowSource(Http(mlflow.url))
    register(mlflow, "1", make_bundle(shelf, key=station.key))
    station.pull(source, CHAMPION)
    other = make_bundle(shelf / "other", weights=noise("other"), key=station.key)
    register(mlflow, "2", other)
    with pytest.raises(BundleError, match=r"another bottle@1\.0\.0") as refused:
        station.pull(source, CHAMPION)
    assert refused.value.code is Code.INVALID_BUNDLE


def test_a_server_that_breaks_off(station: Station, shelf: Path, mlflow: MlflowShelf) -> None:
    """It knows no ranges: the file is read again from its beginning, and is right."""
    register(mlflow, "1", make_bundle(shelf, weights=noise("x", 300_000), key=station.key))
    mlflow.hang_ups = 3
    station.pull(MlflowSource(Http(mlflow.url)), CHAMPION)
    assert station.listed == ["bottle@1.0.0"]


def test_what_cannot_be_read_is_said(station: Station, shelf: Path, mlflow: MlflowShelf) -> None:
    """An alias that is not there; artifacts that lie elsewhere; a server that is no MLflow."""
    source = MlflowSource(Http(mlflow.url))
    with pytest.raises(BundleError, match="has no bottle-model@champion"):
        station.pull(source, CHAMPION)
    mlflow.versions["bottle-model", "1"] = "s3://bucket/models/1"
    with pytest.raises(BundleError, match=r"not on .* itself, but at s3:"):
        station.pull(source, "bottle-model/1")
    (shelf / "api/2.0/mlflow/registered-models").mkdir(parents=True)
    with pytest.raises(BundleError):
        station.pull(source, "other-model/1")


PYTHON = os.environ.get("EDGE_DAEMON_MLFLOW_PYTHON", "")
"""A Python with mlflow in it; the test below runs only where it is given."""

_REGISTER = """
import sys, mlflow
from mlflow.entities import Dataset, DatasetInput
mlflow.set_tracking_uri(sys.argv[1])
client = mlflow.MlflowClient()
with mlflow.start_run() as run:
    mlflow.log_artifacts(sys.argv[2], "bundle")
    client.log_inputs(run.info.run_id, [DatasetInput(Dataset("line3-2026-10", "9f", "local", "."))])
client.create_registered_model("bottle-model")
source = f"{run.info.artifact_uri}/bundle"
made = client.create_model_version("bottle-model", source, run.info.run_id)
client.set_registered_model_alias("bottle-model", "champion", made.version)
"""


@pytest.mark.skipif(not shutil.which(PYTHON), reason="needs EDGE_DAEMON_MLFLOW_PYTHON")
@pytest.mark.timeout(300)
def test_a_real_mlflow_server(station: Station, shelf: Path, tmp_path: Path) -> None:
    """Logged, registered and named by MLflow's own client; pulled by ours."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url, made = f"http://127.0.0.1:{port}", make_bundle(shelf, key=station.key)
    kept = f"sqlite:///{tmp_path}/mlflow.db"
    command = [PYTHON, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    options = ["--backend-store-uri", kept, "--artifacts-destination", str(tmp_path / "kept")]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    with (tmp_path / "mlflow.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, *options],
            stdout=log,
            stderr=log,
            env=environment,
            cwd=tmp_path,
            start_new_session=True,
        )
    try:
        _await(f"{url}/health")
        client = [PYTHON, "-c", _REGISTER, url, str(made)]
        subprocess.run(client, check=True, env=environment, cwd=tmp_path)
        source = MlflowSource(Http(url))
        station.pull(source, CHAMPION)
        (offered,) = source.offered("bottle", CHAMPION)
        origin = offered.origin_of(read_manifest(made), 1.0)
        told = Outcome("r1", "bottle@1.0.0", "stopped: low_light -7 pts", True, origin)
        MlflowTags(Http(url), "line3-cam1").write(told, bytes)
        query = f"name=bottle-model&version={origin.version}"
        with urlopen(f"{url}/api/2.0/mlflow/model-versions/get?{query}") as answer:
            tags = json.loads(answer.read())["model_version"]["tags"]
        gone = replace(told, origin=replace(origin, version="99"))
        with pytest.raises(BundleError, match="takes no tag"):
            MlflowTags(Http(url), "line3-cam1").write(gone, bytes)
    finally:
        os.killpg(server.pid, 15)
        server.wait(20)
    assert station.listed == ["bottle@1.0.0"]
    assert (origin.datasets, len(origin.run_id or "")) == (("line3-2026-10",), 32)
    assert tags == [{"key": "edge.line3-cam1", "value": "stopped: low_light -7 pts"}]


def _await(url: str) -> None:
    give_up_at = time.monotonic() + 120
    while time.monotonic() < give_up_at:
        with suppress(URLError, ConnectionError), urlopen(url):
            return
        time.sleep(0.2)
    raise TimeoutError(f"{url} does not answer")
