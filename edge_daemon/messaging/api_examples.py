"""The examples of the API document, each with what a running daemon does with it.

All hold for the same station: it has just changed from bottle@1.3.0 to bottle@1.4.0, which is on
trial; the store offers bottle@1.5.0 and can@1.0.0 too; BTL-500 is linked to bottle, CAN-330 to
can; no work order came yet. A test sends every one of them to such a station.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edge_daemon.core.verbs import Verb

STATION = " ".join((__doc__ or "").split("\n\n")[1].split("A test")[0].split())
"""The sentence about the station, for the document's readers."""


@dataclass(frozen=True)
class Ask:
    """One request; `answers` are the words of its answers, without the `progress` between."""

    name: str
    summary: str
    payload: Mapping[str, Any]
    answers: tuple[str, ...] = ("accepted", "succeeded")


@dataclass(frozen=True)
class Order:
    """One message of a MES; `state` is what of `model/state` is so afterwards."""

    name: str
    summary: str
    payload: Any
    state: Mapping[str, Any]


ASKS: Mapping[Verb, tuple[Ask, ...]] = {
    Verb.PREPARE: (
        Ask("prepare", "Ready beside the active one", {"id": "p1", "model": "bottle@1.5.0"}),
    ),
    Verb.SWAP: (
        Ask(
            "swap",
            "A version, by name and number",
            {"id": "s1", "model": "bottle@1.5.0", "by": "kim", "reason": "it finds dents"},
        ),
        Ask("newest", "The newest version of a name", {"id": "s2", "model": "bottle"}),
        Ask(
            "guarded",
            "Only if nobody was quicker, and only if it can be begun in time",
            {
                "id": "s3",
                "model": "bottle@1.5.0",
                "expect": "bottle@1.4.0",
                "expires": "2099-12-31T23:59:59Z",
            },
        ),
        Ask(
            "somebody was quicker",
            "Another version is active than the sender believes",
            {"id": "s4", "model": "bottle@1.5.0", "expect": "bottle@1.3.0"},
            ("rejected:precondition_failed",),
        ),
        Ask(
            "dry run",
            "Proves the model on this box, and lets it go",
            {"id": "s5", "model": "bottle@1.5.0", "dry_run": True},
        ),
        Ask(
            "at the next order",
            "Prepared now; its outcome comes with the next order of its product",
            {"id": "s6", "model": "bottle@1.5.0", "at": "next_order"},
            ("accepted",),
        ),
        Ask(
            "at a time",
            "Prepared now; active from the first frame at that time",
            {"id": "s7", "model": "bottle@1.5.0", "at": "2035-12-31T23:59:59+01:00"},
            ("accepted",),
        ),
        Ask(
            "at a frame",
            "Prepared now; this frame is the first that it judges",
            {"id": "s8", "model": "bottle@1.5.0", "at": {"frame": 4000000000}},
            ("accepted",),
        ),
        Ask(
            "unknown",
            "The store has no such version",
            {"id": "s9", "model": "bottle@9.9.9"},
            ("rejected:unknown_model",),
        ),
        Ask(
            "too late",
            "It expired before it arrived",
            {"id": "s10", "model": "bottle@1.5.0", "expires": "2020-01-01T00:00:00Z"},
            ("rejected:expired",),
        ),
        Ask("malformed", "A key that is needed is missing", {"id": "s11"}, ("rejected:malformed",)),
    ),
    Verb.ROLLBACK: (
        Ask(
            "rollback",
            "Within one frame, while the version is resident",
            {"id": "r1", "by": "kim", "reason": "it rejects good parts"},
        ),
        Ask("to a version", "The one that is named", {"id": "r2", "model": "bottle@1.3.0"}),
    ),
    Verb.CONFIRM: (Ask("confirm", "The trial ended well", {"id": "c1", "by": "kim"}),),
    Verb.HOLD: (Ask("hold", "Orders are recorded only", {"id": "h1", "reason": "maintenance"}),),
    Verb.RELEASE: (Ask("release", "Orders count again", {"id": "l1"}),),
    Verb.SNAPSHOT: (Ask("snapshot", "The picture comes on `snapshot`", {"id": "n1"}),),
    Verb.TRIGGER: (
        Ask(
            "trigger",
            "The station of these examples counts no parts by triggers; one that does answers "
            "with the number of the part",
            {"id": "SN-1234", "serial": "SN-1234", "at": "2026-11-22T10:00:00.250Z"},
            ("rejected:precondition_failed",),
        ),
    ),
    Verb.TUNE: (
        Ask(
            "not adjustable",
            "The recipe of this model lets nothing be adjusted",
            {
                "id": "u1",
                "model": "bottle",
                "set": {"scratch.confidence": 0.45},
                "by": "kim",
                "reason": "scratches of the last lot are faint",
            },
            ("rejected:precondition_failed",),
        ),
        Ask("reset", "Back to the signed values", {"id": "u2", "model": "bottle", "reset": True}),
    ),
    Verb.ROLLOUT: (
        Ask(
            "dry run",
            "Whether it could begin; nothing is begun",
            {"id": "o1", "model": "bottle@1.5.0", "dry_run": True},
        ),
        Ask(
            "unknown key",
            "A plan that is not understood is refused",
            {"id": "o2", "model": "bottle@1.5.0", "plan": {"canary_trafic": 0.1}},
            ("rejected:invalid_plan",),
        ),
    ),
    Verb.ADVANCE: (
        Ask(
            "advance",
            "No rollout runs on the station of these examples",
            {"id": "v1", "by": "kim", "reason": "seen enough"},
            ("rejected:precondition_failed",),
        ),
    ),
    Verb.ABORT: (
        Ask(
            "abort",
            "Only if this one runs",
            {"id": "b1", "rollout": "9b0c6e1d-7", "by": "kim", "reason": "another lot"},
            ("rejected:precondition_failed",),
        ),
    ),
    Verb.FEEDBACK: (
        Ask(
            "feedback",
            "The station of these examples has told of no such part",
            {"id": "f1", "part": "SN-1234", "verdict": "ng", "source": "operator", "by": "kim"},
            ("rejected:unknown_part",),
        ),
    ),
}

