"""A bad network between daemon and broker; a little here, much by `scripts/network`."""

from __future__ import annotations

from random import Random

import pytest

from tests.sim.mosquitto import scratch
from tests.sim.networks import BadNetwork
from tests.sim.outage import is_in_order, outage

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]


def test_each_request_has_one_effect_and_each_event_comes() -> None:
    """Acknowledgements lost, connections cut, the broker killed and made anew."""
    with scratch() as (folder, broker):
        reckoning = BadNetwork(folder, broker, Random(3)).run(5)
    assert reckoning.faults == []
    assert reckoning.sent > reckoning.requests > 5


def test_an_outage_loses_and_reorders_no_event() -> None:
    """What was queued comes out in its order, though the line is cut while it is sent."""
    assert outage(1000, cuts=2) == ""


@pytest.mark.parametrize(
    ("heard", "good"), [([1, 2, 3], True), ([1, 2, 1, 2, 3], True), ([2, 1, 3], False)]
)
def test_order_is_judged_by_first_deliveries(heard: list[int], good: bool) -> None:
    """A batch may come twice; an event before its forerunner may not."""
    assert is_in_order([1, 2, 3], heard) is good
