"""Events that are queued while the broker is away, and what comes out when it is back."""

from __future__ import annotations

import sys
import time
from random import Random
from typing import Any

import paho.mqtt.client as paho

from edge_daemon.config import MqttSettings
from edge_daemon.control.outbox import Outbox
from edge_daemon.host.clock import SystemClock
from edge_daemon.host.journal import Entry, Journal, OutboxRow
from edge_daemon.messaging.messages import Handlers
from edge_daemon.messaging.mqtt import Session, SessionSpec
from edge_daemon.messaging.topics import Topics
from tests.sim.line import ROOT
from tests.sim.mosquitto import scratch
from tests.sim.relay import Relay

PATIENT_S = 60.0


def is_in_order(told: list[Any], heard: list[Any]) -> bool:
    """Whether `told` is a subsequence of `heard`: repeats may lie between, nothing is swapped."""
    place = iter(heard)
    return all(any(each == other for other in place) for each in told)


def outage(count: int, cuts: int = 3) -> str:
    """Queue `count` events without a broker, then let them out; what is wrong, or ""."""
    topics = Topics(ROOT)
    with scratch() as (folder, broker):
        broker.stop()
        journal = Journal.open(folder)
        relay = Relay(broker.host, broker.port)
        settings = MqttSettings(host=relay.host, port=relay.port)
        spec = SessionSpec(settings, topics, "line3-cam1")
        session = Session(spec, SystemClock(), Random(1))
        outbox = Outbox(journal, session)
        session.start(Handlers(lambda *_: None, lambda *_: None, outbox.wake))
        outbox.start()
        for first in range(0, count, 1000):
            rows = (
                OutboxRow(topics.model_event, b"%d" % n)
                for n in range(first, min(first + 1000, count))
            )
            journal.commit(Entry(outbox=tuple(rows)))
        heard: list[int] = []
        broker.start()
        ear = paho.Client(paho.CallbackAPIVersion.VERSION2)
        ear.on_message = lambda *told: heard.append(int(told[2].payload))
        ear.connect(broker.host, broker.port)
        ear.subscribe(topics.model_event, 1)
        ear.loop_start()
        began = time.monotonic()
        goals = [count * (n + 1) // (cuts + 1) for n in range(cuts)]
        while journal.outbox_depth() and time.monotonic() - began < PATIENT_S + count / 500:
            if goals and heard and heard[-1] >= goals[0]:
                goals.pop(0)
                relay.cut(abruptly=True)
            time.sleep(0.02)
        took_s = time.monotonic() - began
        time.sleep(0.5)
        outbox.stop()
        session.stop()
        ear.disconnect()
        ear.loop_stop()
        left, dropped = journal.outbox_depth(), journal.outbox_dropped()
        journal.close()
        relay.close()
    lost = count - len(set(heard))
    ordered = is_in_order(list(range(count)), heard)
    sys.stdout.write(
        f"{count} events queued, {cuts} cuts while they were sent: {lost} lost, "
        f"{dropped} given up, {left} left, {'in order' if ordered else 'OUT OF ORDER'}, "
        f"{len(heard) - len(set(heard))} came twice; {took_s:.0f} s\n"
    )
    return "" if not (lost or left or dropped) and ordered else "events were lost or reordered"
