"""`models optimize` with real weights: built, proven and stored; refusals in words."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from edge_daemon.cli.main import app
from edge_daemon.host.gpu import open_gpu
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust, generate_keypair, sign

BUNDLE = Path("edge_daemon/demo/bundles/bottle/1.1.0")


@pytest.fixture
def station(tmp_path: Path) -> Path:
    """A device that takes signed bundles only; returns its settings file."""
    place = tmp_path / "models" / "bottle" / "1.1.0"
    shutil.copytree(BUNDLE, place)
    key, public = generate_keypair(tmp_path)
    sign(place, key)
    settings = {
        "device": "cam",
        "camera": {"source": "conveyor:"},
        "models": {"store": "models", "trust": {"public_keys": [public.name], "required": True}},
        "state_dir": "state",
    }
    file = tmp_path / "station.yaml"
    file.write_text(yaml.safe_dump(settings))
    return file


def optimize(station: Path, *arguments: str) -> tuple[int, str]:
    command = ["models", "optimize", *arguments, "--config", str(station)]
    result = CliRunner().invoke(app, command)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_a_device_that_wants_signatures_asks_for_the_key_first(station: Path) -> None:
    """Nothing is built for minutes that could not be stored."""
    code, output = optimize(station, "bottle@1.1.0")
    assert code == 1
    assert "--key" in output


def test_a_missing_library_is_named_with_its_extra(station: Path) -> None:
    """What a box lacks is said before anything is built."""
    key = str(station.parent / "signing.key")
    code, output = optimize(station, "bottle@1.1.0", "--for", "tensorrt", "--key", key)
    assert code == 1
    assert "edge-daemon[tensorrt]" in output


@pytest.mark.model
@pytest.mark.timeout(300)
def test_the_engine_is_proven_signed_stored_and_not_built_twice(station: Path) -> None:
    """Box by box like its parent, vouched for by the operator's key, linked by digest."""
    key = str(station.parent / "signing.key")
    arguments = ("bottle@1.1.0", "--for", "onnx", "--key", key, "--anyway", "--json")
    code, output = optimize(station, *arguments)
    assert code == 0, output
    (report,) = _json(output)
    assert report["model"] == "bottle@1.1.0+onnx"
    assert report["agreement"]["images"] == 22
    assert report["agreement"]["differences"] == 0
    store = Store(station.parent / "models")
    parent, child = (store.manifest(known.ref) for known in store.available())
    assert child.lineage["parent_sha256"] == parent.weights.sha256
    place = station.parent / "models/bottle/1.1.0+onnx"
    assert Trust((station.parent / "signing.pub",), True).verify(place) is not None
    (again,) = _json(optimize(station, *arguments)[1])
    assert (again["model"], again["built"]) == ("bottle@1.1.0+onnx", False)


@pytest.mark.gpu
@pytest.mark.skipif(open_gpu("cuda:0", {}) is None, reason="no device")
@pytest.mark.skipif(find_spec("tensorrt") is None, reason="no TensorRT")
@pytest.mark.timeout(1800)
def test_tensorrt_builds_on_this_gpu(station: Path) -> None:
    """The engine of a CUDA device, half precision, as close to its parent as the limits ask."""
    plain = yaml.safe_load(station.read_text())
    station.write_text(yaml.safe_dump({**plain, "slots": {"device": "cuda:0"}}))
    key = str(station.parent / "signing.key")
    code, output = optimize(station, "bottle@1.1.0", "--key", key, "--json")
    assert code == 0, output
    (report,) = _json(output)
    assert report["model"] == "bottle@1.1.0+tensorrt"
    assert report["agreement"]["differences"] == 0


def _json(output: str) -> Any:
    return json.loads(output[output.index("[\n") :])
