"""Two models' words on the same frames become one pair of each part."""

from __future__ import annotations

from dataclasses import replace

from edge_daemon.core.judged import Judged
from edge_daemon.core.parts.values import By, FrameOpinions, PartOutcome, PartRules
from edge_daemon.core.rollout.draw import assign
from edge_daemon.core.rollout.pairing import Coverage, Pairing, Seen
from edge_daemon.core.rollout.values import Arm, Mode, Opinion, SliceRule, Split
from edge_daemon.core.values import (
    Assignment,
    BundleRef,
    Detection,
    Recipe,
    StoredBundle,
    Verdict,
)

OLD, NEW = BundleRef("bottle", "1"), BundleRef("bottle", "2")


def said(model: BundleRef) -> Opinion:
    return Opinion(
        model, "0" * 64, Verdict.OK, detections=(Detection("bottle", 0.9, (1.0, 1.0, 7.0, 7.0)),)
    )


def frame(number: int) -> Judged:
    return Judged(number, 0.0, 0.0, Assignment(), Verdict.OK, model=OLD)


def test_the_brightness_of_a_part_is_that_of_its_first_frame_that_was_measured() -> None:
    """Pixels are held of one frame at a time: the first one may have passed by unmeasured."""
    rules = (SliceRule("dark", brightness_below=50.0),)
    split = Split("r", "B", StoredBundle(NEW, ""), Recipe(), Mode.SHARE, share=1.0, slices=rules)
    pairing = Pairing("boot", split, PartRules(by=By.TRACK), by_parts=True)
    for number, brightness in enumerate((None, 10.0, 90.0)):
        pairing.frame(Seen(frame(number), said(OLD), said(NEW), brightness))
    looks = tuple(FrameOpinions(number, said(OLD), said(NEW)) for number in range(3))
    told = PartOutcome(
        *(1, None, By.TRACK, Verdict.OK, None, (), (0, 1, 2), None, None, OLD, None, None),
        *(Assignment(), None, 0.0, False, False),
        assigned=assign("r", "boot", 1, 1.0),
        looks=looks,
    )
    pair = pairing.part(told)
    assert pair is not None
    assert (pair.brightness, pair.slices) == (10.0, ("dark",))


def test_an_arm_that_is_not_the_one_of_its_draw_is_counted() -> None:
    coverage = Coverage()
    right = assign("r", "boot", 1, 0.5)
    coverage.assign(right)
    assert coverage.misassigned == 0
    other = assign("r", "boot", 2, 0.5)
    arm = Arm.INCUMBENT if other.arm is Arm.CANDIDATE else Arm.CANDIDATE
    coverage.assign(replace(other, arm=arm))
    assert coverage.misassigned == 1
    assert coverage.arms[0.5][0] == 2


def test_the_parts_of_one_order_share_a_draw_and_count_once() -> None:
    coverage = Coverage()
    for _ in range(10):
        coverage.assign(assign("r", "boot", "an order", 0.5))
    ((draws, _),) = coverage.arms.values()
    assert draws == 1
