"""Two whole stations follow a campaign with two signatures; anything may be killed meanwhile."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from edge_daemon.core.fleet.report import Phase
from edge_daemon.fleet import messages
from tests.sim.campaign_line import WITH_MARKS, WITH_WEIGHTS, Stations
from tests.sim.mosquitto import Mosquitto

pytestmark = [pytest.mark.broker, pytest.mark.timeout(900)]

CAMS = ("line3-cam1", "line3-cam2")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: a Unix socket's path has a limit of 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="edc-") as made:
        yield Path(made)


def test_two_lines_with_real_weights_change_in_waves_and_go_back_without_losing_a_frame(
    folder: Path, fresh_broker: Mosquitto
) -> None:
    """The second wave opens by what both models found on golden images in low light; the stop
    sends both back, each between two of its frames.
    """
    rules = {"slices": {"low_light": 0.5}, "alpha": {"advance": 0.2}, "slower": 100.0}
    with Stations(folder, fresh_broker, WITH_WEIGHTS, CAMS) as fleet:
        fleet.live(*CAMS)
        fleet.evaluate("a")
        made = fleet.begin(rules=rules)
        fleet.until(WITH_WEIGHTS.new, Phase.CONFIRMED)
        assert fleet.ears.at_open[1][CAMS[0]] == (WITH_WEIGHTS.new, Phase.CONFIRMED)
        for name in CAMS:
            status = fleet.ears.of[name].reports[-1].campaign_status
            assert status is not None
            seen = status.measures.golden["low_light"]
            assert 0 < seen["old"] <= seen["n"]
            assert status.measures.slower is not None
        fleet.stop_campaign(made)
        fleet.until(WITH_WEIGHTS.old, Phase.ROLLED_BACK)
        for name in CAMS:
            heard = fleet.ears.of[name]
            at = len(heard.models)
            fleet.ears.until(lambda h=heard, n=at: len(h.models) > n + 3)
        assert fleet.ledger()["complete"]
        assert [each["receipt"] for each in fleet.verified()] == ["proven", "proven"]
        assert [fleet.lost(name) for name in CAMS] == [0.0, 0.0]
        fleet.stop()
        for name in CAMS:
            books = fleet.ears.of[name].books
            assert books.faults == []
            tally = books.tally()
            assert tally.cutovers == 2
            assert tally.frames == tally.inspected
            changes = [model for _, model in fleet.ears.of[name].models]
            both = (WITH_WEIGHTS.new, WITH_WEIGHTS.old)
            assert [m for b, m in pairwise(changes) if m != b] == [*both]


def test_kills_of_stations_evaluators_and_the_broker_cost_time_only(
    folder: Path, fresh_broker: Mosquitto
) -> None:
    """Nothing opens early, the stop is not lost, and every station is accounted for."""
    old, new = WITH_MARKS.old, WITH_MARKS.new
    first, second = CAMS
    with Stations(folder, fresh_broker, WITH_MARKS, CAMS) as fleet:
        fleet.live(*CAMS)
        evaluators = [fleet.evaluate(name) for name in "ab"]
        made = fleet.begin()
        fleet.ears.until(lambda: 0 in fleet.ears.at_open)
        fleet.kill(first)  # perhaps before it asked, perhaps in the middle of its swap
        evaluators[0].kill()
        fleet.live(first)
        fleet.until(new, Phase.CONFIRMED)
        assert {model for model, _ in fleet.ears.at_open[0].values()} == {old}
        assert fleet.ears.at_open[1] == {first: (new, Phase.CONFIRMED), second: (old, Phase.HAVE)}

        fleet.kill(second)
        fleet.stop_campaign(made)
        fleet.until(old, Phase.ROLLED_BACK, first)
        fresh_broker.kill()
        fresh_broker.forget()
        fresh_broker.start()
        again = messages.stop_topic(made.id, "evaluator")
        fleet.ears.until(lambda: any(topic == again for topic, _ in fleet.ears.told))
        fleet.live(second)
        fleet.until(old, Phase.ROLLED_BACK)
        found = fleet.ledger()
        assert (found["complete"], found["models"]) == (True, {old: 2})
        assert [fleet.lost(name) for name in CAMS] == [0.0, 0.0]
        fleet.stop()
        for name in CAMS:
            books = fleet.ears.of[name].books
            assert (books.doubled, books.reordered) == (0, 0)
