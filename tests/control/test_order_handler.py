"""Stories of orders on their way in: which of them count, and what is known of them later."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from structlog.testing import capture_logs

from edge_daemon.core.values import Reason
from tests.sim.station import Plan, Station

B1, CAN = "bottle@1.0.0", "can@1.0.0"
CLIENT = "edge-daemon-cam1"


class Stations:
    """Stations in one folder, one after the other."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.made: list[Station] = []

    def __call__(self, **plan: Any) -> Station:
        self.made.append(Station(self._folder, Plan(**plan)).run())
        return self.made[-1]

    def restart(self, station: Station, *, forgotten: bool = False) -> Station:
        """The next start; `forgotten`: the broker knows our session no more."""
        self.made.append(station.restarted())
        if forgotten:
            station.broker.forget_session(CLIENT)
        self.made[-1].start().until(lambda: bool(self.made[-1].results))
        return self.made[-1]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Stations]:
    """Each is stopped at the end, and must not have lost a frame."""
    stations = Stations(tmp_path)
    yield stations
    for station in stations.made:
        station.stop()
        assert station.ledger.first_violation is None


def made_now(station: Station) -> tuple[str | None, str | None, str]:
    """Product, job order and model of the newest frame, once every order so far was taken."""
    station.until(lambda: station.session.unacknowledged == [])
    station.until_frames(5)
    judged = station.results[-1]
    return judged.assignment.product, judged.assignment.job_order, str(judged.model)


def lose_session(station: Station) -> None:
    """The connection tears, and the broker forgets us: it sends what it keeps once more."""
    station.session.cut()
    station.broker.forget_session(CLIENT)
    station.session.resume()


@pytest.mark.parametrize("protocol", [5, 4])
def test_what_the_broker_only_delivers_again_is_no_arrival(
    start: Stations, protocol: Literal[5, 4]
) -> None:
    """A retained order, then a newer one that is not: nothing but a MES brings the first back.

    Not a torn connection, not a lost session, not a restart; a MES that says it again does.
    """
    station = start(protocol=protocol)
    station.order("BTL", order="WO-1", retain=True)
    station.order("CAN", order="WO-2")
    station.until_active(CAN)
    since = len(station.results)
    station.session.cut()
    station.session.resume()
    assert made_now(station) == ("CAN", "WO-2", CAN)
    for _ in range(2):
        lose_session(station)
        assert made_now(station) == ("CAN", "WO-2", CAN)
    assert {r.assignment.product for r in station.results[since:]} == {"CAN"}

    later = start.restart(station, forgotten=True)
    assert made_now(later) == ("CAN", "WO-2", CAN)
    assert {r.assignment.product for r in later.results} == {"CAN"}
    assert not [e for e in later.events("order_running") if e["message"] == "WO-1"]
    later.order("BTL", order="WO-1", retain=True)
    later.until_active(B1)
    assert made_now(later) == ("BTL", "WO-1", B1)


@pytest.mark.parametrize("protocol", [5, 4])
def test_an_order_that_another_client_with_our_id_took_is_applied(
    start: Stations, protocol: Literal[5, 4]
) -> None:
    """The session is there when we come back, and empty: the broker still keeps the order."""
    station = start(protocol=protocol)
    station.order("CAN", order="WO-2", retain=True)
    station.until_active(CAN)
    station.session.cut()
    station.order("BTL", order="WO-3", retain=True)
    station.broker.steal_session(CLIENT)
    station.session.resume()
    station.until_active(B1)
    assert made_now(station) == ("BTL", "WO-3", B1)


@pytest.mark.parametrize("protocol", [5, 4])
def test_what_is_kept_does_not_overtake_what_waited(
    start: Stations, protocol: Literal[5, 4]
) -> None:
    """A retained order and a newer one wait in the session. Then the first comes once more."""
    station = start(protocol=protocol)
    station.session.cut()
    station.order("BTL", order="WO-1", retain=True)
    station.order("CAN", order="WO-2")
    station.session.resume()
    station.until_active(CAN)
    assert made_now(station) == ("CAN", "WO-2", CAN)


@pytest.mark.parametrize("protocol", [5, 4])
def test_a_retained_order_that_was_not_seen_is_applied(
    start: Stations, protocol: Literal[5, 4]
) -> None:
    """Published while nobody kept it for us: it is what the line makes now."""
    station = start(protocol=protocol)
    station.order("BTL", order="WO-1", retain=True)
    station.order("CAN", order="WO-2")
    station.until_active(CAN)
    station.session.cut()
    station.broker.forget_session(CLIENT)
    station.order("BTL", order="WO-3", retain=True)
    station.session.resume()
    station.until_active(B1)
    assert made_now(station) == ("BTL", "WO-3", B1)


def test_the_same_words_retained_anew_count_where_others_were_kept_between(start: Stations) -> None:
    """A topic that always holds the present product: back to the one before is a change."""
    station = start()
    station.order("BTL", retain=True)
    station.order("CAN", retain=True)
    station.until_active(CAN)
    station.session.cut()
    station.broker.forget_session(CLIENT)
    station.order("BTL", retain=True)
    station.session.resume()
    station.until_active(B1)


