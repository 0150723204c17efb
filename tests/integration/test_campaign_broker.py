"""A campaign over a real broker: two evaluators, one is killed, and the broker forgets."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from edge_daemon.core.fleet.campaign import canonical
from edge_daemon.fleet import messages
from edge_daemon.models.countersigned import sign
from edge_daemon.models.trust import generate_keypair
from tests.sim.campaign_crowd import Crowd, Watcher, start
from tests.sim.campaign_fleet import Member
from tests.sim.campaigns import campaign
from tests.sim.fleet import NEW, settings_file
from tests.sim.mosquitto import new_mosquitto

pytestmark = pytest.mark.broker
NAMES = [f"cam{number}" for number in range(60)]


def test_a_killed_evaluator_and_a_broker_without_memory_change_the_time_only(
    tmp_path: Path,
) -> None:
    now = time.time()
    made = campaign(
        canaries=["cam1", "cam2"], waves=[1e-9, 1.0], not_before=now, expires=now + 3600.0
    )
    key, _ = generate_keypair(tmp_path, "ops")
    envelope = sign(canonical(made), messages.KIND, key)
    with new_mosquitto() as broker:
        settings = settings_file(tmp_path, broker)
        crowd = Crowd(broker, made, [Member(name) for name in NAMES])
        watchers = [Watcher(settings, NAMES, name) for name in ("a", "b")]
        start(broker, made, envelope)
        assert crowd.until(lambda: 1 in crowd.opened_at, 30.0)
        watchers[0].kill()
        broker.kill()
        broker.forget()
        broker.start()
        everywhere = crowd.until(lambda: all(m.model == NEW for m in crowd.members), 30.0)
        watchers[1].kill()
        crowd.close()
    assert everywhere
    assert crowd.early == []
    assert not crowd.stopped
    assert set(crowd.opened_at) == {0, 1}
