"""MLflow's registry: an alias or a version leads to artifacts, and those are a bundle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest
from structlog.testing import capture_logs

from edge_daemon.errors import BundleError, Code
from edge_daemon.models.bundle import read_manifest
from edge_daemon.sources.fetch import fetch, look
from edge_daemon.sources.http import Http
from edge_daemon.sources.mlflow import MlflowSource
from edge_daemon.sources.mlflow_tags import MlflowTags
from edge_daemon.sources.pace import Pace
from edge_daemon.sources.source import SourceAway
from edge_daemon.sources.write_back import Outcome
from tests.sim import mlflow_server
from tests.sim.bundles import make_bundle, noise
from tests.sim.mlflow import Bucket, MlflowShelf
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
    """It goes on within the file: nothing comes twice."""
    made = make_bundle(shelf, weights=noise("x", 300_000), key=station.key)
    register(mlflow, "1", made)
    mlflow.hang_ups = 3
    (fetched,) = station.pull(MlflowSource(Http(mlflow.url)), CHAMPION)
    assert (fetched.is_new, fetched.again_bytes) == (True, 0)
    assert mlflow.sent[f"{made.relative_to(shelf)}/weights.pt"] == 300_000
    assert station.listed == ["bottle@1.0.0"]


def test_a_server_that_has_a_bucket(station: Station, shelf: Path, mlflow: MlflowShelf) -> None:
    """It gives out whole files only; the rest comes from the bucket, whose address it signs."""
    made = make_bundle(shelf, weights=noise("x", 300_000), key=station.key)
    register(mlflow, "1", made)
    mlflow.hang_ups = 3
    with Bucket(shelf).serving() as bucket:
        mlflow.keep_in(bucket.url)
        bucket.hang_ups = 2
        source = MlflowSource(Http(mlflow.url, authorization=lambda: "Bearer ours"))
        (fetched,) = station.pull(source, CHAMPION)
    weights = f"{made.relative_to(shelf)}/weights.pt"
    assert 0 < mlflow.sent[weights] < 300_000
    assert mlflow.sent[weights] + bucket.sent[weights] == 300_000
    assert set(bucket.headers) == {None}, "our credentials are the server's alone"
    assert fetched.again_bytes == 0
    assert station.listed == ["bottle@1.0.0"]


@pytest.mark.parametrize("bucket", ["http://127.0.0.1:1", "file:///etc", "nowhere", ""])
def test_a_bucket_that_cannot_be_reached(
    station: Station, shelf: Path, mlflow: MlflowShelf, bucket: str
) -> None:
    """The server answers 200 whatever is asked: the file begins anew, and that is told."""
    made = make_bundle(shelf, weights=noise("x", 300_000), key=station.key)
    register(mlflow, "1", made)
    mlflow.keep_in(bucket)
    mlflow.hang_ups = 3
    with capture_logs() as logged:
        (fetched,) = station.pull(MlflowSource(Http(mlflow.url)), CHAMPION)
    assert mlflow.sent[f"{made.relative_to(shelf)}/weights.pt"] == 300_000 + fetched.again_bytes
    anew = [each["at"] for each in logged if each["event"] == "source_begins_anew"]
    assert sum(anew) == fetched.again_bytes > 0
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


@pytest.mark.skipif(not mlflow_server.is_installed(), reason="needs EDGE_DAEMON_MLFLOW_PYTHON")
@pytest.mark.timeout(300)
def test_a_real_mlflow_server(station: Station, shelf: Path, tmp_path: Path) -> None:
    """Logged, registered and named by MLflow's own client; pulled by ours, in two parts."""
    made = make_bundle(shelf, weights=noise("x", 6_000_000), key=station.key)
    with mlflow_server.running(tmp_path / "mlflow", str(tmp_path / "kept")) as server:
        server.register(made)
        source = MlflowSource(Http(server.url))
        (offered,) = source.offered("bottle", CHAMPION)
        manifest = look(source, offered, "bottle", station.target, station.pace)
        chunks = iter(range(18))
        stopping = Pace(wait=lambda _: next(chunks, None) is None)
        with pytest.raises(SourceAway):
            fetch(source, offered, manifest, station.target, stopping)
        assert 0 < station.came < 6_000_000
        (fetched,) = station.pull(source, CHAMPION)
        origin = offered.origin_of(read_manifest(made), 1.0)
        told = Outcome("r1", "bottle@1.0.0", "stopped: low_light -7 pts", True, origin)
        MlflowTags(Http(server.url), "line3-cam1").write(told, bytes)
        query = f"name=bottle-model&version={origin.version}"
        with urlopen(f"{server.url}/api/2.0/mlflow/model-versions/get?{query}") as answer:
            tags = json.loads(answer.read())["model_version"]["tags"]
        gone = replace(told, origin=replace(origin, version="99"))
        with pytest.raises(BundleError, match="takes no tag"):
            MlflowTags(Http(server.url), "line3-cam1").write(gone, bytes)
    assert station.listed == ["bottle@1.0.0"]
    assert (fetched.again_bytes, station.came) == (0, fetched.size_bytes), "it goes on in the file"
    assert (origin.datasets, len(origin.run_id or "")) == (("line3-2026-10",), 32)
    assert tags == [{"key": "edge.line3-cam1", "value": "stopped: low_light -7 pts"}]
