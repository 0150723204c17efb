"""A candidate beside the active model: one verdict a frame, by the arm that the draw says."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_daemon.core.rollout.blocks import Turn
from edge_daemon.core.rollout.draw import draw
from edge_daemon.core.rollout.values import Arm, Mode, UnitKind
from edge_daemon.core.values import Assignment, BundleRef, Instant, Reason, Verdict
from edge_daemon.errors import BundleError, EdgeDaemonError, SlotLost
from edge_daemon.frames.arms import LEAST_TIMEOUT_S, MOST_IN_SPAN, Arms
from edge_daemon.frames.captured import Captured
from edge_daemon.messaging import result_payloads
from edge_daemon.slots.active import Cutover
from tests.sim.two_models import CANDIDATE, INCUMBENT, NG_BOTH, NG_CANDIDATE, NG_INCUMBENT, OK, Two

CLEAR = 0


def arms(two: Two) -> list[str]:
    """Whose verdict each frame has."""
    return ["candidate" if each.model == CANDIDATE else "incumbent" for each in two.verdicts]


def test_without_a_split_nothing_is_added() -> None:
    """The result's bytes are those of before."""
    two = Two()
    two.film([OK, NG_INCUMBENT])
    assert [each.assigned for each in two.verdicts] == [None, None]
    assert [each.shadow for each in two.verdicts] == [None, None]
    assert b"rollout" not in result_payloads.result("boot", two.verdicts[0])
    assert two.asked(CANDIDATE) == 0


def test_each_frame_is_judged_by_the_arm_that_its_draw_says() -> None:
    """By the candidate where the draw lies below the share; the other model stands beside it."""
    two = Two()
    two.split(share=0.5, either=False)
    two.film([NG_INCUMBENT] * 40)
    for judged in two.verdicts:
        drawn = draw("r-1", "boot", judged.frame)
        is_candidates = drawn < 0.5
        assert judged.assigned is not None
        assert (judged.assigned.draw, judged.assigned.share) == (drawn, 0.5)
        assert judged.model == (CANDIDATE if is_candidates else INCUMBENT)
        assert judged.verdict is (Verdict.OK if is_candidates else Verdict.NG)
        if is_candidates:
            assert judged.shadow is not None
            assert (judged.shadow.model, judged.shadow.verdict) == (INCUMBENT, Verdict.NG)
    assert 0 < two.asked(CANDIDATE) == arms(two).count("candidate") < 40


def test_of_a_candidates_frame_the_stricter_verdict_counts() -> None:
    """With `either`: for the causes of both; what the candidate alone says is its own still."""
    two = Two()
    two.split(share=1.0, either=True)
    two.film([OK, NG_INCUMBENT, NG_CANDIDATE, NG_BOTH])
    assert [each.verdict for each in two.verdicts] == [Verdict.OK, *[Verdict.NG] * 3]
    assert [each.causes for each in two.verdicts] == [(), ("dent",), ("scratch",), BOTH_CAUSES]
    assert {each.model for each in two.verdicts} == {CANDIDATE}


BOTH_CAUSES = ("scratch", "dent")


def test_in_shadow_the_lane_asks_the_active_model_alone() -> None:
    """Every frame says that it is of the incumbent's arm, by a share of 0."""
    two = Two()
    two.split(share=0.5, mode=Mode.SHADOW)
    two.film([NG_CANDIDATE] * 10)
    assert two.asked(CANDIDATE) == 0
    assert {(a.arm, a.share) for each in two.verdicts if (a := each.assigned)} == {
        (Arm.INCUMBENT, 0.0)
    }


def hang(two: Two) -> None:
    two.script.detect = _hanging(two)


def _hanging(two: Two) -> Callable[..., object]:
    detect, limit = two.script.detect, threading.Event()

    def detect_or_hang(order: object, pixels: object) -> object:
        if getattr(order, "ref", None) == CANDIDATE:
            limit.wait(two.timeout_s)
            raise SlotLost("The worker said nothing.")
        return detect(order, pixels)  # type: ignore[arg-type]

    return detect_or_hang


def raises(error: EdgeDaemonError) -> Callable[[Two], None]:
    return lambda two: two.script.fail_infer(CANDIDATE, error)


