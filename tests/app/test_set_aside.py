"""A damaged file of the state folder keeps no line from running; it is kept, and told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_daemon import config
from edge_daemon.cli.journal import Records
from edge_daemon.host.health import BROKER_AWAY
from tests.sim.device import Device, wait_until

B1 = "bottle@1.0.0"

DAMAGE: dict[str, Callable[[Path], object]] = {
    "garbage": lambda path: path.write_bytes(b"\x00\xffgarbage" * 300),
    "0 bytes": Path.touch,
    "a folder": lambda path: (path / "inner").mkdir(parents=True),
    "unreadable": lambda path: path.symlink_to(path.name),  # for root too
}

NEVER_RIGHT = ("journal.db", "audit.anchor", "bundles.json", "desired.json")
"""None of the four can be what the station wrote; of the others some can."""
OTHERS = ("journal.db-wal", "journal.recovering", "lock", "reserve", "scratch", "control.sock")


def started(device: Device) -> None:
    assert device.daemon is not None
    counts = device.daemon.frames.ledger.counts
    wait_until(lambda: counts().inspected > 5, "frames")


def broken(folder: Path, name: str) -> list[str]:
    return sorted(path.name for path in folder.glob(f"{name}.broken-*"))


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", [*NEVER_RIGHT, *OTHERS])
def test_the_line_runs_whatever_lies_there(name: str, damage: str) -> None:
    """What was set aside stands in health and in the audit trail; the next start is clean."""
    device = Device(B1)
    wish = device.folder / "desired.yaml"
    wish.write_text("hold: false")
    with device.config.open("a") as settings:
        settings.write(f"desired: {{file: {wish}}}\n")
    folder = device.folder / "state" / "cam1"
    folder.mkdir(parents=True)
    DAMAGE[damage](folder / name)
    with device:
        started(device)
        assert device.daemon is not None
        kept = broken(folder, name)
        assert kept or name not in NEVER_RIGHT
        problems = " ".join(device.daemon.monitor.problems())
        assert (f"{name} " in problems) is bool(kept)
        device.daemon.stop()
        device.daemon = None
        trail = Records(config.load(device.config)).audit(100, heads=())
        assert trail["faults"] == []
        told = [row["body"].get("why", "") for row in trail["rows"]]
        assert any(f"{name} " in why for why in told) is bool(kept)
        device.start()
        started(device)
        assert broken(folder, name) == kept
        assert f"{name} " not in " ".join(device.daemon.monitor.problems())


def test_what_is_whole_is_left_alone() -> None:
    """A second start finds what the first one wrote, and has nothing to tell."""
    with Device(B1) as device:
        started(device)
        assert device.daemon is not None
        device.daemon.stop()
        folder = device.folder / "state" / "cam1"
        seen = json.loads((folder / "bundles.json").read_bytes())
        device.start()
        started(device)
        assert json.loads((folder / "bundles.json").read_bytes()) == seen
        assert device.daemon.monitor.problems() == (BROKER_AWAY,)
        assert not list(folder.glob("*.broken-*"))
