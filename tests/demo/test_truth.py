"""What the demo says of the models is counted part by part, against what was drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from edge_daemon.demo.barrier import STATION
from edge_daemon.demo.conveyor import Conveyor
from edge_daemon.demo.stage import BELT
from edge_daemon.demo.summary import in_words, part_faults
from edge_daemon.demo.truth import Truth, place_of, serial_of

LINE = Conveyor(belt=BELT)
PREVIEWED = 40


def truth() -> Truth:
    """One that knows how many frames were drawn before the first captured one."""
    made = Truth(LINE, STATION)
    made.previewed = PREVIEWED
    return made


def told(part: int, place: int, verdict: str, causes: Sequence[str] = (), **changes: Any) -> Any:
    """A part as the daemon publishes it, seen in the two frames after the barrier."""
    first = round(LINE.reaches(place, STATION)) - PREVIEWED
    message = {"part": part, "serial": serial_of(place), "verdict": verdict, "causes": list(causes)}
    message |= {"frames": [first, first + 1], "model": "bottle@1.0.0", "reason": None}
    return message | {"late": False} | changes


def places(kind: str | None, light: str = "normal") -> list[int]:
    """Places of parts with one such defect and no other, or of good ones."""
    wanted = () if kind is None else (kind,)
    return [
        place
        for place in range(20, 3000)
        if LINE.flaws(place, "bottle") == wanted
        and LINE.light(round(LINE.reaches(place, STATION)), "bottle") == light
    ]


def test_recall_and_escapes_are_counted_by_part() -> None:
    """A flawed part that is ng is found, one that is ok escaped; a good one that is ng was
    rejected. Frames do not count."""
    book = truth()
    curved, dents, good = places("scratch_curved"), places("dent"), places(None)
    book.take(told(0, curved[0], "ok"))
    book.take(told(1, curved[1], "ng", ["scratch"]))
    book.take(told(2, dents[0], "ng", ["dent"]))
    book.take(told(3, good[0], "ok"))
    book.take(told(4, good[1], "ng", ["dent"]))
    score = book.score("bottle@1.0.0")
    assert (score.parts, score.flawed, score.found, score.escapes) == (5, 3, 2, 1)
    assert (score.good, score.rejected) == (2, 1)
    curved_ones = book.score("bottle@1.0.0", "scratch_curved")
    assert (curved_ones.found, curved_ones.flawed) == (1, 2)
    assert in_words(score) == (
        "5 parts, 3 of them flawed; found 2 (67 %), escaped 1; 1 good ones rejected"
    )
    assert book.models == ("bottle@1.0.0",)
    assert part_faults(book, [serial_of(each) for each in (*curved[:2], dents[0])]) == []


def test_a_defect_that_was_called_another_is_found_and_not_of_its_kind() -> None:
    """The part is rejected, so that it does not escape; the kind of its defect was missed."""
    book = truth()
    book.take(told(0, places("dent")[0], "ng", ["scratch"]))
    assert book.score("bottle@1.0.0").found == 1
    assert book.score("bottle@1.0.0", "dent").found == 0


def test_low_light_is_counted_apart() -> None:
    """A model may be blind in one light alone."""
    book = truth()
    book.take(told(0, places("dent")[0], "ng", ["dent"]))
    book.take(told(1, places("dent", "low_light")[0], "ok"))
    assert book.score("bottle@1.0.0", "normal").escapes == 0
    assert book.score("bottle@1.0.0", "low_light").escapes == 1


def test_a_part_without_a_verdict_says_nothing_of_a_model() -> None:
    """Late and uninspected parts are counted by reason, whatever verdict is told for safety."""
    book = truth()
    book.take(told(0, places("dent")[0], "ng", reason="late", late=True, model=None, frames=[]))
    book.take(told(1, places(None)[0], "uninspected", reason="bad_picture", model=None))
    assert book.models == ()
    assert book.unjudged == {"late": 1, "bad_picture": 1}


def test_a_part_told_twice_left_out_or_with_another_serial_is_a_fault() -> None:
    """Delivered again is no second part; a gap in the numbers, a serial with two parts, frames of
    another part and a serial without a result are what must not be."""
    book, good = truth(), places(None)
    assert book.take(told(0, good[0], "ok"))
    assert not book.take(told(0, good[0], "ok"))
    assert book.parts == 1
    assert part_faults(book, [serial_of(good[0])]) == []
    book.take(told(2, good[0], "ok"))
    book.take(told(3, good[1] + 1, "ok", frames=told(0, good[1], "ok")["frames"]))
    faults = part_faults(book, [serial_of(good[5])])
    assert faults == [
        "1 numbers of parts were left out",
        f"1 serials have two parts, such as {serial_of(good[0])}",
        f"1 parts show another, such as {serial_of(good[1] + 1)}",
        f"1 parts have no result, such as {serial_of(good[5])}",
    ]


def test_a_serial_number_names_a_place_on_the_belt() -> None:
    """And is found again by it."""
    assert serial_of(7) == "SN-100007"
    assert place_of(serial_of(-1)) == -1
