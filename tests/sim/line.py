"""A whole device in this process: the real daemon with real workers, a broker, a subscriber.

    with RunningDaemon(folder, broker) as mill:
        mill.start()
        mill.ask("swap", model="bottle@2.0.0")
    mill.books.faults            # what the subscriber finds wrong

What is wrong is judged from outside, by what was published.
"""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho

from edge_daemon.app.daemon import Daemon
from edge_daemon.cli.drill_ledger import SubscriberLedger
from edge_daemon.config import Settings
from tests.sim.bundles import make_bundle
from tests.sim.marked_engine import marked_weights
from tests.sim.mosquitto import Mosquitto

ROOT = "edge/line3-cam1"
LINKS = {"BTL": "bottle", "CAN": "can"}
MARKS = {"bottle@1.0.0": 0.51, "bottle@2.0.0": 0.52, "can@1.0.0": 0.53, "bottle@3.0.0": 0.54}
"""The store's bundles, and the confidence of what each finds."""
MORTAL, MORTAL_MARK = "bottle@4.0.0", 0.55
"""One that dies after so many inferences; `make_mortal` puts it into the store."""
MARKED_ENGINE = "tests.sim.marked_engine:MarkedEngine"
OUTCOMES = {"succeeded", "rejected", "failed", "superseded", "expired", "interrupted"}
GENEROUS_S = 60.0


def make_store(folder: Path) -> Path:
    """Every marked bundle; `bottle@3.0.0` dies at its first inference."""
    store = folder / "store"
    for ref, mark in MARKS.items():
        behaviour = "die_at_infer" if ref == "bottle@3.0.0" else "good"
        weights = marked_weights(mark, ("bottle", "scratch", "dent"))
        make_bundle(
            store, ref, weights=weights, file=f"weights-{behaviour}.pt", golden=0, edit=_patient
        )
    return store


def make_mortal(folder: Path, lives: int) -> None:
    """Add a bundle whose engine kills its process after so many inferences."""
    weights = marked_weights(MORTAL_MARK, ("bottle", "scratch", "dent"), lives=lives)
    store, file = folder / "store", "weights-good.pt"
    make_bundle(store, MORTAL, weights=weights, file=file, golden=0, edit=_patient)


def _patient(manifest: dict[str, Any]) -> None:
    """The engines take two milliseconds, which a busy machine may double."""
    manifest["limits"]["latency_ratio"] = 10.0


def settings_for(folder: Path, broker: Mosquitto, **parts: Any) -> Settings:
    """One device at this broker, with state and store below `folder`."""
    groups: dict[str, Any] = {
        "device": "line3-cam1",
        "mqtt": {"host": broker.host, "port": broker.port},
        "camera": {"source": "conveyor:?size=160x120&fps=60", "buffer_frames": 256},
        "models": {
            "store": str(folder / "store"),
            "trust": {"required": False},
            "initial": "bottle@1.0.0",
        },
        "slots": {"count": 2, "spare": "warm"},
        "links": LINKS,
        "orders": [{"topic": "mes/orders", "preset": "flat"}],
        "gate": {"memory_headroom_mb": 0, "warm_up_inferences": 2, "latency_ratio": 10.0},
        "trial": {"frames": 5, "seconds": 0.1, "latency_ratio": 50.0},
        "http": {"listen": None},
        "log": {"level": "warning"},
        "state_dir": str(folder / "state"),
    }
    return Settings.model_validate({**groups, **parts})


