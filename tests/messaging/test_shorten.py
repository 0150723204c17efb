"""What a message leaves out where it does not fit: the least important part goes first."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from edge_daemon.core.values import Check, Refusal, Status
from edge_daemon.errors import Code
from edge_daemon.messaging import payloads
from edge_daemon.messaging.answer import outcome
from edge_daemon.messaging.shorten import shortened

CHECKS = tuple(Check(f"golden.{number}", False, 0.1, 0.9, "x" * 60) for number in range(20))
RECEIPT = payloads.Receipt(
    swap_id="s-1",
    verb="swap",
    boot="b",
    from_="bottle@1.0.0",
    to="bottle@2.0.0",
    sha256="9f" * 32,
    requested_at="2026-11-22T10:00:00.250Z",
    reason="r" * 500,
    checks=payloads.check_lines(CHECKS),
)
SUCCEEDED = outcome("42", Status.SUCCEEDED, receipt=RECEIPT).body
REJECTED = outcome(
    "42", Status.REJECTED, refusal=Refusal(Code.GATE_FAILED, "m" * 300, "h" * 300, CHECKS)
).body
SWAPPED = payloads.encode(
    payloads.Event(type="swapped", time="then", boot="b", model="bottle@2.0.0", receipt=RECEIPT)
)
OFFER = payloads.encode(
    payloads.ModelAvailable(
        tuple(
            payloads.AvailableModel(f"{name}@1.0.{n}", "9f" * 32, ("c" * 20,) * 30, ("P" * 9,) * 9)
            for name in ("bottle", "can")
            for n in range(8)
        ),
        (payloads.ErrorLine("invalid_bundle", "x" * 200),),
    )
)
RESULT = json.dumps({"frame": 1, "verdict": "ng", "detections": [{"class": "dent"}] * 50}).encode()


def fitted(payload: bytes, most: int) -> Any:
    body = shortened(payload, most)
    assert body is not None
    assert len(body) <= most
    return json.loads(body)


@pytest.mark.parametrize(
    ("payload", "most", "left_out"),
    [
        (SUCCEEDED, 2000, ["checks"]),
        (SUCCEEDED, 700, ["checks", "receipt"]),
        (REJECTED, 2000, ["checks"]),
        (REJECTED, 200, ["checks", "message"]),
        (SWAPPED, 2000, ["checks"]),
        (SWAPPED, 300, ["checks", "receipt"]),
        (OFFER, 5000, ["classes"]),
        (OFFER, 2500, ["classes", "products"]),
        (OFFER, 1800, ["classes", "products", "refused"]),
        (OFFER, 600, ["classes", "products", "refused", "models"]),
        (RESULT, 200, ["detections"]),
    ],
)
def test_the_least_important_part_goes_first(
    payload: bytes, most: int, left_out: list[str]
) -> None:
    """And the message says what it lacks."""
    assert fitted(payload, most)["left_out"] == left_out


def test_the_checks_of_the_gate_before_go_first() -> None:
    """Those of this proof are worth more; when the gate ran stays."""
    gate = payloads.GateRun("2026-11-20T10:00:00.000Z", RECEIPT.checks)
    receipt = msgspec.structs.replace(RECEIPT, proof="spot", gate=gate)
    whole = outcome("42", Status.SUCCEEDED, receipt=receipt).body
    short = json.loads(shortened(whole, len(whole) - 100) or b"{}")["receipt"]
    assert short["gate"] == {"at": "2026-11-20T10:00:00.000Z"}
    assert len(short["checks"]) == len(CHECKS)
    assert short["proof"] == "spot"


def test_an_outcome_keeps_its_status_and_its_code() -> None:
    """Whoever waits for it must not wait for ever, and a program reads the code."""
    told = fitted(REJECTED, 150)
    assert (told["id"], told["status"], told["error"]["code"]) == ("42", "rejected", "gate_failed")
    assert fitted(SUCCEEDED, 150)["status"] == "succeeded"


def test_a_result_keeps_its_verdict() -> None:
    """A part is never taken for good because its defects did not fit."""
    assert fitted(RESULT, 200)["verdict"] == "ng"


def test_the_newest_versions_of_each_name_stay_longest() -> None:
    """An offer of many versions is cut at its old end."""
    names = [model["model"] for model in fitted(OFFER, 600)["models"]]
    assert names == ["bottle@1.0.6", "bottle@1.0.7", "can@1.0.6", "can@1.0.7"]


@pytest.mark.parametrize("payload", [b"\xff\xd8\xff\xe0 a picture", b"[1]", b'{"id":"42"}', b""])
def test_what_has_no_part_to_leave_out_is_not_shortened(payload: bytes) -> None:
    """Then it is left out as a whole."""
    assert shortened(payload, 3) is None
