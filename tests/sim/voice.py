"""Somebody who asks a daemon through its broker, and listens to the rest as well."""

from __future__ import annotations

import uuid
from typing import Any

from tests.sim.device import wait_until
from tests.sim.line import OUTCOMES, ROOT
from tests.sim.mosquitto import Mosquitto
from tests.sim.networks import Stranger


class Voice:
    """Asks, and knows what was said."""

    def __init__(self, broker: Mosquitto) -> None:
        self.ear = Stranger(broker)

    def ask(self, verb: str, **document: Any) -> dict[str, Any]:
        request_id = uuid.uuid4().hex
        self.ear.publish(f"{ROOT}/request/{verb}", {"id": request_id, **document})

        def found() -> list[dict[str, Any]]:
            told = [b for t, b in tuple(self.ear.heard) if t.startswith("response/")]
            return [b for b in told if b["id"] == request_id and b["status"] in OUTCOMES]

        wait_until(lambda: bool(found()), f"the outcome of {verb}")
        return found()[0]

    @property
    def problems(self) -> str:
        told = [body for topic, body in tuple(self.ear.heard) if topic == "health"]
        return "; ".join(told[-1]["problems"]) if told else ""
