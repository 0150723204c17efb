"""SIGHUP to the real process: a good file counts at once, a bad one changes nothing."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.sim.device import wait_until
from tests.sim.fork_parent import ForkParent
from tests.sim.line import Subscriber, make_store, settings_for
from tests.sim.mosquitto import Mosquitto

pytestmark = pytest.mark.broker

B1, CAN = "bottle@1.0.0", "can@1.0.0"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: a Unix socket's path has a limit of 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="edk-") as made:
        make_store(Path(made))
        yield Path(made)


def test_links_change_under_a_running_order_and_a_bad_file_changes_nothing(
    folder: Path, broker: Mosquitto
) -> None:
    """The order's frames need the newly linked model; a file with a fault leaves all as it was."""
    slots = {"count": 2, "isolation": "thread", "spare": "off"}
    document = settings_for(folder, broker, slots=slots).model_dump(mode="json")
    config, log = folder / "cam1.yaml", folder / "log"
    config.write_text(yaml.safe_dump(document))
    ear = Subscriber(broker)
    with ForkParent(log) as fork_parent:
        life = fork_parent.start(config)

        def reload_with(**groups: Any) -> None:
            config.write_text(yaml.safe_dump({**document, **groups}))
            life.send(signal.SIGHUP)

        ear.until(lambda: bool(ear.results))
        ear.publish("mes/orders", {"workOrder": "1", "productCode": "CAN", "status": "running"})
        ear.until(lambda: ear.results[-1]["model"] == CAN)
        reload_with(links={"CAN": "bottle"}, kamera={})
        wait_until(lambda: "reload_refused" in log.read_text(), "the refusal")
        heard = len(ear.results)
        ear.until(lambda: len(ear.results) > heard + 30)
        assert {r["model"] for r in ear.results[heard:]} == {CAN}
        config.write_bytes(yaml.safe_dump(document).encode() + b"# Line 3 \xc2\x96 Hall\n\0\0")
        life.send(signal.SIGHUP)
        wait_until(lambda: "U+0096" in log.read_text(), "the refusal of a control character")
        heard = len(ear.results)
        ear.until(lambda: len(ear.results) > heard + 30)
        reload_with(links={"CAN": "bottle"})
        ear.until(lambda: ear.results[-1]["model"] == B1)
        assert ear.results[-1]["product"] == "CAN"
        life.end(signal.SIGTERM)
    ear.close()
    assert ear.marks_wrong == []
