"""Each file that a person hands over, with each bad content: a sentence and the right exit code."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edge_daemon.cli.main import app
from edge_daemon.config import load, read_desired
from edge_daemon.errors import BundleError, ConfigurationError
from edge_daemon.models.bundle import read_manifest
from edge_daemon.models.trust import Trust, sign
from tests.sim.bad_files import BAD_TEXTS
from tests.sim.bundles import make_bundle
from tests.sim.device import Device

KINDS = {**BAD_TEXTS, "empty": (Path.touch, "")}

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bad(kind: str, tmp_path: Path) -> Path:
    path = tmp_path / "handed-over"
    KINDS[kind][0](path)
    return path


@pytest.fixture(scope="module")
def still() -> Iterator[Device]:
    device = Device("bottle@1.0.0")
    yield device
    shutil.rmtree(device.folder)


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, words)
    assert "fault of edge-daemon" not in result.output
    assert "Traceback" not in result.output
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    "words",
    [("config", "validate"), ("config", "show", "-c"), ("run", "-c"), ("check", "-c")],
    ids=" ".join,
)
def test_settings_are_a_bad_configuration(bad: Path, kind: str, words: tuple[str, ...]) -> None:
    """78, with the file, the line, and the byte or character."""
    code, said = run(*words, str(bad))
    assert code == 78
    assert f"{bad}:" in "".join(said.split()) or f"{bad}:" in said
    assert "".join(KINDS[kind][1].split()) in "".join(said.split())


def test_a_desired_state_is_a_finding(bad: Path, kind: str) -> None:
    """It changes nothing, and the sentence goes into health."""
    wished, findings = read_desired(bad, {})
    assert wished is None
    assert KINDS[kind][1] in str(findings[0])


def test_a_payload_is_refused(bad: Path, kind: str, still: Device) -> None:
    """1; an empty one is a topic that was cleared, and a long tail of zeros no JSON."""
    words = ("orders", "test", "--topic", "mes/orders", str(bad), "--config", str(still.config))
    code, said = run(*words)
    assert (code, bool(said)) == (0 if kind == "empty" else 1, True)


def test_a_key_is_a_bad_configuration(bad: Path, tmp_path: Path) -> None:
    """Of the settings, and of `models sign`."""
    with pytest.raises(ConfigurationError, match="handed-over"):
        Trust([bad])
    with pytest.raises(ConfigurationError, match="handed-over"):
        sign(make_bundle(tmp_path / "store"), bad)


def test_a_secret_is_a_bad_configuration(bad: Path, kind: str, tmp_path: Path) -> None:
    """The password and the token, by the key that names them."""
    file = tmp_path / "cam1.yaml"
    file.write_text(
        'device: cam1\ncamera: {source: "conveyor:"}\nmodels: {trust: {required: false}}\n'
        "mqtt: {username: kim, password_file: handed-over}\nhttp: {token_file: handed-over}\n"
    )
    settings = load(file)
    for key, read in (
        ("mqtt.password_file", settings.mqtt.read_password),
        ("http.token_file", settings.http.read_token),
    ):
        with pytest.raises(ConfigurationError, match=key) as caught:
            read()
        assert KINDS[kind][1] in caught.value.message


@pytest.mark.parametrize("key", ["ca", "key"])
def test_a_tls_file_is_a_bad_configuration(
    bad: Path, kind: str, still: Device, key: str, tmp_path: Path
) -> None:
    """Told by whoever connects, which never waits for a pipe; an empty one is no PEM either."""
    other = "" if key == "ca" else f", certificate: {still.config}"
    file = tmp_path / "cam1.yaml"
    file.write_text(
        'device: cam1\ncamera: {source: "conveyor:"}\nmodels: {trust: {required: false}}\n'
        f"mqtt: {{tls: {{{key}: {bad}{other}}}}}\n"
    )
    code, said = run("status", "--config", str(file))
    assert (code, "mqtt.tls" in said) == (78, True)


def test_a_manifest_is_a_bad_bundle(kind: str, tmp_path: Path) -> None:
    """It is refused like every other that is wrong."""
    manifest = make_bundle(tmp_path / "store") / "model.yaml"
    manifest.unlink()
    KINDS[kind][0](manifest)
    with pytest.raises(BundleError, match=r"model\.yaml"):
        read_manifest(manifest.parent)
