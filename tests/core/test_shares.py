"""A shift of verdicts is told from chance, though consecutive frames show the same part."""

from __future__ import annotations

import random
from collections.abc import Iterable
from math import comb

import pytest

from edge_daemon.core.shares import WINDOW, Count, Record, Shares, compare, fisher_low
from edge_daemon.core.trial import Judgement, Response, VerdictWatch, with_verdicts

ALPHA = 0.001
PAIRS = (("scratch", "scratch"),)


def record(frames: Iterable[tuple[bool, bool]], *, every: bool = True) -> Record:
    """Windows of (part in view, ng) frames."""
    seen = list(frames)
    with_part = [frame for frame in seen if frame[0]]
    return Record(windows(seen), windows(with_part) if every else ())


def windows(frames: list[tuple[bool, bool]]) -> tuple[Shares, ...]:
    found, last_ng, last_nothing = [], False, False
    for start in range(0, len(frames), WINDOW):
        part = frames[start : start + WINDOW]
        ng = ng_changes = nothing = nothing_changes = 0
        for in_view, is_ng in part:
            ng += is_ng
            ng_changes += is_ng is not last_ng
            nothing += not in_view
            nothing_changes += (not in_view) is not last_nothing
            last_ng, last_nothing = is_ng, not in_view
        count = Count(ng, ng_changes)
        found.append(Shares(len(part), count, Count(nothing, nothing_changes), {"scratch": count}))
    return tuple(found)


def conveyor(
    chance: random.Random, frames: int, ng_share: float, *, parts: bool = True
) -> list[tuple[bool, bool]]:
    """Parts of 8 to 30 frames with gaps between; each part is ng or not, as a whole."""
    seen: list[tuple[bool, bool]] = []
    while len(seen) < frames:
        is_ng = parts and chance.random() < ng_share
        seen += [(parts, is_ng)] * chance.randint(8, 30)
        seen += [(False, False)] * chance.randint(0, 20)
    return seen[:frames]


def test_the_tail_is_the_hypergeometric_one() -> None:
    """Against counting the ways."""
    for k1, n1, k0, n0 in ((0, 5, 4, 6), (2, 7, 3, 9), (3, 3, 2, 8)):
        total, hits = n0 + n1, k0 + k1
        ways = sum(comb(hits, k) * comb(total - hits, n1 - k) for k in range(k1 + 1))
        assert fisher_low(k1, n1, k0, n0) == pytest.approx(ways / comb(total, n1))


def test_a_version_that_judges_alike_is_rarely_held_to_differ() -> None:
    """At most alpha of all trials; by single frames it would be most of them."""
    chance = random.Random(7)
    low = 0
    for _ in range(400):
        before = record(conveyor(chance, 3000, 0.3))
        during = record(conveyor(chance, 300, 0.3))
        low += bool(compare(before, during, PAIRS, whole=True, alpha=ALPHA).low)
    assert low <= 2


def test_a_version_that_rejects_nothing_any_more_is_noticed() -> None:
    """Where most parts were ng, a trial of ten seconds is enough."""
    chance = random.Random(3)
    noticed = 0
    for _ in range(50):
        before = record(conveyor(chance, 3000, 0.95))
        during = record(conveyor(chance, 300, 0.0))
        shift = compare(before, during, PAIRS, whole=True, alpha=ALPHA)
        noticed += bool(shift.low)
        assert bool(shift.low) != bool(shift.unclear)
    assert noticed >= 40


def test_more_ng_than_before_is_high_and_fewer_is_low() -> None:
    """Each named with its counts."""
    chance = random.Random(5)
    few, many = (record(conveyor(chance, 3000, share)) for share in (0.05, 0.9))
    assert compare(few, many, PAIRS, whole=True, alpha=ALPHA).high
    low = compare(many, few, PAIRS, whole=True, alpha=ALPHA).low
    assert any("ng for scratch" in sentence for sentence in low)


def test_an_empty_belt_condemns_nobody() -> None:
    """No part came during the trial: that is said, and warned of, and fails nothing."""
    chance = random.Random(2)
    before = record(conveyor(chance, 3000, 0.9))
    shift = compare(before, record([(False, False)] * 300), PAIRS, whole=True, alpha=ALPHA)
    assert not shift.low
    assert "no frames with a part" in shift.unclear


