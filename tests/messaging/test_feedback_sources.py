"""What testers down the line publish becomes feedback: known shapes, and shapes of one's own."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from edge_daemon.config.feedback import FeedbackSource
from edge_daemon.errors import SenderError
from edge_daemon.messaging.feedback_sources import MAX_PARTS, compile_feedback

TOPIC = "eol/line3"


def said(document: Any, **source: Any) -> list[tuple[object, str, str, str]]:
    """Part, verdict, source and by of each word that is read."""
    words, _ = read(document, **source)
    return [(word.part, word.verdict.value, word.source.value, word.by) for word in words]


def read(document: Any, **source: Any) -> Any:
    reader = compile_feedback(FeedbackSource.model_validate({"topic": "eol/#", **source}))
    payload = document if isinstance(document, bytes) else json.dumps(document).encode()
    return reader.read(payload, TOPIC)


def test_the_flat_preset() -> None:
    """One part or a list of them; a number is a part too, and truth values are words."""
    told = [
        {"part": "SN-1", "verdict": "FAIL", "by": "gauge 2"},
        {"part": 17, "verdict": True},
        {"part": "SN-3", "verdict": "rework"},
    ]
    assert said(told, preset="flat") == [
        ("SN-1", "ng", "downstream", "gauge 2"),
        ("17", "ok", "downstream", TOPIC),
    ]
    assert said(told[0], preset="flat", source="mes") == [("SN-1", "ng", "mes", "gauge 2")]
    assert said(b"", preset="flat") == []


def cfx(kind: str, *units: dict[str, Any]) -> dict[str, Any]:
    return {
        "MessageName": f"CFX.Production.TestAndInspection.{kind}",
        "Version": "1.7",
        "MessageBody": {kind.replace("Units", "") + "Units": list(units)},
    }


def test_ipc_cfx_a_persons_verification_counts_before_the_machines_result() -> None:
    inspected = cfx(
        "UnitsInspected",
        {"UnitIdentifier": "SN-1", "OverallResult": "Failed", "Verification": "DefectRejected"},
        {"UnitIdentifier": "SN-2", "OverallResult": "Failed", "Verification": "NotVerifiedYet"},
        {"UnitIdentifier": "SN-3", "OverallResult": "Passed"},
        {"UnitIdentifier": "SN-4", "OverallResult": "Aborted"},
        {"UnitIdentifier": "SN-5", "OverallResult": "Passed", "Verification": "DefectConfirmed"},
    )
    found = [each[:2] for each in said(inspected, preset="ipc-cfx")]
    assert found == [("SN-1", "ok"), ("SN-2", "ng"), ("SN-3", "ok"), ("SN-5", "ng")]
    tested = cfx("UnitsTested", {"UnitIdentifier": "SN-6", "OverallResult": "Failed"})
    assert [each[:2] for each in said(tested, preset="ipc-cfx")] == [("SN-6", "ng")]
    bare = tested["MessageBody"]
    assert [each[:2] for each in said(bare, preset="ipc-cfx")] == [("SN-6", "ng")]
    assert read({"MessageName": "CFX.Heartbeat", "MessageBody": {}}, preset="ipc-cfx") == ((), [])


def test_a_shape_and_words_of_ones_own() -> None:
    source = {
        "fields": {"items": "station.units", "part": "id.serial", "verdict": "grade"},
        "words": {"ok": ["A", "B"], "ng": ["C"]},
    }
    units = [{"id": {"serial": f"SN-{n}"}, "grade": grade} for n, grade in enumerate("acx")]
    found = [each[:2] for each in said({"station": {"units": units}}, **source)]
    assert found == [("SN-0", "ok"), ("SN-1", "ng")]


def test_what_cannot_be_read_says_where_it_looked_and_hides_nothing_else() -> None:
    words, refused = read([{"part": "SN-1"}, {"part": "SN-2", "verdict": "ok"}, 7], preset="flat")
    assert [word.part for word in words] == ["SN-2"]
    assert [error.message for error in refused] == [
        "The feedback has no verdict: looked at `verdict`.",
        "The feedback is not a JSON object.",
    ]
    _, refused = read(cfx("UnitsTested", {"OverallResult": "Failed"}), preset="ipc-cfx")
    assert "no part: looked at `UnitIdentifier`" in refused[0].message
    mixed = {"TestedUnits": [5, {"UnitIdentifier": "SN-6", "OverallResult": "Failed"}]}
    words, refused = read(mixed, preset="ipc-cfx")
    assert [word.part for word in words] == ["SN-6"]
    assert [error.message for error in refused] == ["The unit is not a JSON object."]
    with pytest.raises(SenderError, match="no CFX message"):
        read([mixed], preset="ipc-cfx")
    for payload in (b"{", b"\xff\xfe", json.dumps([{}] * (MAX_PARTS + 1)).encode()):
        with pytest.raises(SenderError):
            read(payload, preset="flat")


def test_a_name_that_would_steer_a_terminal_is_refused() -> None:
    words, refused = read({"part": "SN\u001b[31m", "verdict": "ok"}, preset="flat")
    assert not words
    assert len(refused) == 1


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"preset": "flat", "fields": {"part": "p", "verdict": "v"}},
        {"preset": "flat", "words": {"ok": ["A"], "ng": ["B"]}},
        {"fields": {"part": "p", "verdict": "v"}, "words": {"ok": ["A"], "ng": ["a"]}},
        {"fields": {"part": "p[", "verdict": "v"}},
        {"preset": "flat", "source": "rumour"},
    ],
)
def test_settings_that_mean_nothing_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FeedbackSource.model_validate({"topic": "eol/#", **wrong})
