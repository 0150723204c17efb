"""A whole device on which candidates are tried, an inspector who labels, and an auditor.

The pixels of a frame decide its code (0 to 3), which every model tells by the left edge of its
first box; a part is truly bad where a frame of it has a code in `BAD`. Each model rejects the codes
that its weights name. All that is told here was heard from the broker.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho

from edge_daemon.core.rollout.draw import draw
from edge_daemon.core.rollout.values import Mode
from edge_daemon.core.values import Detection
from edge_daemon.models.engine import ModelFacts, ModelOrder, RawResult
from tests.sim.bundles import make_bundle
from tests.sim.engine import Pixels, SimEngine
from tests.sim.line import GENEROUS_S, ROOT, RunningDaemon
from tests.sim.mosquitto import Mosquitto

ENGINE = "tests.sim.rollout_line:CodedEngine"
STAGES = frozenset(mode.value for mode in Mode)
CODES = 4
BAD = frozenset({0, 1})
CLASSES = ("bottle", "scratch")
OLD = "bottle@1.0.0"
MODELS: dict[str, dict[str, Any]] = {
    OLD: {"rejects": [0]},
    "bottle@2.0.0": {"rejects": [0, 1]},  # finds all
    "bottle@3.0.0": {"rejects": []},  # blind
    "bottle@4.0.0": {"rejects": [0], "fault": "raise", "lives": 60},
    "bottle@5.0.0": {"rejects": [0], "fault": "hang", "lives": 60},
    "bottle@6.0.0": {"rejects": [0], "fault": "die", "lives": 60},
    "bottle@7.0.0": {"rejects": [], "lives": 7},  # blind as well
    "bottle@8.0.0": {"rejects": [0], "fault": "slow", "lives": 60},
    "can@1.0.0": {"rejects": [0]},
}
RUNS = {"shadow": 1.0, "until": {"parts": 15}}
LENIENT = {
    "margin": 0.9,
    "false_reject_margin": 0.9,
    "alpha": {"stop": 0.01, "advance": 0.2},  # surer takes more parts, and shows nothing else
}


class CodedEngine(SimEngine):
    """Rejects by the code of the pixels; after `lives` looks it fails as its weights say."""

    def __init__(self, threads: int = 1, device: str = "cpu", headroom_mb: int = 0) -> None:
        super().__init__()
        self._rejects: frozenset[int] = frozenset()
        self._fault = ""
        self._lives = 0

    def load(self, order: ModelOrder) -> ModelFacts:
        facts = super().load(order)
        said = json.loads(order.weights.read_text(encoding="utf-8"))
        self._rejects = frozenset(said["rejects"])
        self._fault, self._lives = said.get("fault", ""), said.get("lives", 0)
        return facts

    def infer(self, pixels: Pixels) -> RawResult:
        self._lives -= 1
        if self._fault and self._lives < 0:
            _fail(self._fault)
        code = zlib.crc32(pixels.tobytes()) % CODES
        height, width = pixels.shape[:2]
        box = (float(code), 0.0, float(width), float(height))
        found = [Detection("bottle", 0.9, box)]
        if code in self._rejects:
            found.append(Detection("scratch", 0.8, box))
        return RawResult(tuple(found))


def _fail(fault: str) -> None:
    if fault == "raise":
        raise RuntimeError("size mismatch in layer 22")
    if fault == "slow":  # slower than the gaps of the line, and not at fault
        time.sleep(0.08)
        return
    if fault == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(3600)


def make_models(folder: Path) -> None:
    """The store: one bundle for each of `MODELS`."""
    for ref, behaviour in MODELS.items():
        facts = {"classes": CLASSES, "task": "detect", **behaviour}
        make_bundle(
            folder / "store",
            ref,
            weights=json.dumps(facts).encode(),
            file="weights-good.pt",
            classes=CLASSES,
            golden=0,
            edit=_patient,
        )


def _patient(manifest: dict[str, Any]) -> None:
    manifest["limits"]["latency_ratio"] = 100.0


class Inspector:
    """Hears parts, results and how the rollout stands; labels each part where it is told to."""

    def __init__(self, broker: Mosquitto, *, triggers: bool = False) -> None:
        self.parts: list[dict[str, Any]] = []
        self.results: list[dict[str, Any]] = []
        self.states: list[dict[str, Any]] = []
        self.labels_all = False
        self._codes: dict[int, int] = {}
        self._unsent: list[dict[str, Any]] = []
        self._triggers = triggers
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_message = self._hear
        ready = threading.Event()
        self._client.on_subscribe = lambda *_: ready.set()
        self._client.connect(broker.host, broker.port)
        topics = [(f"{ROOT}/{topic}", 1) for topic in ("result", "part", "rollout/state")]
        self._client.subscribe(topics)
        self._client.loop_start()
        assert ready.wait(GENEROUS_S)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _hear(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        body = json.loads(message.payload) if message.payload else {}
        topic = message.topic[len(ROOT) + 1 :]
        if topic == "rollout/state":
            self.states.append(body)
        elif topic == "result":
            self._take_result(body)
        else:
            self.parts.append(body)
            self._label(body)

    def _take_result(self, body: dict[str, Any]) -> None:
        self.results.append(body)
        if body["detections"]:
            self._codes[body["frame"]] = int(body["detections"][0]["box"][0])
        if self._triggers and len(self.results) % 3 == 0:
            self._send("trigger", {"id": f"SN-{body['boot']}-{body['frame']}"})

    def is_bad(self, part: dict[str, Any]) -> bool | None:
        """Whether the part is truly bad; None where its frames were not heard of."""
        codes = [self._codes.get(frame) for frame in part["frames"]]
        return None if not codes or None in codes else any(code in BAD for code in codes)

    def _label(self, part: dict[str, Any]) -> None:
        bad = self.is_bad(part)
        if not self.labels_all or bad is None:
            return
        word = {"part": part["part"], "boot": part["boot"], "verdict": "ng" if bad else "ok"}
        self._unsent.append(word)
        if len(self._unsent) >= 10:
            items, self._unsent = self._unsent, []
            self._send("feedback", {"items": items, "source": "downstream", "by": "gauge"})

    def _send(self, verb: str, body: dict[str, Any]) -> None:
        self._client.publish(f"{ROOT}/request/{verb}", json.dumps(body).encode(), 1)


class RolloutLine(RunningDaemon):
    """A device with the models above. `triggers`: parts by trigger, else each frame is one.

    `audit`: of the ok parts, those that a person is to look at.
    """

    def __init__(
        self,
        folder: Path,
        broker: Mosquitto,
        *,
        triggers: bool = False,
        audit: float = 0.0,
        **settings: Any,
    ) -> None:
        make_models(folder)
        by: dict[str, Any] = {"by": "frame"}
        if triggers:
            by = {"by": "trigger", "window_ms": [0, 60], "deadline_ms": 5000}
        super().__init__(folder, broker, parts={**by, "audit": audit}, **settings)
        self.ear.marks = {}
        self.ear.story = self.story  # type: ignore[method-assign]
        self.inspector = Inspector(broker, triggers=triggers)
        self._begun: dict[str, int] = {}

    def __enter__(self) -> RolloutLine:
        self.start(engine=ENGINE)
        return self

    def __exit__(self, *exit_: object) -> None:
        super().__exit__(*exit_)
        self.inspector.close()

    def roll(self, model: str, *stages: dict[str, Any], **plan: Any) -> str:
        """Ask for a rollout; the request's id. What is blind is prepared first: it is accepted."""
        if not MODELS[model]["rejects"]:
            self.ask("prepare", model=model, accept=["recent.missed"], reason="it is to be tried")
        whole = {**LENIENT, "stages": list(stages), **plan}
        before = len(self._requested())
        request_id = self.send("rollout", model=model, plan=whole, by="kim")
        self._begun[request_id] = before
        return request_id

    def rollout_of(self, request_id: str) -> str:
        """The rollout that the request began, as its event names it."""
        before = self._begun[request_id]
        self.ear.until(lambda: len(self._requested()) > before)
        return self._requested()[before]

    def _requested(self) -> list[str]:
        heard = [body for topic, body in list(self.ear.heard) if topic == "model/event"]
        return [e["rollout"] for e in heard if e["type"] == "requested" and "rollout" in e]

    def answers(self, request_id: str) -> list[dict[str, Any]]:
        """To this request; those to feedback are many, and come in between."""
        heard = [b for t, b in list(self.ear.heard) if t.startswith("response/")]
        return [body for body in heard if body["id"] == request_id]

    def reset(self) -> None:
        """The first model judges, nothing is tried and nothing is held."""
        self.ask("abort")
        self.ask("release")
        self.ask("swap", model=OLD)
        self.until_judged_by(OLD)
        self.ear.until(lambda: self.state.get("rollout") is None)

    def until_stage(self, stage: str) -> dict[str, Any]:
        """Until `rollout/state` says that this stage is on."""
        self.ear.until(lambda: self.state.get("stage") == stage)
        return self.state

    @property
    def state(self) -> dict[str, Any]:
        """As `rollout/state` says."""
        states = self.inspector.states
        return states[-1] if states else {}

    def story(self) -> str:
        """How the rollout stands, and what was heard but for feedback."""
        heard = [(t, b) for t, b in list(self.ear.heard) if not t.endswith("/feedback")][-8:]
        return "\n".join([str(self.state), *(f"{topic} {body}" for topic, body in heard)])

    def events(self, rollout: str) -> list[str]:
        """Its events, in order."""
        heard = [body for topic, body in list(self.ear.heard) if topic == "model/event"]
        return [each["type"] for each in heard if each.get("rollout") == rollout]

    def entered(self, request_id: str) -> list[str]:
        """The stages that the sender was told of."""
        told = [a for a in self.answers(request_id) if a["status"] == "progress"]
        return [each["stage"] for each in told if each["stage"].split(" ")[0] in STAGES]

    def judged(self, rollout: str) -> Sequence[dict[str, Any]]:
        """Parts and results that name the rollout."""
        told = [*self.inspector.parts, *self.inspector.results]
        return [each for each in told if each.get("rollout", {}).get("id") == rollout]

    def audit(self, rollout: str, shares: set[float]) -> int:
        """Compute each arm again, from what was published alone; how many were the candidate's."""
        candidates = 0
        for each in self.judged(rollout):
            said = each["rollout"]
            assert said["draw"] == draw(rollout, each["boot"], said["unit"])
            assert (said["arm"] == "candidate") is (said["draw"] < said["share"])
            assert said["share"] in shares
            candidates += said["arm"] == "candidate"
        return candidates