def test_where_only_defects_are_found_all_frames_count() -> None:
    """A recipe without a class of good parts has no other evidence."""
    chance = random.Random(4)
    before = record(conveyor(chance, 3000, 0.9), every=False)
    during = record(conveyor(chance, 900, 0.0), every=False)
    assert compare(before, during, PAIRS, whole=True, alpha=ALPHA).low


def test_a_rule_that_was_given_up_is_not_missed() -> None:
    """It was accepted before the cutover; without a rule in common nothing is compared."""
    chance = random.Random(6)
    before, during = record(conveyor(chance, 3000, 0.9)), record(conveyor(chance, 300, 0.0))
    shift = compare(before, during, (), whole=False, alpha=ALPHA)
    assert not shift.low
    assert "no rule in common" in shift.unclear


@pytest.mark.parametrize("frames", [0, 20, 200])
def test_too_little_evidence_is_said(frames: int) -> None:
    """No record, or one too short to tell anything from chance."""
    chance = random.Random(1)
    before = record(conveyor(chance, frames, 0.5))
    during = record(conveyor(chance, 300, 0.0))
    shift = compare(before, during, PAIRS, whole=True, alpha=ALPHA)
    assert not shift.low
    assert shift.unclear


def test_a_batch_that_the_record_has_seen_before_is_no_shift() -> None:
    """Whole windows of the record differ: so may those of the trial."""
    batches = [[(True, True)] * WINDOW, [(True, False)] * WINDOW] * 8
    before = record([frame for batch in batches for frame in batch])
    during = record([(True, False)] * WINDOW)
    assert not compare(before, during, PAIRS, whole=True, alpha=ALPHA).low


PASSED = Judgement(True, "300 frames in 10 s without a finding.")


def test_low_fails_and_high_warns_unless_the_settings_say_otherwise() -> None:
    """Every judgement says what the verdicts could tell."""
    chance = random.Random(8)
    few, many = (record(conveyor(chance, 3000, share)) for share in (0.02, 0.95))
    low = compare(many, few, PAIRS, whole=True, alpha=ALPHA)
    high = compare(few, many, PAIRS, whole=True, alpha=ALPHA)
    assert not with_verdicts(PASSED, VerdictWatch(), low).passed
    assert with_verdicts(PASSED, VerdictWatch(), high).warning
    assert with_verdicts(PASSED, VerdictWatch(low=Response.WARN), low).warning
    assert not with_verdicts(PASSED, VerdictWatch(high=Response.FAIL), high).passed
    off = VerdictWatch(low=Response.OFF, high=Response.OFF)
    assert with_verdicts(PASSED, off, low) == PASSED
    unclear = compare(Record(), few, PAIRS, whole=True, alpha=ALPHA)
    assert "judged fewer than" in with_verdicts(PASSED, VerdictWatch(), unclear).reason


def belt(spans: Iterable[tuple[bool, int]]) -> Record:
    """Spans of frames that are empty or not, none of them ng."""
    frames = [is_empty for is_empty, length in spans for _ in range(length)]
    found, last = [], False
    for start in range(0, len(frames), WINDOW):
        part = frames[start : start + WINDOW]
        changes = 0
        for is_empty in part:
            changes += is_empty is not last
            last = is_empty
        empty = Count(sum(part), changes)
        found.append(Shares(len(part), Count(), Count(), {}, empty))
    return Record(tuple(found), ())


def test_frames_that_are_empty_no_more_fail_where_the_belt_is_known() -> None:
    """Parts are seen where there are none; more empty frames than before are warned of."""
    usual = belt([(True, 6), (False, 6)] * 400)
    full, bare, alike = (
        belt([(False, 900)]),
        belt([(True, 900)]),
        belt([(True, 6), (False, 6)] * 75),
    )

    def shift(during: Record, before: Record = usual) -> tuple[int, int]:
        found = compare(before, during, (), whole=True, alpha=ALPHA, same_part=True)
        return (
            sum("empty" in each for each in found.low),
            sum("empty" in each for each in found.high),
        )

    assert shift(full) == (1, 0)
    assert shift(bare) == (0, 1)
    assert shift(alike) == (0, 0)
    assert shift(full, before=belt([(True, 4800)])) == (0, 1)  # a night, and the shift begins
    assert not compare(usual, full, (), whole=True, alpha=ALPHA).low
