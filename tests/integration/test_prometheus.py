"""A real Prometheus, with the files that are shipped, and a real daemon."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.sim.device import Device, wait_until
from tests.sim.mosquitto import free_port

CONFIGS = Path(__file__).parents[2] / "configs/prometheus"
PROGRAM = shutil.which("prometheus")
TOKEN = "for-the-page"

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="prometheus is not on this machine")


class Prometheus:
    """The server, looking at one page every second."""

    def __init__(self, folder: Path, page_port: int) -> None:
        self.port = free_port()
        (folder / "page.token").write_text(TOKEN)
        shutil.copy(CONFIGS / "alerts.yml", folder)
        document = yaml.safe_load((CONFIGS / "prometheus.yml").read_text())
        document["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        job = document["scrape_configs"][0]
        job["authorization"]["credentials_file"] = str(folder / "page.token")
        job["static_configs"][0]["targets"] = [f"127.0.0.1:{page_port}"]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(document))
        with (folder / "log").open("w") as log:
            self._process = subprocess.Popen(
                [
                    str(PROGRAM),
                    f"--config.file={folder}/prometheus.yml",
                    f"--storage.tsdb.path={folder}/data",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdout=log,
                stderr=log,
            )

    def ask(self, path: str) -> Any:
        """What its API says; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}") as answer:
                return json.load(answer)["data"]
        except OSError:
            return None

    def value(self, series: str) -> float | None:
        found = (self.ask(f"query?query={series}") or {"result": []})["result"]
        return float(found[0]["value"][1]) if found else None

    def rule(self, name: str) -> dict[str, Any]:
        groups = (self.ask("rules") or {"groups": []})["groups"]
        return next((r for group in groups for r in group["rules"] if r["name"] == name), {})

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[tuple[Device, Prometheus]]:
    """A station without its broker, behind a token, and who watches it."""
    (tmp_path / "token").write_text(TOKEN)
    http = {"listen": "127.0.0.1:0", "token_file": str(tmp_path / "token")}
    with Device("bottle@1.0.0", settings={"http": http}) as device:
        device.await_active("bottle@1.0.0")
        assert device.daemon is not None
        prometheus = Prometheus(tmp_path, device.daemon.http_port)
        try:
            yield device, prometheus
        finally:
            prometheus.stop()


def test_prometheus_reads_the_station_and_its_rules(watched: tuple[Device, Prometheus]) -> None:
    """The target is up, every shipped rule is evaluated without a fault, and one sees a fault."""
    _, prometheus = watched
    wait_until(lambda: prometheus.value("up") == 1.0, "the target")
    wait_until(lambda: (prometheus.value("edge_frames_captured_total") or 0) > 0, "frames")
    wait_until(lambda: prometheus.rule("BrokerAway").get("state") == "pending", "an alert")
    shipped = yaml.safe_load((CONFIGS / "alerts.yml").read_text())
    names = [rule["alert"] for group in shipped["groups"] for rule in group["rules"]]
    wait_until(
        lambda: all(prometheus.rule(name).get("health") == "ok" for name in names), "every rule"
    )
    assert prometheus.rule("StationAway")["state"] == "inactive"
    assert prometheus.rule("CameraAway")["state"] == "inactive"