@pytest.mark.parametrize(
    ("fault", "guard"),
    [
        (raises(BundleError("A layer raised.")), "raised"),
        (raises(SlotLost("It was killed.")), "lost"),
        (lambda two: two.script.not_finite.add(CANDIDATE), "not_finite"),
        (hang, "hung"),
    ],
    ids=["raised", "lost", "not finite", "hung"],
)
def test_a_candidate_that_fails_costs_no_frame(fault: Callable[[Two], None], guard: str) -> None:
    """The same frame has the incumbent's verdict, and none is the candidate's any more."""
    two = Two()
    two.split(share=1.0)
    two.film([NG_CANDIDATE] * 3)
    fault(two)
    two.film([NG_INCUMBENT] * 4)
    assert arms(two) == ["candidate"] * 3 + ["incumbent"] * 4
    assert [each.verdict for each in two.verdicts[3:]] == [Verdict.NG] * 4
    assert {each.reason for each in two.verdicts} == {None}
    failed = two.verdicts[3].assigned
    assert failed is not None
    assert (failed.arm, failed.share) == (Arm.INCUMBENT, 0.0)
    assert [(rollout, word) for rollout, word, _ in two.losses] == [("r-1", guard)]
    assert two.asked(CANDIDATE) == 4, "it is asked nothing after it failed"


def test_a_rollout_whose_candidate_failed_is_given_no_share_again() -> None:
    """However late control hears of it; another rollout is another matter."""
    two = Two()
    two.split(share=1.0)
    two.script.fail_infer(CANDIDATE, BundleError("A layer raised."), times=1)
    two.film([OK])
    two.split(share=0.5)
    two.film([OK] * 5)
    assert set(arms(two)) == {"incumbent"}
    two.split(share=1.0, rollout="r-2")
    two.film([OK])
    assert arms(two)[-1] == "candidate"


def test_a_frame_that_the_incumbent_cannot_judge_is_nobodys() -> None:
    """As without a candidate: it is told why, and the candidate is not asked."""
    two = Two()
    two.split(share=1.0)
    two.script.fail_infer(INCUMBENT, BundleError("A layer raised."), times=1)
    two.film([OK, OK])
    assert [each.reason for each in two.verdicts] == [Reason.INFERENCE_FAILED, None]
    assert two.asked(CANDIDATE) == 1


def test_a_candidate_judges_no_other_product() -> None:
    """While a model of another name judges, the split lies still."""
    two = Two()
    two.split(share=1.0)
    other = BundleRef("can", "1")
    pointer = two.pointer("A", INCUMBENT)
    assert pointer.known is not None
    known = replace(pointer.known, ref=other)
    two.active_slot.ask(Cutover(9, replace(pointer, known=known), "swap"))
    two.film([OK] * 3)
    assert {each.model for each in two.verdicts} == {other}
    assert two.asked(CANDIDATE) == 0


def test_a_candidate_that_becomes_active_is_no_candidate_any_more() -> None:
    """The cutover to its slot ends the split."""
    two = Two()
    two.split(share=0.0)
    two.active_slot.ask(Cutover(9, two.pointer("B", CANDIDATE), "swap"))
    two.film([NG_CANDIDATE] * 3)
    assert [each.assigned for each in two.verdicts] == [None] * 3
    assert two.active_slot.beside is None
    assert two.told_splits[-1] is None


def test_a_share_that_grows_keeps_the_seat_and_whom_it_had() -> None:
    """The next frame knows it; the candidate's slot has one caller throughout."""
    two = Two()
    two.split(share=0.2, either=False)
    two.film([OK] * 30)
    first = two.active_slot.beside
    two.split(share=0.8, either=False)
    two.film([OK] * 30)
    second = two.active_slot.beside
    assert first is not None
    assert second is not None
    assert first.candidate_slot is second.candidate_slot
    shares = [each.assigned.share for each in two.verdicts if each.assigned]
    assert shares == [0.2] * 30 + [0.8] * 30


def test_a_span_is_of_one_arm_from_its_first_frame_to_a_clear_view() -> None:
    """It is drawn by the number of its first frame; a share that changes waits for the next."""
    two = Two()
    two.split(share=0.5, unit=UnitKind.SPAN)
    two.film([OK, OK])
    two.split(share=0.9, unit=UnitKind.SPAN)
    two.film([OK, CLEAR, OK, OK, CLEAR, OK])
    units = [each.assigned.unit for each in two.verdicts if each.assigned]
    assert units == ["0"] * 4 + ["4"] * 3 + ["7"]
    shares = [each.assigned.share for each in two.verdicts if each.assigned]
    assert shares == [0.5] * 4 + [0.9] * 4


