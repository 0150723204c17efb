"""Floods of orders and requests: few commits, few looks at the store, and frames go on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.control.mailbox import TOGETHER
from tests.sim.station import Plan, Station

MANY = 2000
B1, CAN = "bottle@1.0.0", "can@1.0.0"
BATCHES = MANY // TOGETHER + 1
"""Commits of orders: one for all that are taken together."""


@pytest.fixture
def station(tmp_path: Path) -> Iterator[Station]:
    with Station(tmp_path, Plan(places=4096)) as running:  # a busy machine takes its time
        yield running.run()
        assert running.ledger.first_violation is None
        assert running.ledger.counts().dropped == 0


def orders_on_record(station: Station) -> int:
    return sum(1 for link in station.journal.audit_rows() if link.row.kind == "order")


@pytest.mark.parametrize("word", ["paused", "completed", "running"])
def test_no_frame_waits_for_words_that_change_nothing(station: Station, word: str) -> None:
    """They are unread in the driver's room, and frames are judged all the same.

    Words without a meaning, orders that are done, and one that runs already and says so again.
    """
    station.order("BTL", order="WO-1")
    station.until(lambda: bool(station.events("order_running")))
    with station.busy():
        for number in range(MANY):
            station.order("BTL", word, order="WO-1" if word == "running" else f"X-{number}")
        station.until_frames(20)
        station.until(lambda: station.ring.depth < 256)  # it lets its head go when it is full
    station.ask("hold")
    assert {str(judged.model) for judged in station.results} == {B1}
    assert orders_on_record(station) == MANY + 1


def test_orders_that_wait_are_one_commit(station: Station) -> None:
    """All are on record, each stamped its frames, and the last one counts."""
    with station.busy():
        commits, before = station.journal.commits, station.journal.order_commits
        for number in range(MANY):
            station.order(("BTL", "CAN", "JAR")[number % 3], order=f"WO-{number}")
        station.order("CAN", order="WO-last")
    station.until_active(CAN)
    station.ask("hold")
    assert station.journal.order_commits - before == BATCHES
    # Between two of them at most one other arrival is answered; a few come before and behind.
    assert station.journal.commits - commits <= 4 * BATCHES
    assert orders_on_record(station) == MANY + 1
    assert station.driver.state.durable.job_order == "WO-last"
    made = {"BTL": B1, "CAN": CAN}
    for judged in station.results:
        product = judged.assignment.product
        if judged.model is not None and product is not None:
            assert str(judged.model) == made[product]


def test_an_order_waits_for_no_row_of_requests(station: Station) -> None:
    """It is read behind one of them, whatever they ask for; each is answered all the same."""
    with station.busy():
        asked = [station.send("swap", model="bottle@99.0.0") for _ in range(300)]
        station.order("CAN")
    station.until(lambda: bool(station.events("order_running")))
    outcomes = [station.outcome(request) for request in asked]
    assert {outcome["error"]["code"] for outcome in outcomes} == {"unknown_model"}
    rows = [link.row.kind for link in station.journal.audit_rows()]
    assert rows.index("order") < rows.index("outcome") + 2
    assert station.looks == 0


def test_a_look_at_the_store_keeps_nobody_but_requests_waiting(station: Station) -> None:
    """One look for all of them, on a thread of its own. Meanwhile the line changes over; then each
    is answered, in the order in which they came."""
    broken = station.folder / "store" / "bottle" / "3.0.0"
    broken.mkdir()
    (broken / "model.yaml").write_text("name: [")
    heard = station.broker.watch("#")
    station.may_look.clear()
    asked = [station.send("swap", model="bottle@3.0.0") for _ in range(150)]
    asked += [station.send("swap", model="bottle@99.0.0") for _ in range(150)]
    station.order("CAN")
    station.until_active(CAN)
    assert station.looks == 1
    assert not any(station.answers(request) for request in asked)
    station.may_look.set()
    codes = [station.outcome(request)["error"]["code"] for request in asked]
    assert codes == ["invalid_bundle"] * 150 + ["unknown_model"] * 150
    told = [packet.json()["id"] for packet in heard if packet.topic.endswith("response/swap")]
    assert told == asked


def test_a_store_that_cannot_be_looked_at_costs_an_answer(station: Station) -> None:
    """And no more than that: the driver goes on."""
    (station.folder / "store" / "bottle" / "3.0.0").mkdir()

    def fail() -> None:
        raise OSError("planted")

    station.may_look.wait = lambda _: fail()  # type: ignore[assignment,method-assign]
    assert station.ask("swap", model="bottle@3.0.0")["error"]["code"] == "unknown_model"
    assert station.ask("hold")["status"] == "succeeded"


def test_unknown_models_cost_no_look_at_the_store(station: Station) -> None:
    """By version, by name, and one that lies there and is refused: a look a second at most."""
    broken = station.folder / "store" / "bottle" / "3.0.0"
    broken.mkdir()
    (broken / "model.yaml").write_text("name: [")
    began = station.clock.now().at
    for number in range(250):
        for model in ("bottle@99.0.0", f"jar-{number}", "bottle@3.0.0", "jar@1"):
            station.send("swap", model=model)
    station.ask("hold")
    assert station.looks <= 2 + station.clock.now().at - began
    assert station.ask("swap", model="bottle@3.0.0")["error"]["code"] == "invalid_bundle"
