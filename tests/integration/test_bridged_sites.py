"""Two sites with a broker each, bridged to a centre: the shipped recipe on real brokers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from edge_daemon.fleet import messages
from edge_daemon.fleet.saying import stop_of
from edge_daemon.messaging.client import Client
from tests.sim.brokers import wait_for
from tests.sim.fleet import publish, retained_of, said, settings_file
from tests.sim.mosquitto import Mosquitto, new_mosquitto

pytestmark = pytest.mark.broker

SHIPPED = (Path(__file__).parents[2] / "configs/mosquitto/bridge.conf").read_text()
CAMPAIGN = messages.campaign_topic("c1")
REPORTS = {f"edge/{site}-cam{n}/fleet" for site in ("hall-1", "hall-2") for n in range(20)}


def bridge_to(centre: Mosquitto, site: str) -> list[str]:
    """The lines that are shipped, but for the address, the site's name and TLS."""
    lines = [line for line in SHIPPED.splitlines() if line and not line.startswith("#")]
    text = "\n".join(line for line in lines if not line.startswith("bridge_c"))
    text = re.sub(r"^bridge_keyfile.*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"address .*", f"address {centre.host}:{centre.port}", text)
    return text.replace("hall-2", site).splitlines()


@pytest.fixture
def brokers() -> Iterator[tuple[Mosquitto, Mosquitto, Mosquitto]]:
    with ExitStack() as undo:
        centre = undo.enter_context(new_mosquitto())
        one, other = (
            undo.enter_context(new_mosquitto(*bridge_to(centre, site)))
            for site in ("hall-1", "hall-2")
        )
        for site, broker in (("hall-1", one), ("hall-2", other)):
            publish(broker, retained_of(*(said(f"{site}-cam{n}") for n in range(20))))
        yield centre, one, other


def kept(broker: Mosquitto, folder: Path, *filters: str) -> Mapping[str, bytes]:
    with Client.of(settings_file(folder, broker)) as client:
        return client.all_retained(filters)


def test_a_centre_that_comes_back_empty_has_all_again(
    brokers: tuple[Mosquitto, Mosquitto, Mosquitto], tmp_path: Path
) -> None:
    """Reports, the campaign, and the stop that somebody said at a site meanwhile."""
    centre, one, other = brokers
    wait_for(lambda: set(kept(centre, tmp_path, "edge/+/fleet")) == REPORTS, "all reports")
    publish(centre, {CAMPAIGN: b"signed", messages.open_topic("c1", 0): b"{}"})
    wait_for(lambda: CAMPAIGN in kept(one, tmp_path, "fleet/#"), "the campaign at one site")
    wait_for(lambda: CAMPAIGN in kept(other, tmp_path, "fleet/#"), "the campaign at the other")
    centre.kill()
    centre.forget()
    assert kept(one, tmp_path, "fleet/#")[CAMPAIGN] == b"signed"  # whoever joins now reads it
    topic, body = stop_of("c1", "andon", "scratches", 0.0, goes_back=False)
    publish(one, {topic: body})
    centre.start()
    wait_for(lambda: set(kept(centre, tmp_path, "edge/+/fleet")) == REPORTS, "all reports again")
    wait_for(lambda: topic in kept(other, tmp_path, "fleet/#"), "the stop at the other site")
    assert kept(centre, tmp_path, "fleet/#")[CAMPAIGN] == b"signed"
