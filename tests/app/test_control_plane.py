"""The control plane: what comes into the mailbox is done, and told to everybody it concerns."""

from __future__ import annotations

import json
from typing import Any

from edge_daemon.control.arrivals import Noticed, QuarantineOrdered
from edge_daemon.core.values import BundleRef
from edge_daemon.errors import EdgeDaemonError
from tests.sim.device import Device, sim_bundle, wait_until

B1, B2 = "bottle@1.0.0", "bottle@2.0.0"


def offered(device: Device) -> dict[str, str | None]:
    """What `model/available` says of each version."""
    assert device.daemon is not None
    said: dict[str, Any] = json.loads(device.daemon.control.reporter.said()["model/available"])
    return {each["model"]: each.get("quarantined") for each in said["models"]}


def told(device: Device, kind: str) -> list[dict[str, Any]]:
    """The events of this kind, for a broker that is away."""
    assert device.daemon is not None
    rows = device.daemon.resources.journal.outbox_peek(1000)
    events = [json.loads(row.payload) for row in rows if row.topic.endswith("/model/event")]
    return [event for event in events if event["type"] == kind]


def test_a_quarantine_shows_in_the_offer_until_it_is_lifted() -> None:
    """The store is as it was; what is said of it is not."""
    answers: list[EdgeDaemonError | None] = []
    ref = BundleRef.parse(B2)
    with Device(B1, B2) as device:
        device.await_active(B1)
        assert device.daemon is not None
        mailbox = device.daemon.control.mailbox
        wait_until(lambda: offered(device) == {B1: None, B2: None}, "the offer")
        mailbox.put(QuarantineOrdered(ref, "It blurs.", "kim", answers.append))
        wait_until(lambda: offered(device) == {B1: None, B2: "It blurs."}, "the quarantine")
        mailbox.put(QuarantineOrdered(ref, None, "kim", answers.append))
        wait_until(lambda: offered(device) == {B1: None, B2: None}, "its end")
        wait_until(lambda: answers == [None, None], "both answers")


def test_a_bundle_that_arrives_is_offered_to_planner_and_broker() -> None:
    """By the one look at the store."""
    with Device(B1) as device:
        device.await_active(B1)
        assert device.daemon is not None
        driver = device.daemon.control.driver
        sim_bundle(device.store, B2)
        wait_until(lambda: B2 in offered(device), "the offer")
        wait_until(lambda: B2 in [str(known.ref) for known in driver.state.available], "the state")


def test_what_the_box_notices_is_an_event() -> None:
    """From any thread, in order, and durably."""
    with Device(B1) as device:
        device.await_active(B1)
        assert device.daemon is not None
        control = device.daemon.control
        control.mailbox.put(Noticed("picture_bad", "It is black.", "bad_picture"))
        control.tell_event("inference_failing", "The model failed at 3 frames: why.")
        wait_until(lambda: told(device, "inference_failing"), "the event")
        (bad,) = told(device, "picture_bad")
        assert (bad["message"], bad["reason"], bad.get("model")) == (
            "It is black.",
            "bad_picture",
            None,
        )
        (failing,) = told(device, "inference_failing")
        assert failing["model"] == B1