def test_what_was_cleared_and_retained_anew_is_new(start: Stations) -> None:
    """An empty retained message takes the old one back."""
    station = start()
    station.order("BTL", order="WO-1", retain=True)
    station.order("CAN", order="WO-2")
    station.tell(b"", retain=True)
    station.until_active(CAN)
    station.session.cut()
    station.broker.forget_session(CLIENT)
    station.order("BTL", order="WO-1", retain=True)
    station.session.resume()
    station.until_active(B1)


def test_an_order_that_could_not_be_read_is_read_again(start: Stations) -> None:
    """Nothing was done for it: after the mapping was corrected it still counts."""
    station = start()
    station.tell(b"{", retain=True)
    station.until_event("order_refused")
    assert station.journal.orders().topics == ()


# --------------------------------------------------------------------------- known by the id


def test_an_order_is_started_and_ended_by_its_id(start: Stations) -> None:
    """Its product is known since it was announced, also after a restart."""
    station = start()
    station.order("CAN", "dispatched", "WO-7")
    station.until_event("prepared", model=CAN)
    station = start.restart(station)
    station.tell({"workOrder": "WO-7", "status": "running"})
    station.until_active(CAN)
    assert made_now(station) == ("CAN", "WO-7", CAN)
    cans = [r for r in station.results if r.assignment.job_order == "WO-7"]
    assert {(str(r.model), r.assignment.product) for r in cans} == {(CAN, "CAN")}
    station.tell({"workOrder": "WO-7", "status": "completed"})
    station.until_event("order_completed", message="WO-7")
    assert station.ask("swap", model=B1)["status"] == "succeeded", "no order forbids it any more"
    assert not station.events("order_refused")


def test_frames_of_an_order_that_nobody_told_are_judged_by_no_model(start: Stations) -> None:
    """It is refused, yet it runs: uninspected until its product is told, also after a restart."""
    station = start()
    station.order("BTL", order="WO-1")
    station.tell({"workOrder": "WO-9", "status": "running"})
    refusal = station.until_event("order_refused")
    assert "'WO-9'" in refusal["message"]
    station.until_event("unknown_product")
    assert made_now(station) == (None, "WO-9", "None")
    assert station.results[-1].reason is Reason.UNKNOWN_PRODUCT
    outcome = station.ask("swap", model=CAN)
    assert outcome["error"]["code"] == "wrong_product"
    assert "not known" in outcome["error"]["message"]

    station = start.restart(station)
    station.until_frames(5)
    assert {r.reason for r in station.results} == {Reason.UNKNOWN_PRODUCT}
    station.order("CAN", "dispatched", "WO-9")
    station.until_active(CAN)
    assert made_now(station) == ("CAN", "WO-9", CAN)


def test_one_unreadable_order_hides_no_other(start: Stations) -> None:
    """Each of a message counts for itself: one is refused, the other made."""
    station = start()
    good = {"workOrder": "WO-1", "productCode": "CAN", "status": "running"}
    first, second = ({"workOrder": name, "status": "running"} for name in ("M-1", "M-2"))
    for orders in ([first, good], [good, second]):
        refused = len(station.events("order_refused"))
        station.tell(orders)
        station.until(lambda: len(station.events("order_refused")) > refused)  # noqa: B023
        station.until_active(CAN)
        assert made_now(station) == ("CAN", "WO-1", CAN)
        station.order("BTL", order="WO-0")
        station.until_active(B1)
    assert not station.events("unknown_product")
    assert len(station.events("order_refused")) == 2


# --------------------------------------------------------------------------- what is no order


def test_a_sensor_below_a_wide_filter_floods_nothing(start: Stations) -> None:
    """A thousand messages that are no orders: told once, counted, named in health; orders go on."""
    station = start()
    rows = len(station.journal.audit_rows())
    with capture_logs() as log:
        for number in range(1000):
            station.tell({"temperature": 20 + number % 7})
        station.order("CAN", order="WO-1")
        station.until_active(CAN)
        station.clock.advance(61)
        station.tell({"temperature": 30})
        station.until_event("order_refused", message=AnyText("more orders could not be read"))
    refused = [line for line in log if line["event"] == "order_refused"]
    assert len(refused) == len(station.events("order_refused")) == 2
    assert sum(line["count"] or 1 for line in refused) == 1000
    (problem,) = station.orders.problems()
    assert "mes/orders" in problem
    assert len(station.journal.audit_rows()) - rows < 20
    station.clock.advance(200)
    assert station.orders.problems() == ()


def test_an_order_that_nobody_told_and_that_is_repeated_is_told_once(start: Stations) -> None:
    """Each second the same words: one refusal, one event, no frame judged."""
    station = start()
    for _ in range(100):
        station.tell({"workOrder": "WO-9", "status": "running"})
    assert made_now(station) == (None, "WO-9", "None")
    kinds = [event["type"] for event in station.events()]
    assert kinds.count("order_refused") == kinds.count("unknown_product") == 1


class AnyText(str):
    """Equal to every text that holds it."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and str(self) in other

    __hash__ = str.__hash__
