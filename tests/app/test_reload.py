"""SIGHUP: what may change at once does, the rest is named, and a bad file changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge_daemon import config
from edge_daemon.cli.journal import Records
from edge_daemon.cli.run import reload
from edge_daemon.config import Settings
from edge_daemon.models.bundle import digest_of
from edge_daemon.models.trust import generate_keypair, sign
from tests.sim.bad_files import BAD_TEXTS
from tests.sim.device import Device, wait_until

B1, B2 = "bottle@1.0.0", "bottle@2.0.0"


def reloaded(device: Device, **groups: Any) -> Settings:
    """The file edited and read anew; the settings that count then."""
    assert device.daemon is not None
    document = yaml.safe_load(device.config.read_text())
    device.config.write_text(yaml.safe_dump({**document, **groups}))
    device.daemon.reload(config.load(device.config))
    return device.daemon.settings


def told_of_the_file(device: Device) -> list[str]:
    """Problems with the settings; a busy machine may have others."""
    assert device.daemon is not None
    problems = device.daemon.monitor.problems()
    return [each for each in problems if each.startswith("the settings file was not taken over")]


def await_frames(device: Device) -> None:
    """Ten more frames are judged."""
    assert device.daemon is not None
    counts = device.daemon.frames.ledger.counts
    judged = counts().inspected
    wait_until(lambda: counts().inspected > judged + 10, "10 frames")


def test_what_may_change_at_once_does() -> None:
    """`results.publish` and `trial` count from now on; the camera waits for a restart."""
    with Device(B1) as device:
        device.await_active(B1)
        trial = {"frames": 77, "seconds": 1.0}
        camera = {"source": "conveyor:", "fps": 12.0}
        now = reloaded(device, results={"publish": "ng"}, trial=trial, camera=camera)
        assert now.results.publish == "ng"
        assert now.trial.frames == 77
        assert now.camera.fps == 100.0
        device.await_active(B1)


def test_a_bad_file_changes_nothing(tmp_path: Path) -> None:
    """It is refused, and the last good settings stay."""
    with Device(B1) as device:
        assert device.daemon is not None
        before = device.daemon.settings
        device.config.write_text(json.dumps({"device": "cam1", "kamera": {}}))
        reload(device.daemon, device.config)
        assert device.daemon.settings is before


@pytest.mark.parametrize("kind", BAD_TEXTS)
def test_no_file_whatever_ends_the_station(kind: str) -> None:
    """Refused in the log and in health, while frames are judged; a good file ends the problem."""
    make, word = BAD_TEXTS[kind]
    with Device(B1) as device:
        daemon = device.daemon
        assert daemon is not None
        await_frames(device)
        before, good = daemon.settings, device.config.read_text()
        device.config.unlink()
        make(device.config)
        reload(daemon, device.config)
        assert daemon.settings is before
        (problem,) = told_of_the_file(device)
        assert word in problem
        assert "reload_refused" in device.log.read_text()
        await_frames(device)
        device.config.rmdir() if device.config.is_dir() else device.config.unlink()
        device.config.write_text(good)
        reload(daemon, device.config)
        assert told_of_the_file(device) == []


def test_a_fault_of_our_own_ends_no_station_either() -> None:
    """Whatever is raised while settings are read anew stops at that door."""
    with Device(B1) as device:
        assert device.daemon is not None
        await_frames(device)
        nonsense: Any = 7
        reload(device.daemon, nonsense)
        assert len(told_of_the_file(device)) == 1
        assert device.daemon.broken() is None


def test_which_settings_counted_is_on_record() -> None:
    """By their digest at each start and reload, with the keys that changed."""
    with Device(B1) as device:
        device.await_active(B1)
        reloaded(device, trial={"frames": 77, "seconds": 1.0})
        device.await_active(B1)
        assert device.daemon is not None
        device.daemon.stop()
        device.daemon = None
        trail = Records(config.load(device.config)).audit(100, heads=())
        assert trail["faults"] == []
        first, second = [row["body"] for row in trail["rows"] if row["kind"] == "settings"]
        assert (len(first["sha256"]), first["sha256"] != second["sha256"]) == (64, True)
        assert "trial.frames" in second["applied"]
        proofs = [row["body"] for row in trail["rows"] if "receipt_sha256" in row["body"]]
        assert proofs
        prepared = next(r["body"] for r in trail["rows"] if r["body"].get("event") == "prepared")
        assert [check["name"] for check in prepared["checks"][:2]] == ["integrity", "signature"]


def offered(device: Device) -> list[str]:
    assert device.daemon is not None
    return [str(known.ref) for known in device.daemon.control.driver.state.available]


def with_models(device: Device, **changes: Any) -> None:
    """The same models, but for these keys."""
    models = yaml.safe_load(device.config.read_text())["models"]
    reloaded(device, models={**models, **changes})


def test_what_is_revoked_goes_on_and_does_not_come_back() -> None:
    """Nothing is torn off the line: health asks for a swap, and nobody can ask for it again."""
    with Device(B1, B2) as device:
        assert device.daemon is not None
        device.await_active(B1)
        weights = next((device.store / "bottle" / "1.0.0").glob("weights*"))
        with_models(device, revoked=[digest_of(weights)[0]])
        problems = device.daemon.monitor.problems
        wait_until(lambda: any("not trusted any more" in each for each in problems()), "a problem")
        assert offered(device) == [B2]
        refused = dict(device.daemon.control.driver.state.refused)
        assert [(str(ref), why.code) for ref, why in refused.items()] == [(B1, "not_trusted")]
        await_frames(device)
        with_models(device, revoked=[])
        wait_until(lambda: offered(device) == [B1, B2], "the bundle again")
        assert not any("trusted" in each for each in problems())


def test_a_key_counts_from_the_reload_on_and_no_longer(tmp_path: Path) -> None:
    """One that was taken out vouches for nothing any more, one that came in does."""
    old, new = (generate_keypair(tmp_path, name) for name in ("old", "new"))
    with Device(B1, B2) as device:
        device.await_active(B1)
        sign(device.store / "bottle" / "1.0.0", old[0])
        sign(device.store / "bottle" / "2.0.0", new[0])
        with_models(device, trust={"public_keys": [str(old[1])], "required": True})
        wait_until(lambda: offered(device) == [B1], "what the old key signed")
        with_models(device, trust={"public_keys": [str(new[1])], "required": True})
        wait_until(lambda: offered(device) == [B2], "what the new key signed")
        await_frames(device)