def test_a_span_without_an_end_is_cut() -> None:
    """A view that is never clear changes arm all the same."""
    two = Two()
    two.split(share=0.5, unit=UnitKind.SPAN)
    two.film([OK] * (MOST_IN_SPAN + 1))
    units = [each.assigned.unit for each in two.verdicts if each.assigned]
    assert units == ["0"] * MOST_IN_SPAN + [str(MOST_IN_SPAN)]


def test_by_order_all_frames_of_one_order_are_of_one_arm() -> None:
    """The job order is what is drawn; without one, what the line is making."""
    two = Two()
    two.split(share=0.5, unit=UnitKind.ORDER)
    two.order("WO-1")
    two.film([OK] * 3)
    two.order("WO-2")
    two.film([OK] * 3)
    units = [each.assigned.unit for each in two.verdicts if each.assigned]
    assert units == ["WO-1"] * 3 + ["WO-2"] * 3
    assert len(set(arms(two)[:3])) == len(set(arms(two)[3:])) == 1


def test_a_slot_is_vacated_before_it_is_freed() -> None:
    """The split ends, who asks at this moment is waited for, and gets no answer."""
    two = Two()
    two.split(share=1.0)
    beside = two.active_slot.beside
    assert beside is not None
    two.script.hold_infers()
    answers: list[object] = []
    address = two.address()
    asking = threading.Thread(
        target=lambda: answers.append(beside.candidate_slot.ask(address, 30.0))
    )
    asking.start()
    two.script.wait_for("infer")
    assert two.active_slot.vacate("B", 0.01) is False
    two.script.open_infers()
    assert two.active_slot.vacate("B", 30.0) is True
    asking.join(30.0)
    assert answers == [None]
    assert beside.candidate_slot.ask(address, 1.0) is None
    assert two.losses == []


