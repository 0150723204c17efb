"""The second picture of a part shows why: zones, what counts, and the verdict with its causes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from edge_daemon.core.judged import Judged
from edge_daemon.core.values import Detection, Recipe, Rule, Verdict
from edge_daemon.core.zones import Zone
from edge_daemon.frames.annotated import annotated
from edge_daemon.frames.collector import Collector, as_jpeg
from edge_daemon.host.memory import Pixels
from tests.frames.test_images import GENEROUS_S, Lane
from tests.frames.test_images import judged as framed

ZONE = Zone("body", ((0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)))
RECIPE = Recipe(
    0.4,
    (Rule("mark", "scratch", 0.4, zone=ZONE, at_most=0), Rule("caps", "cap", 0.4, at_least=1)),
    zones=(ZONE,),
)
GREY = np.full((720, 960, 3), 90, np.uint8)
SCRATCH = Detection("scratch", 0.91, (400.0, 300.0, 500.0, 400.0))
CAP = Detection("cap", 0.8, (100.0, 500.0, 180.0, 560.0))


def shown(*found: Detection, causes: tuple[str, ...] = ("mark",)) -> Pixels:
    told = replace(framed(1), recipe=RECIPE, detections=found, causes=causes, size=(960, 720))
    return annotated(told, GREY)


def colour_at(picture: Pixels, x: int, y: int) -> str:
    """The strongest channel near a point; grey where nothing is drawn."""
    near = picture[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3).astype(int)
    brightest = near[np.abs(near - 90).sum(axis=1).argmax()]
    return "grey" if np.ptp(brightest) < 30 else ("blue", "green", "red")[int(brightest.argmax())]


def test_what_broke_a_rule_is_red_and_the_rest_green() -> None:
    """The zone is drawn too, and the frame itself is left as it was."""
    picture = shown(SCRATCH, CAP)
    assert colour_at(picture, 450, 400) == "red"
    assert colour_at(picture, 100, 530) == "green"
    assert colour_at(picture, 480, 180) == "blue", "the zone's upper edge"
    assert colour_at(picture, 800, 650) == "grey"
    assert (GREY == 90).all()


def test_what_does_not_count_is_not_drawn() -> None:
    """An engine tells of faint marks that only a tuning would let count."""
    faint = replace(SCRATCH, confidence=0.2)
    assert np.array_equal(shown(faint, CAP), shown(CAP))


def test_the_verdict_stands_on_it() -> None:
    """In red, unless the part is ok: nothing else changes between these two."""
    bad, good = (
        shown(CAP),
        annotated(
            replace(framed(1, Verdict.OK), recipe=RECIPE, detections=(CAP,), size=(960, 720)), GREY
        ),
    )
    changed = np.argwhere((bad != good).any(axis=2))
    assert len(changed)
    assert changed[:, 0].max() < 60, "the words at the top alone"


def test_all_that_a_model_gives_is_drawn() -> None:
    """Corners of an oriented box, key points, a box past the edge; one that is nowhere is not."""
    corners = ((450.0, 250.0), (550.0, 350.0), (450.0, 450.0), (350.0, 350.0))
    turned = replace(SCRATCH, polygon=corners)
    assert colour_at(shown(turned), 500, 300) == "red"
    assert colour_at(shown(turned), 450, 400) == "grey", "not the box round it"
    posed = replace(CAP, keypoints=((700.0, 600.0, 0.9),))
    assert colour_at(shown(posed), 700, 600) == "green"
    shown(replace(CAP, box=(-50.0, -50.0, 3000.0, 3000.0)))
    nowhere = replace(CAP, box=(math.nan, 0.0, 9.0, 9.0))
    assert np.array_equal(shown(nowhere), shown())


def test_a_frame_without_a_model_says_why() -> None:
    """Its reason stands where causes stand."""
    told = framed(1, Verdict.UNINSPECTED)
    assert not np.array_equal(annotated(told, GREY), GREY)


class _Shelf:
    """A folder that remembers what it is given."""

    removed = 0

    def __init__(self) -> None:
        self.given: list[tuple[bytes, bytes | None]] = []

    def write(self, judged: Judged, jpeg: bytes, drawn: bytes | None, /) -> None:
        self.given.append((jpeg, drawn))

    def tend(self) -> None:
        pass

    def close(self) -> None:
        pass


def test_the_collector_draws_where_it_is_asked_to() -> None:
    """Beside the clean picture, which is the same in both cases."""
    for draw in (None, annotated):
        lane, shelf = Lane(), _Shelf()
        collector = Collector(lane.ring, shelf, as_jpeg(shelf, draw))
        collector.start()
        lane.offer(collector, Verdict.NG)
        collector.stop(GENEROUS_S)
        ((jpeg, drawn),) = shelf.given
        assert jpeg.startswith(b"\xff\xd8")
        assert (drawn is not None) == (draw is not None)
        assert drawn != jpeg