class Subscriber:
    """Hears all of one device through the broker, and keeps books on its frames."""

    def __init__(self, broker: Mosquitto) -> None:
        self.books = SubscriberLedger(LINKS)
        self.marks = {**MARKS, MORTAL: MORTAL_MARK}
        self.marks_wrong: list[str] = []
        self.results: list[dict[str, Any]] = []
        self.heard: list[tuple[str, dict[str, Any]]] = []
        self._changed = threading.Condition()
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_message = self._on_message
        subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: subscribed.set()
        self._client.connect(broker.host, broker.port)
        self._client.subscribe([(f"{ROOT}/{part}", 1) for part in ("result", "model/#")])
        self._client.loop_start()
        assert subscribed.wait(GENEROUS_S)
        subscribed.clear()
        self._client.subscribe([(f"{ROOT}/response/+", 1), (f"{ROOT}/status", 1)])
        assert subscribed.wait(GENEROUS_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic: str, document: dict[str, Any]) -> None:
        self._client.publish(topic, json.dumps(document).encode(), 1).wait_for_publish(GENEROUS_S)

    def order(self, work_order: str, product: str) -> None:
        """What the MES says when an order begins."""
        body = {"workOrder": work_order, "productCode": product, "status": "running"}
        self.publish("mes/orders", body)

    def until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, GENEROUS_S), self.story()

    def story(self) -> str:
        return "\n".join(f"{topic} {str(body)[:300]}" for topic, body in self.heard[-8:])

    def _on_message(self, client: object, userdata: object, message: paho.MQTTMessage) -> None:
        body = json.loads(message.payload)
        topic = message.topic.removeprefix(f"{ROOT}/")
        with self._changed:
            if topic == "result":
                self.results.append(body)
                self.books.take_result(body)
                self._check_mark(body)
            else:
                self.heard.append((topic, body))
                if topic == "model/event":
                    self.books.take_event(body)
                self.books.take_receipt(body.get("receipt") or {})
            self._changed.notify_all()

    def _check_mark(self, result: dict[str, Any]) -> None:
        """The confidence says which weights looked at this frame."""
        found = {line["confidence"] for line in result["detections"]}
        if not self.marks or result["model"] is None:
            return
        if found != {self.marks[result["model"]]}:
            self.marks_wrong.append(f"frame {result['frame']}: {result['model']} with {found}")


class RunningDaemon:
    """One device and its subscriber; `restart` is the next life on the same state."""

    def __init__(self, folder: Path, broker: Mosquitto, **parts: Any) -> None:
        if not (folder / "store").exists():
            make_store(folder)
        self.settings = settings_for(folder, broker, **parts)
        self.ear = Subscriber(broker)
        self.daemon: Daemon | None = None

    def __enter__(self) -> RunningDaemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self.ear.close()

    def start(self, model: str = "bottle@1.0.0", engine: str = MARKED_ENGINE) -> Daemon:
        """Start, and return once this model's verdicts come in."""
        heard = len(self.ear.results)
        self.daemon = Daemon(self.settings, engine=engine)
        self.daemon.start()
        self.ear.until(lambda: any(r["model"] == model for r in self.ear.results[heard:]))
        return self.daemon

    def stop(self) -> None:
        daemon, self.daemon = self.daemon, None
        if daemon is not None:
            daemon.stop()
            assert daemon.broken() is None

    # ------------------------------------------------------------------ asking

    def ask(self, verb: str, **document: Any) -> dict[str, Any]:
        """A request by MQTT, and its outcome."""
        return self.outcome(self.send(verb, **document))

    def send(self, verb: str, **document: Any) -> str:
        document.setdefault("id", uuid.uuid4().hex)
        self.ear.publish(f"{ROOT}/request/{verb}", document)
        return str(document["id"])

    def outcome(self, request_id: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def came() -> bool:
            found[:] = [a for a in self.answers(request_id) if a["status"] in OUTCOMES]
            return bool(found)

        self.ear.until(came)
        return found[0]

    def answers(self, request_id: str) -> list[dict[str, Any]]:
        recent = self.ear.heard[-200:]
        return [b for t, b in recent if t.startswith("response/") and b["id"] == request_id]

    def order(self, product: str, order: str, status: str = "running") -> None:
        body = {"workOrder": order, "productCode": product, "status": status}
        self.ear.publish("mes/orders", body)

    def until_judged_by(self, model: str) -> None:
        self.ear.until(lambda: self.ear.results[-1]["model"] == model)

    def until_event(self, kind: str, **parts: object) -> dict[str, Any]:
        def events() -> list[dict[str, Any]]:
            told = [b for t, b in self.ear.heard if t == "model/event" and b["type"] == kind]
            return [e for e in told if parts.items() <= e.items()]

        self.ear.until(lambda: bool(events()))
        return events()[-1]

    # ------------------------------------------------------------------ the books

    def until_settled(self) -> None:
        """Until the last result that was published has come."""
        assert self.daemon is None, "it goes on publishing"
        self.ear.until(lambda: self.ear.heard[-1][0] == "status" or self._said_goodbye())

    def _said_goodbye(self) -> bool:
        states = [body["state"] for topic, body in self.ear.heard if topic == "status"]
        return bool(states) and states[-1] == "stopped"

    def check_books(self) -> None:
        """Nothing lost, doubled, out of order, or judged by another model than was in force."""
        books = self.ear.books
        assert books.faults == []
        assert self.ear.marks_wrong == []
        assert books.missing == books.doubled == books.reordered == 0
