"""`drill` swaps under load and believes only what a subscriber sees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge_daemon.cli.drill_faults import standby_workers
from edge_daemon.cli.drill_run import quantile, spread
from edge_daemon.cli.main import app
from edge_daemon.messaging import payloads
from edge_daemon.messaging.topics import Topics
from tests.sim.device import Device
from tests.sim.mosquitto import Mosquitto

B1, B2 = "bottle@1.0.0", "bottle@1.1.0"


@pytest.fixture
def device(broker: Mosquitto) -> Iterator[Device]:
    with Device(B1, B2, broker=broker) as device:
        device.await_active(B1, online=True)
        yield device


def drill(device: Device, *arguments: str) -> tuple[int, dict[str, Any]]:
    result = CliRunner().invoke(
        app, ["drill", *arguments, "--json", "--config", str(device.config)]
    )
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.stdout, result.stderr
    return result.exit_code, json.loads(result.stdout)


@pytest.mark.broker
def test_a_drill_swaps_back_and_forth_and_loses_nothing(device: Device) -> None:
    """Every cutover verified, every frame judged by the model that the receipts say."""
    code, report = drill(device, "--swaps", "6")
    assert code == 0, report
    assert report["faults"] == []
    assert report["swaps"]["succeeded"] == report["swaps"]["asked"] == 8  # two lead home
    assert report["cutovers_verified"] == 8
    assert set(report["by_model"]) == {B1, B2}
    assert report["frames"]["inspected"] == report["frames"]["captured"]
    assert report["pause_ms"]["p99"] is not None
    assert report["accepted_ms"]["p50"] > 0


@pytest.mark.broker
def test_a_drill_leaves_the_station_as_it_was(device: Device) -> None:
    """The model from before, nothing in quarantine, nothing of its own in the store."""
    before = sorted(path for path in device.store.rglob("model.yaml"))
    code, report = drill(device, "--swaps", "3", "--faults")
    assert code == 0, report
    assert device.active == B1
    assert report["planted_faults"] == {"corrupt bundles": 3}
    assert report["rollback_frames"]
    assert sorted(path for path in device.store.rglob("model.yaml")) == before
    assert device.daemon is not None
    assert device.daemon.control.driver.state.durable.quarantined == ()


@pytest.mark.broker
@pytest.mark.parametrize("lie", ["lose", "double", "relabel"])
def test_a_daemon_that_loses_frames_is_caught(
    device: Device, monkeypatch: pytest.MonkeyPatch, lie: str
) -> None:
    """One result in fifty is kept back, doubled or given to the other model: exit 1, named."""
    daemon = device.daemon
    assert daemon is not None
    session, topic = daemon.control.session, Topics(daemon.settings.root).result
    honest = session.publish

    def lying(at: str, payload: bytes, **how: Any) -> Any:
        said = json.loads(payload) if at == topic else {}
        if said.get("frame", 1) % 50 != 0:
            return honest(at, payload, **how)
        if lie == "lose":
            return None
        if lie == "double":
            honest(at, payload, **how)
        else:
            other = B2 if said["model"] == B1 else B1
            payload = payloads.encode({**said, "model": other})
        return honest(at, payload, **how)

    monkeypatch.setattr(session, "publish", lying)
    monkeypatch.setattr("edge_daemon.cli.drill_run.SETTLE_S", 0.5)
    code, report = drill(device, "--swaps", "3", "--frames", "60")
    assert code == 1
    assert report["faults"]


@pytest.mark.broker
def test_the_receipt_of_the_run_reads_well(device: Device) -> None:
    """For people: the figures, and the verdict in one line."""
    result = CliRunner().invoke(
        app, ["drill", "--swaps", "2", "--models", B1, B2, "--config", str(device.config)]
    )
    assert result.exit_code == 0, result.output
    assert "Nothing was lost." in result.output
    assert "each at exactly the frame of its receipt" in result.output
    assert "request → active" in result.output


@pytest.mark.broker
def test_a_drill_needs_two_versions(broker: Mosquitto) -> None:
    """With one version there is nothing to swap to: told, with how to add one."""
    with Device(B1, broker=broker, settings={"device": "cam9"}) as device:
        device.await_active(B1, online=True)
        result = CliRunner().invoke(app, ["drill", "--config", str(device.config)])
    assert result.exit_code == 1
    assert "models add" in result.output


def test_a_drill_needs_every_result() -> None:
    """results.publish: ng hides what a drill must see: a matter of the settings."""
    device = Device(B1, settings={"results": {"publish": "ng"}})
    result = CliRunner().invoke(app, ["drill", "--config", str(device.config)])
    assert result.exit_code == 78
    assert "results.publish" in result.output


def test_only_a_worker_that_gives_way_counts_as_standing_by(tmp_path: Path) -> None:
    """A child of the daemon's process, by its module's name, with lowered priority."""
    text = "import sys, os; os.nice(int(sys.argv[1])); print(flush=True); sys.stdin.read()"
    name = "edge_daemon.slots.worker"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", text, nice, word],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for nice, word in (("0", name), ("5", name), ("5", "another"))
    ]
    try:
        for child in children:
            assert child.stdout is not None
            child.stdout.readline()
        (tmp_path / "lock").write_text(f"{os.getpid()}\n")
        assert list(standby_workers(tmp_path)) == [children[1].pid]
    finally:
        for child in children:
            child.kill()
            child.communicate()


def test_quantiles_of_few_and_none() -> None:
    """One value is its own p99; none have none."""
    assert quantile([], 0.5) is None
    assert spread([3.0]) == {"p50": 3.0, "p99": 3.0, "max": 3.0}
    assert spread(range(100))["p99"] == 99


@pytest.mark.broker
def test_a_drill_that_no_daemon_hears_says_so(fresh_broker: Mosquitto) -> None:
    """The broker runs: that it should be started is no next step."""
    device = Device(B1, B2, broker=fresh_broker)
    words = ["drill", "--models", B1, B2, "--frames", "0", "--config", str(device.config)]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 69
    assert "No daemon listens on" in done.stderr
    assert "Is it running, and on this broker?" in done.stderr
