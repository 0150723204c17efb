"""Many simulated stations at a real broker, over one connection; evaluators can be killed.

The stations decide as `tests.sim.campaign_fleet` has it. An evaluator here is the daemon's own
`watch`, in a thread; to kill one is to take its connection away.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import paho.mqtt.client as paho

from edge_daemon.core.fleet.campaign import Campaign
from edge_daemon.core.fleet.waves import wave_of
from edge_daemon.fleet import messages
from edge_daemon.fleet.evaluator import Evaluation, Evaluator, watch
from edge_daemon.messaging import fleet_payloads
from edge_daemon.messaging.client import Client
from tests.sim.campaign_fleet import Member
from tests.sim.fleet import NEW
from tests.sim.mosquitto import Mosquitto


class Crowd:
    """The stations; `turn` lets each of them look once and publish what is news."""

    def __init__(self, broker: Mosquitto, campaign: Campaign, members: Sequence[Member]) -> None:
        self.campaign = campaign
        self.members = list(members)
        self.kept: dict[str, bytes] = {}
        self.opened_at: dict[int, float] = {}
        self.early: list[str] = []
        self._said: dict[str, object] = {}
        self._client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self._client.max_inflight_messages_set(20_000)
        self._client.on_message = self._take
        self._client.on_connect = self._joined
        self._client.connect(broker.host, broker.port)
        self._client.reconnect_delay_set(1, 1)
        self._client.loop_start()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _joined(self, client: paho.Client, *_: object) -> None:
        client.subscribe("fleet/#", 1)
        self._said.clear()  # the broker may have forgotten all of it

    def _take(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        if "/open/" in message.topic:
            self._check(int(message.topic.rpartition("/")[2]))
        self.kept[message.topic] = bytes(message.payload)

    def _check(self, wave: int) -> None:
        if wave in self.opened_at:
            return
        self.opened_at[wave] = time.monotonic()
        for member in self.members:
            own = wave_of(self.campaign, member.device)
            is_done = member.model == NEW or bool(member.here.answers) or member.mute
            if own is not None and own < wave and not is_done:
                self.early.append(f"{member.device} had not answered when wave {wave} opened")

    def turn(self) -> None:
        kept, utc = dict(self.kept), time.time()
        for member in self.members:
            if member.mute:
                continue
            report = member.look(kept, utc)
            news = (report.model, report.campaign_status)
            if self._said.get(member.device) != news:
                self._said[member.device] = news
                body = fleet_payloads.report(report)
                self._client.publish(f"edge/{member.device}/fleet", body, 1, True)

    @property
    def stopped(self) -> bool:
        return any("/stop/" in topic for topic in self.kept)

    def had(self) -> int:
        return sum(member.asked_at is not None for member in self.members)

    def until(self, is_over: object, patience_s: float, every_s: float = 0.1) -> bool:
        """Turn until `is_over()`, at most so long."""
        assert callable(is_over)
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            self.turn()
            if is_over():
                return True
            time.sleep(every_s)
        return False


class Watcher:
    """One evaluator on its own connection."""

    def __init__(self, settings: Path, names: Sequence[str], name: str) -> None:
        self.told: list[Evaluation] = []
        self.client = Client.of(settings)
        self.client.__enter__()
        self._stopped = threading.Event()
        evaluator = Evaluator(
            names, None, name, lambda topic, body: self.client.publish(topic, body, retain=True)
        )
        self._thread = threading.Thread(
            target=watch,
            args=(self.client, ("edge/+",), evaluator, self.told.append, self._stopped),
            daemon=True,
        )
        self._thread.start()

    def kill(self) -> None:
        self._stopped.set()
        self.client.close()
        self._thread.join(10.0)


def start(broker: Mosquitto, campaign: Campaign, envelope: bytes) -> None:
    """What `fleet start` does."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect(broker.host, broker.port)
    client.loop_start()
    topic = messages.campaign_topic(campaign.id)
    client.publish(topic, envelope, 1, True).wait_for_publish(10.0)
    client.disconnect()
    client.loop_stop()
