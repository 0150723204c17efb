"""The subscriber's book sees every kind of loss, and believes no receipt that frames contradict."""

from __future__ import annotations

import json
import random
from typing import Any

from edge_daemon.cli.drill_ledger import FAULTS_KEPT, SubscriberLedger
from edge_daemon.core.rollout.draw import assign

OLD, NEW = "bottle@1.0.0", "bottle@1.1.0"


def result(frame: int, model: str | None = OLD, boot: str = "b1", **more: Any) -> dict[str, Any]:
    found = {
        "boot": boot,
        "frame": frame,
        "model": model,
        "sha256": None if model is None else f"sha of {model}",
        "product": None,
        "verdict": "uninspected" if model is None else "ok",
        **more,
    }
    return found if model is not None else {"reason": "changeover", **found}


def receipt(
    frame: int | None, to: str = NEW, left: str | None = OLD, **more: Any
) -> dict[str, Any]:
    return {
        "swap_id": f"s{frame}",
        "boot": "b1",
        "from": left,
        "to": to,
        "sha256": f"sha of {to}",
        "cutover_frame": frame,
        "cutover_at": f"{frame}",
        "pause_ms": 0.2,
        **more,
    }


def fed(*results: dict[str, Any], receipts: tuple[dict[str, Any], ...] = ()) -> SubscriberLedger:
    ledger = SubscriberLedger()
    for one in results:
        ledger.take_result(json.dumps(one).encode())
    for proof in receipts:
        ledger.take_receipt(proof)
    return ledger


def test_a_clean_swap_has_no_fault() -> None:
    """Frames before the cutover by the old model, later ones by the new: nothing to say."""
    frames = [result(n, OLD if n < 5 else NEW) for n in range(2, 10)]
    ledger = fed(*frames, receipts=(receipt(5),))
    assert ledger.faults == []
    tally = ledger.tally()
    assert (tally.frames, tally.by_model, tally.cutovers) == (8, {OLD: 3, NEW: 5}, 1)
    assert tally.pauses_ms == (0.2,)


def test_a_missing_frame_is_named() -> None:
    """A gap is told by its first and last number, and counted."""
    ledger = fed(result(1), result(4))
    assert ledger.faults == ["Frames 2 to 3 of boot b1 never came."]
    assert ledger.missing == 2


def test_a_doubled_frame_is_named_and_counted_once() -> None:
    """The same number twice is a fault, and one frame."""
    ledger = fed(result(1), result(2), result(2))
    assert ledger.faults == ["Frame 2 of boot b1 came twice."]
    assert (ledger.doubled, ledger.tally().frames) == (1, 2)


def test_a_frame_out_of_turn_is_late_and_not_missing() -> None:
    """What comes after a later frame is reordered, not lost."""
    ledger = fed(result(1), result(3), result(2), result(4))
    assert ledger.faults == ["Frame 2 of boot b1 came after frame 3."]
    assert (ledger.missing, ledger.reordered) == (0, 1)


def test_a_change_one_frame_late_is_seen() -> None:
    """The frame of the cutover itself must be judged by the new model."""
    ledger = fed(*[result(n, OLD if n <= 5 else NEW) for n in range(10)], receipts=(receipt(5),))
    assert ledger.faults == [
        f"Frame 5 was judged by {OLD}, but frame 4 was to be its last (swap s5)."
    ]


def test_a_change_one_frame_early_is_seen() -> None:
    """No frame before the cutover may be judged by the new model."""
    ledger = fed(*[result(n, OLD if n < 4 else NEW) for n in range(10)], receipts=(receipt(5),))
    assert any(
        fault.startswith(f"Frame 4 was judged by {NEW}, but the receipts put {OLD}")
        for fault in ledger.faults
    )


def test_a_change_without_a_receipt_is_a_fault_until_it_comes() -> None:
    """Results may overtake receipts, but none may be missing in the end."""
    ledger = fed(*[result(n, OLD if n < 5 else NEW) for n in range(10)])
    assert ledger.faults
    ledger.take_event(json.dumps({"type": "swapped", "receipt": receipt(5)}).encode())
    assert ledger.faults == []


def test_a_receipt_without_a_change_is_a_fault() -> None:
    """A daemon that claims a swap that its frames do not show is caught."""
    ledger = fed(*[result(n) for n in range(10)], receipts=(receipt(5),))
    assert ledger.faults == [
        f"Frame 9 was judged by {OLD}, but frame 4 was to be its last (swap s5)."
    ]


def test_one_frame_by_another_model_in_the_middle_is_seen() -> None:
    """A single frame judged by the wrong model between two right ones does not hide."""
    models = [OLD, OLD, NEW, OLD, OLD]
    ledger = fed(*[result(n, model) for n, model in enumerate(models)])
    assert any("Frame 2 was judged by" in fault for fault in ledger.faults)


def test_two_swaps_at_one_boundary_leave_the_last_in_force() -> None:
    """There and back between two frames is no change at all."""
    there, back = receipt(5, cutover_at="1"), receipt(5, OLD, NEW, swap_id="t", cutover_at="2")
    assert fed(*[result(n) for n in range(10)], receipts=(there, back)).faults == []