_CAN_RUNS = {"product": "CAN-330", "job_order": "WO-18", "active": {"model": "can@1.0.0"}}
_CAN_COMES = {"product": None, "prepared": {"model": "can@1.0.0"}}


def _b2mml(status: str) -> dict[str, Any]:
    job = {
        "ID": {"$": "WO-18"},
        "DispatchStatus": {"$": status},
        "MaterialRequirement": [
            {"MaterialUse": {"$": "Consumed"}, "MaterialDefinitionID": {"$": "ALU-1"}},
            {"MaterialUse": {"$": "Produced"}, "MaterialDefinitionID": {"$": "CAN-330"}},
        ],
    }
    return {"WorkSchedule": [{"WorkRequest": [{"JobOrder": [job]}]}]}


def _opc(*states: str) -> dict[str, Any]:
    return {
        "JobOrder": {
            "JobOrderID": "WO-18",
            "MaterialRequirements": [
                {"MaterialUse": "Produced", "MaterialDefinitionID": "CAN-330"},
            ],
        },
        "State": [{"StateText": {"Text": state}} for state in states],
    }


ORDERS: Mapping[str, tuple[Order, ...]] = {
    "flat": (
        Order(
            "dispatched",
            "The model is prepared",
            {"workOrder": "WO-18", "productCode": "CAN-330", "status": "dispatched"},
            _CAN_COMES,
        ),
        Order(
            "running",
            "Frames captured from now on are judged by the product's model",
            {"workOrder": "WO-18", "productCode": "CAN-330", "status": "running"},
            _CAN_RUNS,
        ),
    ),
    "umh-core": (
        Order(
            "in progress",
            "As running",
            {"orderId": "WO-18", "productId": "CAN-330", "status": "in-progress"},
            _CAN_RUNS,
        ),
    ),
    "b2mml": (
        Order("Ready", "The model is prepared", _b2mml("Ready"), _CAN_COMES),
        Order("Running", "As running", _b2mml("Running"), _CAN_RUNS),
    ),
    "opc-10031-4": (
        Order(
            "AllowedToStart",
            "The model is prepared",
            _opc("AllowedToStart", "Ready"),
            _CAN_COMES,
        ),
        Order("Running", "As running", _opc("Running"), _CAN_RUNS),
    ),
    "value": (
        Order(
            "value",
            "A product id alone: its arrival means running",
            {"value": "CAN-330"},
            {"product": "CAN-330", "job_order": None, "active": {"model": "can@1.0.0"}},
        ),
        Order(
            "plain",
            "The same without an object around it",
            "CAN-330",
            {"product": "CAN-330", "job_order": None, "active": {"model": "can@1.0.0"}},
        ),
    ),
}
