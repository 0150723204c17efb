"""Many stations, as a broker knows them: their retained reports and statuses."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path

import paho.mqtt.client as paho

from edge_daemon.core.fleet.report import Chain, Phase, Report, ReportedBundle
from edge_daemon.messaging import fleet_payloads
from tests.sim.mosquitto import Mosquitto

OLD, NEW = "bottle@1.3.0", "bottle@1.4.0"


def digest_of(model: str) -> str:
    """Stations that have the same bundle say the same digest."""
    return hashlib.sha256(model.encode()).hexdigest()


def said(
    device: str, model: str | None = OLD, *, utc: float | None = None, **more: object
) -> Report:
    """What a station reports that judges by `model`, and has both."""
    held = tuple(
        ReportedBundle(each, digest_of(each)) for each in dict.fromkeys((model or OLD, OLD, NEW))
    )
    report = Report(
        device=device,
        boot="b1",
        seq=0,
        said_utc=time.time() if utc is None else utc,
        every_s=60,
        version="0.1.0",
        phase=Phase.CONFIRMED if model else None,
        model=model,
        sha256=digest_of(model) if model else None,
        stored=held,
        receipt="s1",
        chain=Chain(41, "ab" * 32),
    )
    return Report(**{**vars(report), **more})


def publish(broker: Mosquitto, retained: Mapping[str, bytes]) -> None:
    """Returns when the broker has taken all of it."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.connect(broker.host, broker.port)
    client.loop_start()
    *others, last = retained.items()
    for topic, body in others:
        client.publish(topic, body, 0, True)
    # A broker takes what one client says in its order, and answers for the last of it.
    client.publish(*last, 1, True).wait_for_publish(30.0)
    client.disconnect()
    client.loop_stop()


def retained_of(*reports: Report, status: str = "online") -> dict[str, bytes]:
    """Their topics, as the stations themselves would fill them."""
    word = json.dumps({"state": status, "since": None}).encode()
    reports_ = {f"edge/{each.device}/fleet": fleet_payloads.report(each) for each in reports}
    return {**reports_, **{f"edge/{each.device}/status": word for each in reports}}


def settings_file(folder: Path, broker: Mosquitto, more: str = "") -> Path:
    """Of somebody who looks at all stations of this broker."""
    file = folder / "looker.yaml"
    file.write_text(
        f"device: looker\nmqtt: {{host: {broker.host}, port: {broker.port}}}\n"
        f"camera: {{source: 'conveyor:'}}\nstate_dir: state\n"
        f"models: {{store: store, trust: {{required: false}}}}\n{more}"
    )
    return file