def test_a_boundary_among_frames_without_a_verdict_is_fine() -> None:
    """Uninspected and dropped frames lie between two models without belonging to one."""
    frames = [result(n, OLD if n < 4 else None if n < 7 else NEW) for n in range(10)]
    ledger = fed(*frames, receipts=(receipt(5),))
    assert ledger.faults == []
    assert (ledger.tally().uninspected, ledger.tally().by_reason) == (3, {"changeover": 3})


def test_a_second_boot_begins_anew() -> None:
    """Numbers are told apart by the boot, and so are the receipts."""
    frames = [result(n) for n in range(3)] + [result(n, NEW, "b2") for n in range(3)]
    ledger = fed(*frames, receipts=(receipt(0, NEW, None, boot="b2"),))
    assert ledger.faults == []
    assert ledger.tally().frames == 6


def test_a_product_judged_by_another_products_model_is_seen() -> None:
    """With links given, each judged frame's model must be the one linked to its product."""
    ledger = SubscriberLedger({"CAN": "can", "BTL": "bottle"})
    ledger.take_result(result(1, product="BTL"))
    ledger.take_result(result(2, product="CAN"))
    ledger.take_result(result(3, None, product="CAN"))
    assert [fault[:30] for fault in ledger.faults] == ["Frame 2 shows product CAN, whi"]


def test_a_verdict_without_a_model_and_a_digest_that_moves_are_seen() -> None:
    """What a result says must hold together."""
    ledger = fed(
        result(1, None, verdict="ok"),
        result(2),
        result(3, sha256="other"),
        result(4, None, reason=""),
    )
    assert len(ledger.faults) == 3


def test_a_receipt_that_is_told_again_must_say_the_same() -> None:
    """The completed receipt may know more, but not another frame."""
    ledger = fed(
        *[result(n, OLD if n < 5 else NEW) for n in range(9)],
        receipts=(receipt(5), receipt(5, trial="confirmed")),
    )
    assert ledger.faults == []
    ledger.take_receipt(receipt(6, swap_id="s5"))
    assert "two receipts" in ledger.faults[0]


def test_garbage_is_a_fault_and_no_crash() -> None:
    """Whatever a broker carries, the book stays open."""
    ledger = SubscriberLedger()
    for payload in (b"", b"[]", b"\xff", b'{"boot": "b"}', b'{"boot":"b","frame":"x"}'):
        ledger.take_result(payload)
        ledger.take_event(payload)
    assert len(ledger.faults) == 5


def test_sentences_are_bounded_and_the_rest_is_counted() -> None:
    """A stream that is wrong throughout does not fill the memory."""
    ledger = fed(result(0), *[result(0) for _ in range(FAULTS_KEPT + 7)])
    assert len(ledger.faults) == FAULTS_KEPT + 1
    assert "7 more" in ledger.faults[-1]


def test_any_single_lie_in_a_long_story_is_found() -> None:
    """Over random stories with many swaps: clean without a fault, caught with any one."""
    chance = random.Random(5)
    for _ in range(60):
        cuts = sorted(chance.sample(range(1, 200), 8))
        models = [OLD, NEW] * 5
        frames = [result(n, models[sum(cut <= n for cut in cuts)]) for n in range(200)]
        proofs = [
            receipt(cut, models[place + 1], models[place], swap_id=f"s{place}")
            for place, cut in enumerate(cuts)
        ]
        assert fed(*frames, receipts=tuple(proofs)).faults == []
        at = chance.randrange(1, 199)
        kind = chance.choice(["lose", "double", "swap", "model"])
        broken = list(frames)
        if kind == "lose":
            del broken[at]
        elif kind == "double":
            broken.insert(at, broken[at])
        elif kind == "swap":
            broken[at], broken[at - 1] = broken[at - 1], broken[at]
        else:
            other = NEW if broken[at]["model"] == OLD else OLD
            broken[at] = result(at, other)
        assert fed(*broken, receipts=tuple(proofs)).faults, (kind, at, cuts)


def test_a_candidates_frame_needs_no_receipt_but_its_draw() -> None:
    """Frames that a rollout gave to its candidate lie between the active model's; an arm that is
    another than the draw says is a fault."""

    def given(frame: int, **changes: Any) -> dict[str, Any]:
        told = assign("r1", "b1", f"SN-{frame}", 0.5)
        rollout = {"id": "r1", "unit": f"SN-{frame}", "share": 0.5}
        rollout |= {"arm": told.arm.value, "draw": told.draw} | changes
        model = NEW if rollout["arm"] == "candidate" else OLD
        return result(frame, model, rollout=rollout)

    ledger = fed(*[given(frame) for frame in range(40)])
    assert ledger.faults == []
    assert set(ledger.tally().by_model) == {OLD, NEW}
    wrong = fed(given(0), given(1, draw=0.25), given(2, share="much"))
    assert [fault[:7] for fault in wrong.faults[:2]] == ["Frame 1", "Frame 2"]
