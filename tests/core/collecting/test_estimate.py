"""What labelled pictures say of all parts: held against the truth."""

from __future__ import annotations

from random import Random

import pytest

from edge_daemon.core.collecting.estimate import Sampled, quality


def test_with_every_part_labelled_nothing_is_left_to_chance() -> None:
    """8 of 10 rejected parts are bad, and 2 of 10 bad ones were passed."""
    parts = [Sampled(True, 1.0, is_bad=index < 8) for index in range(10)]
    parts += [Sampled(False, 1.0, is_bad=index < 2) for index in range(90)]
    found = quality(parts)
    assert found.precision is not None
    assert found.recall is not None
    assert (found.precision.low, found.precision.high) == pytest.approx((0.8, 0.8))
    assert (found.recall.low, found.recall.high) == pytest.approx((0.8, 0.8))
    assert (found.labelled, found.missing) == (100, 0)


def test_a_drawn_part_stands_for_those_that_were_not_drawn() -> None:
    """90 found, and one miss among parts drawn with 1 in 10: recall is about 0.9."""
    parts = [Sampled(True, 1.0, is_bad=True) for _ in range(90)]
    parts += [Sampled(False, 0.1, is_bad=index == 0) for index in range(40)]
    recall = quality(parts).recall
    assert recall is not None
    assert recall.estimate == pytest.approx(0.9)
    assert recall.low < 0.8
    assert 0.95 < recall.high <= 1.0


def test_no_labels_say_nothing() -> None:
    assert quality([]).recall is None
    found = quality([Sampled(True, 1.0), Sampled(False, 0.1)])
    assert found.precision is None
    assert found.recall is None
    assert found.missing == 2


def test_without_a_look_at_passed_parts_recall_is_not_known() -> None:
    """However many rejected parts are confirmed: nobody knows what was passed."""
    found = quality([Sampled(True, 1.0, is_bad=True) for _ in range(100)])
    assert found.precision is not None
    assert found.recall is None


def test_pictures_that_were_left_out_are_stood_for() -> None:
    """Of 4 bad and 4 good rejected parts, 3 bad ones were nearly the same as a fourth."""
    parts = [Sampled(True, 1.0, is_bad=True, alike=3)]
    parts += [Sampled(True, 1.0, is_bad=False) for _ in range(4)]
    precision = quality(parts).precision
    assert precision is not None
    assert precision.estimate == pytest.approx(0.5)


def test_labelled_parts_stand_for_unlabelled_ones_of_their_kind() -> None:
    """Half of the rejected parts are labelled: the estimate stays, the interval opens."""
    labelled = [Sampled(True, 1.0, is_bad=index < 40) for index in range(50)]
    found = quality([*labelled, *(Sampled(True, 1.0) for _ in range(50))])
    assert found.precision is not None
    assert found.precision.estimate == pytest.approx(0.8)
    assert found.precision.low < 0.75
    assert found.precision.high > 0.85
    assert found.missing == 50


def test_intervals_cover_the_truth() -> None:
    """300 lines of 3,000 parts each: rejected ones all looked at, passed ones drawn 1 in 50."""
    random, covered = Random(5), 0
    for _ in range(300):
        parts, hits, bad_parts = [], 0, 0
        for _ in range(3_000):
            is_bad = random.random() < 0.03
            is_rejected = random.random() < (0.9 if is_bad else 0.01)
            bad_parts, hits = bad_parts + is_bad, hits + (is_bad and is_rejected)
            probability = 1.0 if is_rejected else 0.02
            if random.random() < probability:
                parts.append(Sampled(is_rejected, probability, is_bad))
        recall = quality(parts).recall
        covered += recall is not None and recall.holds(hits / bad_parts)
    assert covered >= 0.95 * 300
