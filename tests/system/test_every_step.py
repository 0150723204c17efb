"""A durable step that fails; a few here, all of them by `scripts/every_step`."""

from __future__ import annotations

import pytest

from tests.sim.every_step import Choice, run

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]


def test_whatever_step_fails_nothing_is_lost() -> None:
    """Refused, cut off or slow: outcomes, orders, frames and trail are whole in the end."""
    reckoning = run(Choice(("recovery",), every=45, offset=20))
    assert reckoning.faults == []
    assert reckoning.restarts > 0


def test_a_daemon_that_forgets_is_found_out() -> None:
    """The checks see a daemon that does not write down what it accepted."""
    places = (21, 23, 25, 19)  # where a swap was accepted, or soon after
    cuts = (Choice(("fresh",), ("kill",), every=1000, offset=place) for place in places)
    assert any(run(cut, forgetful=True).faults for cut in cuts)