OPS = st.lists(
    st.one_of(
        st.tuples(st.just("frames"), st.lists(st.integers(0, 7), min_size=1, max_size=8)),
        st.tuples(st.just("split"), st.sampled_from((0.0, 0.1, 0.5, 1.0)), st.booleans()),
        st.tuples(st.just("end")),
        st.tuples(st.just("die"), st.sampled_from(("raised", "lost"))),
        st.tuples(st.just("swap")),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(OPS)
def test_an_auditor_finds_every_frame_judged_once_by_the_arm_that_was_drawn(
    ops: list[tuple[object, ...]],
) -> None:
    """From the published bytes alone, whatever happens between frames."""
    two = Two()
    number = 0
    for op in ops:
        if op[0] == "frames":
            two.film(op[1])  # type: ignore[arg-type]
        elif op[0] == "split":
            number += two.is_over
            two.split(share=op[1], either=op[2], rollout=f"r-{number}")  # type: ignore[arg-type]
        elif op[0] == "end":
            two.end()
        elif op[0] == "die":
            two.die(str(op[1]))
        else:
            two.swap_incumbent()
    audit(two)


def audit(two: Two) -> None:
    """Recomputed from what was published, and from nothing else."""
    lines = [msgspec.json.decode(result_payloads.result("boot", each)) for each in two.verdicts]
    assert [line["frame"] for line in lines] == list(range(two.captured))
    for line in lines:
        assert line["verdict"] in ("ok", "ng"), "no frame is lost"
        rollout = line.get("rollout")
        is_candidates = line["model"] == str(CANDIDATE)
        if rollout is None:
            assert not is_candidates
            continue
        drawn = draw(rollout["id"], "boot", rollout["unit"])
        assert rollout["draw"] == drawn
        assert rollout["arm"] == ("candidate" if drawn < rollout["share"] else "incumbent")
        assert is_candidates == (rollout["arm"] == "candidate")
        if is_candidates:
            assert line["shadow"]["model"] != line["model"]


def test_a_candidate_has_no_more_time_than_the_ring_has_room() -> None:
    """At the camera's pace half of the places may fill; a busy box is no hung candidate."""
    two = Two(timeout_s=5.0)
    two.split(share=1.0)
    assert two.arms.timeout_s == 5.0
    made = Arms(two.active_slot, "boot", two.candidate_lost, infer_timeout_s=5.0, room=64)
    assert made.timeout_s == 5.0, "no pace is known yet"
    for number in range(50):
        at = number / 30.0
        captured = Captured(number, Instant(at, at), Assignment(), two.address(), None)
        made.begin(captured, two.active_slot.pointer)
    assert made.timeout_s == pytest.approx(32 / 30.0)
    small = Arms(two.active_slot, "boot", two.candidate_lost, room=4)
    small.begin(Captured(0, Instant(0.0, 0.0), Assignment(), None, None), two.active_slot.pointer)
    small.begin(Captured(1, Instant(0.01, 0.0), Assignment(), None, None), two.active_slot.pointer)
    assert small.timeout_s == LEAST_TIMEOUT_S


def take_turns(two: Two, arm: Arm, rollout: str = "r-1", *, counts: bool = True) -> None:
    two.active_slot.turns.now = Turn(rollout, 0, arm, 1.0, counts)


@pytest.mark.parametrize("arm", list(Arm))
def test_in_a_block_of_time_one_model_looks_a_second_time_and_no_verdict_changes(arm: Arm) -> None:
    """The incumbent judges each frame, whoever's block it is; the parts say a share of 0."""
    two = Two()
    two.split(share=0.0, mode=Mode.COMPARE)
    take_turns(two, arm)
    two.film([NG_INCUMBENT, NG_CANDIDATE] * 10)
    assert set(arms(two)) == {"incumbent"}
    assert [each.verdict for each in two.verdicts] == [Verdict.NG, Verdict.OK] * 10
    assert {(each.assigned.arm, each.assigned.share) for each in two.verdicts if each.assigned} == {
        (Arm.INCUMBENT, 0.0)
    }
    assert {each.shadow for each in two.verdicts} == {None}
    looked = {Arm.INCUMBENT: (40, 0), Arm.CANDIDATE: (20, 20)}[arm]
    assert (two.asked(INCUMBENT), two.asked(CANDIDATE)) == looked
    assert len(two.active_slot.turns.take(1.0)) == 20
    assert two.active_slot.turns.take(1.0) == []


def test_no_model_looks_twice_outside_of_its_block() -> None:
    """Without a turn, in another stage, for another rollout, or while a frame waits."""
    two = Two()
    two.split(share=0.0, mode=Mode.COMPARE)
    two.film([OK])
    take_turns(two, Arm.CANDIDATE, "r-0")
    two.film([OK])
    two.split(share=0.0, mode=Mode.SHADOW)
    take_turns(two, Arm.CANDIDATE)
    two.film([OK])
    two.split(share=0.0, mode=Mode.COMPARE)
    two.end()
    two.film([OK])
    assert (two.asked(INCUMBENT), two.asked(CANDIDATE)) == (4, 0)
    two.split(share=0.0, mode=Mode.COMPARE)
    for _ in range(4):
        two.capture(OK)
    while len(two.verdicts) < two.captured:
        two.lane.turn()
    assert two.asked(CANDIDATE) == 1, "only the last frame left a gap"


def test_a_look_in_the_burn_in_and_one_of_an_interrupted_block_are_not_told() -> None:
    two = Two()
    two.split(share=0.0, mode=Mode.COMPARE)
    take_turns(two, Arm.CANDIDATE, counts=False)
    two.film([OK])
    take_turns(two, Arm.CANDIDATE)
    two.film([OK])
    assert two.asked(CANDIDATE) == 2
    assert two.active_slot.turns.take(2.0) == [], "another block began"


def test_a_candidate_that_fails_in_its_block_is_lost_and_an_incumbent_is_found_out_later() -> None:
    two = Two()
    two.split(share=0.0, mode=Mode.COMPARE)
    take_turns(two, Arm.CANDIDATE)
    two.script.fail_infer(CANDIDATE, BundleError("A layer raised."), times=1)
    two.film([NG_INCUMBENT] * 3)
    assert [(rollout, word) for rollout, word, _ in two.losses] == [("r-1", "raised")]
    assert [each.verdict for each in two.verdicts] == [Verdict.NG] * 3
    assert two.active_slot.turns.take(1.0) == []
