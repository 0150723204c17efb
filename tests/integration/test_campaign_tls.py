"""A campaign on the shipped broker over mutual TLS: a connection and a certificate each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge_daemon.messaging.client import Client
from tests.sim.campaign_rig import Rig

pytestmark = pytest.mark.broker
STATIONS = 6


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig(STATIONS) as made:
        made.clients.connect()
        yield made


def test_killed_evaluators_open_nothing_early_and_all_have_it_in_the_end(rig: Rig) -> None:
    """The list of rights that is shipped lets each role do its part, and the stations hear it."""
    made = rig.begin()
    rig.watch()
    rig.clients.until(lambda: bool(rig.clients.had()), 60.0)
    rig.kill_one()
    assert rig.until_over(made)
    assert (rig.clients.had(), rig.why(made), rig.clients.early) == (STATIONS, "", [])
    assert rig.reports()[0] == STATIONS


def test_a_stop_that_a_killed_broker_forgot_comes_back_from_the_stations(rig: Rig) -> None:
    """The broker took the stop and died before it wrote it; nobody but the stations knew it."""
    rig.kill_all()
    made = rig.begin()
    rig.stop(made)
    rig.kill_broker(forget=True)
    rig.watch(1)
    topic = f"fleet/{made.id}/stop/evaluator"
    # The campaign itself is started again by ops: else nobody would look at it.
    rig.start_again(made)
    assert rig.clients.until(lambda: topic in rig.clients.heard_at, 60.0)
    with Client.of(rig.settings("ops")) as client:
        assert topic in client.all_retained([topic])
    assert rig.clients.had() == 0
