"""Two engines of the same weights agree box by box, or they do not."""

from __future__ import annotations

from edge_daemon.core.agreement import Agreement, agree
from edge_daemon.core.values import Detection


def seen(label: str, confidence: float, x: float = 0.0) -> Detection:
    return Detection(label, confidence, (x, 0.0, x + 100.0, 100.0))


def test_the_same_boxes_in_another_order_are_a_proof() -> None:
    """Order is not a difference, and what is off by rounding is told."""
    ours = (seen("dent", 0.8), seen("bottle", 0.9, 300.0))
    theirs = (seen("bottle", 0.91, 301.0), seen("dent", 0.79))
    found = agree(ours, theirs, 0.35)
    assert (found.partners, found.differences) == (2, 0)
    assert round(found.worst_drift, 3) == 0.01
    assert 0.97 < found.worst_iou < 0.99
    assert found.is_proof


def test_another_class_in_the_same_place_is_a_difference_on_both_sides() -> None:
    """A scratch that the engine calls a dent is missed and made up at once."""
    found = agree((seen("scratch", 0.8),), (seen("dent", 0.8),), 0.35)
    assert (found.partners, found.differences) == (0, 2)


def test_a_box_at_the_edge_of_the_limit_may_be_seen_by_one_only() -> None:
    """Rounding decides there; a surer one may not be lost."""
    both = seen("bottle", 0.9, 300.0)
    assert agree((both, seen("dent", 0.36)), (both,), 0.35).is_proof
    assert not agree((both, seen("dent", 0.45)), (both,), 0.35).is_proof
    assert not agree((both,), (both, seen("dent", 0.45)), 0.35).is_proof


def test_a_moved_box_and_a_drifting_confidence_are_no_proof() -> None:
    """Partners must agree in place and in confidence."""
    assert not agree((seen("dent", 0.8),), (seen("dent", 0.8, 8.0),), 0.35).is_proof
    assert not agree((seen("dent", 0.8),), (seen("dent", 0.7),), 0.35).is_proof


def test_nothing_seen_proves_nothing() -> None:
    """Two blind engines agree in everything."""
    assert not (agree((), (), 0.35) + agree((), (), 0.35)).is_proof


def test_each_detection_has_one_partner() -> None:
    """Two boxes over one another need two on the other side."""
    assert agree((seen("dent", 0.8), seen("dent", 0.7, 1.0)), (seen("dent", 0.8),), 0.35) == (
        Agreement(1, 1, 1, 1.0, 0.0)
    )
