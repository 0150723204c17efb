"""The subscriber's book over the real control room and lane: the receipts fit the frames."""

from __future__ import annotations

import threading
from pathlib import Path

from edge_daemon.cli.drill_ledger import SubscriberLedger
from edge_daemon.messaging import result_payloads
from tests.sim.station import Station

B1, B2, CAN = "bottle@1.0.0", "bottle@2.0.0", "can@1.0.0"


def book_of(station: Station) -> SubscriberLedger:
    ledger = SubscriberLedger({"BTL": "bottle", "CAN": "can"})
    for judged in tuple(station.results):
        ledger.take_result(result_payloads.result(station.boot, judged))
    for event in station.events("swapped", "confirmed", "rolled_back"):
        ledger.take_event(event)
    return ledger


def test_a_swap_that_waited_names_the_bundle_that_it_really_left(tmp_path: Path) -> None:
    """Asked while bottle judged, done after an order for cans: it left the can model."""
    with Station(tmp_path).run() as station:
        request = station.send("swap", model=B2, at="next_order")
        station.until_event("prepared", model=B2)
        station.order("CAN", order="WO-1")
        station.until_active(CAN)
        station.order("BTL", order="WO-2")
        receipt = station.outcome(request)["receipt"]
        station.until_frames(20)
        assert (receipt["from"], receipt["to"]) == (CAN, B2)
        assert book_of(station).faults == []


def test_orders_swaps_and_rollbacks_leave_a_clean_book(tmp_path: Path) -> None:
    """Whatever the reason of a cutover, its receipt is there and exact."""
    with Station(tmp_path).run() as station:
        for model in (B2, B1, B2):
            assert station.ask("swap", model=model)["status"] == "succeeded"
            station.until_frames(10)
        assert station.ask("rollback", model=B1)["status"] == "succeeded"
        for number, product in enumerate(("CAN", "BTL", "CAN")):
            station.order(product, order=f"WO-{number}")
            station.until_active(CAN if product == "CAN" else B1)
            station.until_frames(10)
        done = threading.Event()
        for _ in range(100):  # the last event may still be on its way
            if not (faults := book_of(station).faults):
                break
            done.wait(0.05)
        assert faults == []
        assert book_of(station).tally().cutovers >= 6
