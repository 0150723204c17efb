"""The whole daemon follows the file that its settings name, with nobody else to command it."""

from __future__ import annotations

import json
import os
from pathlib import Path

from tests.sim.device import Device, wait_until


def test_a_daemon_follows_its_file(tmp_path: Path) -> None:
    """A new content is swapped to without a broker; a bad one stands in health, nothing else."""
    file = tmp_path / "desired.yaml"

    def replace(text: str) -> None:
        (tmp_path / "new").write_text(text)
        os.replace(tmp_path / "new", file)

    replace("models: {BTL: bottle@1.0.0}")
    settings = {"desired": {"file": str(file)}}
    with Device("bottle@1.0.0", "bottle@1.1.0", settings=settings) as device:
        device.await_active("bottle@1.0.0")
        replace("models: {BTL: bottle@1.1.0}\nreason: rollout 7")
        device.await_active("bottle@1.1.0")
        replace("models: {BTL: bottle}")
        daemon = device.daemon
        assert daemon is not None
        wait_until(lambda: "desired.yaml:1: models.BTL" in str(daemon.monitor.problems()), "told")
        assert device.active == "bottle@1.1.0"
        receipts = [json.loads(row.body) for row in daemon.resources.journal.history()]
        swap = next(each for each in receipts if each["to"] == "bottle@1.1.0")
        assert (swap["by"], swap["reason"]) == ("desired-state", "rollout 7")
        lines = [json.loads(line) for line in device.log.read_text().splitlines()]
    refused = [line for line in lines if line["event"] == "desired_state_refused"]
    assert [(line["line"], line["key"], line["level"]) for line in refused] == [
        (1, "models.BTL", "error")
    ]
