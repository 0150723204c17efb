"""Brokers that take no large messages: what matters still comes through, and the rest is told."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest

from tests.sim.bundles import make_bundle
from tests.sim.line import ROOT, RunningDaemon, make_store
from tests.sim.mosquitto import Mosquitto, new_mosquitto

pytestmark = pytest.mark.broker

B1, B2 = "bottle@1.0.0", "bottle@2.0.0"
LARGE = {"source": "conveyor:?size=640x480&fps=30", "buffer_frames": 64}
CLASSES = tuple(f"article class {number:03d} red" for number in range(80))


@pytest.fixture
def large_store(tmp_path: Path) -> Path:
    """78 bundles, most with 80 classes: `model/available` has about 150 kB."""
    make_store(tmp_path)
    for number in range(74):
        make_bundle(
            tmp_path / "store",
            f"coco@1.0.{number}",
            weights=b"x%d" % number,
            classes=CLASSES,
            golden=0,
        )
    return tmp_path


def mill_at(folder: Path, broker: Mosquitto, protocol: int, **parts: Any) -> RunningDaemon:
    mqtt = {"host": broker.host, "port": broker.port, "protocol": protocol}
    return RunningDaemon(folder, broker, mqtt=mqtt, **parts)


def pictures_of(broker: Mosquitto) -> queue.SimpleQueue[bytes]:
    """The pictures that a stranger sees from now on."""
    pictures: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    subscribed = threading.Event()
    stranger = paho.Client(paho.CallbackAPIVersion.VERSION2)
    stranger.on_message = lambda _, __, message: pictures.put(message.payload)
    stranger.on_subscribe = lambda *_: subscribed.set()
    stranger.connect(broker.host, broker.port)
    stranger.subscribe(f"{ROOT}/snapshot", 1)
    stranger.loop_start()
    assert subscribed.wait(60.0)
    return pictures


@pytest.fixture
def narrow() -> Iterator[Mosquitto]:
    with new_mosquitto("max_packet_size 131072") as broker:
        yield broker


@pytest.fixture
def very_narrow() -> Iterator[Mosquitto]:
    with new_mosquitto("max_packet_size 2000") as broker:
        yield broker


def available(mill: RunningDaemon) -> dict[str, Any]:
    told = [body for topic, body in mill.ear.heard if topic == "model/available"]
    return told[-1] if told else {}


def hang_ups(broker: Mosquitto) -> int:
    return broker.log().count("oversize packet")


def test_a_broker_that_hangs_up_on_a_large_offer_gets_a_smaller_one(
    large_store: Path, narrow: Mosquitto, capfd: pytest.CaptureFixture[str]
) -> None:
    """MQTT 3.1.1 knows no announced limit: it is found, told, and nothing innocent is lost."""
    with mill_at(large_store, narrow, 4) as mill:
        daemon = mill.start()
        mill.ear.until(lambda: len(available(mill).get("models", ())) == 78)
        assert available(mill)["left_out"] == ["classes"]
        results = len(mill.ear.results)
        mill.ear.until(lambda: len(mill.ear.results) > results + 20)
        assert hang_ups(narrow) <= 4
        (problem,) = daemon.monitor.problems()
        assert f"{ROOT}/model/available of 15" in problem
    assert "outbox_row_refused" not in capfd.readouterr().out


def test_a_broker_that_announces_its_limit_gets_a_smaller_offer(
    large_store: Path, narrow: Mosquitto
) -> None:
    """MQTT 5: no connection is lost, and a dashboard sees every model."""
    with mill_at(large_store, narrow, 5) as mill:
        mill.start()
        mill.ear.until(lambda: len(available(mill).get("models", ())) == 78)
        assert available(mill)["left_out"] == ["classes"]
        assert hang_ups(narrow) == 0


@pytest.mark.parametrize("protocol", [5, 4])
def test_every_request_has_one_outcome_however_little_the_broker_takes(
    tmp_path: Path, very_narrow: Mosquitto, protocol: int
) -> None:
    """The proof of a swap does not fit into 2000 bytes: the outcome and the event do."""
    with mill_at(tmp_path, very_narrow, protocol) as mill:
        mill.start()
        asked = mill.send("swap", model=B2)
        outcome = mill.outcome(asked)
        assert (outcome["status"], outcome["left_out"]) == ("succeeded", ["checks"])
        mill.until_event("confirmed", model=B2)
        outcomes = [a for a in mill.answers(asked) if a["status"] not in ("accepted", "progress")]
        assert len({str(one) for one in outcomes}) == 1
        assert protocol == 4 or len(outcomes) == 1
        assert hang_ups(very_narrow) <= 5


@pytest.mark.parametrize("protocol", [5, 4])
def test_a_snapshot_is_made_as_small_as_the_broker_wants_it(tmp_path: Path, protocol: int) -> None:
    """`succeeded` means that the picture came."""
    with (
        new_mosquitto("max_packet_size 20000") as broker,
        mill_at(tmp_path, broker, protocol, camera=LARGE) as mill,
    ):
        mill.start()
        pictures = pictures_of(broker)
        assert mill.ask("snapshot")["status"] == "succeeded"
        assert pictures.get(timeout=60.0)[:2] == b"\xff\xd8"


def test_a_snapshot_that_fits_in_no_size_fails_with_the_limit(
    tmp_path: Path, very_narrow: Mosquitto
) -> None:
    """No picture is better than one that shows nothing; the outcome says why."""
    with mill_at(tmp_path, very_narrow, 5, camera=LARGE) as mill:
        mill.start()
        outcome = mill.ask("snapshot")
        assert outcome["status"] == "failed"
        assert "at most 1944 bytes" in outcome["error"]["message"]
