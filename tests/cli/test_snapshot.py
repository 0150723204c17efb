"""A picture on the station itself, with no broker anywhere."""

from __future__ import annotations

from pathlib import Path

from typer.testing import CliRunner

from edge_daemon.cli.main import app
from tests.sim.device import Device
from tests.sim.mosquitto import free_port

V1 = "bottle@1.0.0"


def snapshot(device: Device, folder: Path, *words: str) -> tuple[int, str]:
    command = ["snapshot", "--config", str(device.config), "-o", str(folder / "now.jpg"), *words]
    result = CliRunner().invoke(app, command)
    return result.exit_code, result.output


def test_a_picture_comes_without_a_broker(tmp_path: Path) -> None:
    """By itself where the broker is away, at once with --local; the token is known."""
    (tmp_path / "token").write_text("secret")
    http = {"listen": f"127.0.0.1:{free_port()}", "token_file": str(tmp_path / "token")}
    with Device(V1, settings={"http": http}) as device:
        device.await_active(V1)
        for words in ((), ("--local",)):
            code, said = snapshot(device, tmp_path, *words)
            assert code == 0, said
            assert (tmp_path / "now.jpg").read_bytes().startswith(b"\xff\xd8")
            (tmp_path / "now.jpg").unlink()


def test_without_a_page_or_a_daemon_it_says_so(tmp_path: Path) -> None:
    """69 and a sentence; nothing is written."""
    device = Device(V1)
    assert snapshot(device, tmp_path, "--local")[0] == 69
    listening = Device(V1, settings={"http": {"listen": f"127.0.0.1:{free_port()}"}})
    code, said = snapshot(listening, tmp_path, "--local")
    assert code == 69
    assert "No status page answers" in said
    assert not (tmp_path / "now.jpg").exists()
