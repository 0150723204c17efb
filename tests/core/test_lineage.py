"""What a model learned from, read from whatever its maker wrote down."""

from __future__ import annotations

import pytest

from edge_daemon.core.lineage import Origin, Trained, read_trained, trained_on

MLFLOW = Origin("mlflow", "http://m", "bottle-model", run_id="9a7c", datasets=("from-the-run",))


@pytest.mark.parametrize(
    ("said", "trained"),
    [
        ({}, Trained()),
        ({"dataset": "line3-2026-10"}, Trained(("line3-2026-10",))),
        ({"dataset": ["a", "b"], "run": "r1"}, Trained(("a", "b"), "r1")),
        ({"dataset": {"name": "a", "digest": "9f"}, "run": {"id": 7}}, Trained(("a",), "7")),
        ({"dataset": 20261024}, Trained(("20261024",))),
        ({"parent": "1.3.0"}, Trained(parent="bottle@1.3.0")),
        ({"parent": "base@2.0.0"}, Trained(parent="base@2.0.0")),
        ({"dataset": {"path": "/data"}, "run": True, "parent": [None]}, Trained()),
        ({"dataset": ["", "  ", "a\nb", "\x1b[31m", "x" * 513]}, Trained()),
    ],
)
def test_what_is_not_understood_is_unknown(said: dict[str, object], trained: Trained) -> None:
    """It never fails: older bundles say there what they like."""
    assert read_trained("bottle", said) == trained


def test_the_source_fills_in_what_the_bundle_leaves_open() -> None:
    """What is signed goes first."""
    assert read_trained("bottle", {}, MLFLOW) == Trained(("from-the-run",), "9a7c")
    said = {"dataset": "signed", "run": "r1"}
    assert read_trained("bottle", said, MLFLOW) == Trained(("signed",), "r1")


def test_a_data_set_lives_on_in_what_was_trained_further() -> None:
    """Through its nearest ancestor that learned from it; a circle of parents ends."""
    known = {
        "b@1": Trained(("old",)),
        "b@2": Trained(("new",), parent="b@1"),
        "b@3": Trained(parent="b@2"),
        "b@4": Trained(("other",), parent="b@0"),
        "b@5": Trained(parent="b@6"),
        "b@6": Trained(parent="b@5"),
    }
    assert trained_on("old", known) == {"b@1": None, "b@2": "b@1", "b@3": "b@1"}
    assert trained_on("new", known) == {"b@2": None, "b@3": "b@2"}
    assert trained_on("missing", known) == {}
