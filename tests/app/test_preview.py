"""What a tuning would have made of recent frames is told before it counts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edge_daemon.app import preview
from edge_daemon.control.loader import GateProof
from edge_daemon.core.golden import Expectation, ExpectedBox, Golden
from edge_daemon.core.judged import Judged
from edge_daemon.core.recipe import broken_rules, verdict_of
from edge_daemon.core.values import (
    UNASSIGNED,
    Adjustable,
    BundleRef,
    Detection,
    Recipe,
    Rule,
    StoredBundle,
)
from edge_daemon.errors import SenderError

REF = BundleRef("bottle", "1.4.0")
RECIPE = Recipe(
    rules=(Rule("scratch", "scratch", 0.4, at_most=0),),
    adjustable=(Adjustable("scratch.confidence", 0.3, 0.6),),
)
PROOF = GateProof(StoredBundle(REF, "ab" * 32), RECIPE)


def frames(*confidences: float) -> list[Judged]:
    """Each shows one scratch."""
    made = []
    for number, confidence in enumerate(confidences):
        found = (Detection("scratch", confidence, (0.0, 0.0, 9.0, 9.0)),)
        causes = broken_rules(found, RECIPE, (64, 48))
        verdict = verdict_of(causes, found, RECIPE)
        made.append(
            Judged(
                number,
                0.0,
                0.0,
                UNASSIGNED,
                verdict,
                model=REF,
                recipe=RECIPE,
                size=(64, 48),
                detections=found,
                causes=causes,
            )
        )
    return made


def test_both_counts_and_the_frames_that_change_are_told() -> None:
    """Stricter and weaker; nothing is changed by asking."""
    weaker = preview.of(frames(0.35, 0.42, 0.9), PROOF, {"scratch.confidence": 0.5})
    assert weaker["before"] == {"ok": 1, "ng": 2, "empty": 0, "causes": {"scratch": 2}}
    assert weaker["after"] == {"ok": 2, "ng": 1, "empty": 0, "causes": {"scratch": 1}}
    scratch = {"name": "scratch.confidence", "value": 0.4, "low": 0.3, "high": 0.6}
    assert weaker["adjustable"] == [scratch], "from where it stands, within its bounds"
    assert weaker["newly"] == {"ok": [1], "ng": [], "empty": []}
    stricter = preview.of(frames(0.35, 0.42), PROOF, {"scratch.confidence": 0.3})
    assert stricter["newly"]["ng"] == [0]


def test_no_frame_is_a_preview_of_nothing() -> None:
    """No evidence is told as such."""
    assert preview.of([], PROOF, {})["frames"] == 0


def test_what_may_not_be_tuned_is_not_previewed() -> None:
    """The same sentence as the request would get."""
    with pytest.raises(SenderError, match=r"may be 0\.3 to 0\.6"):
        preview.of(frames(0.5), PROOF, {"scratch.confidence": 0.9})


def test_values_that_the_golden_images_refuse_are_named() -> None:
    """Whatever the last frames say: by these values a known defect would pass."""
    box = (0.0, 0.0, 9.0, 9.0)
    seen = Golden(
        Expectation("all", (ExpectedBox("scratch", box),)), (Detection("scratch", 0.45, box),)
    )
    proof = replace(PROOF, golden=(seen,))
    assert preview.of([], proof, {"scratch.confidence": 0.42})["golden"] == ""
    assert (
        "golden.escape would fail" in preview.of([], proof, {"scratch.confidence": 0.5})["golden"]
    )
    held = {"scratch.confidence": 0.5}
    assert "would fail" in preview.of([], proof, {}, held)["golden"]
