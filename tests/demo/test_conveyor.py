"""The drawn production line keeps its promises to whoever trains or demonstrates with it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from edge_daemon.demo.conveyor import KINDS, SCENES, Belt, Box, Conveyor, Part, labels

SIZES = ((640, 480), (1920, 1080), (1000, 480), (97, 64))


def frame(line: Conveyor, index: int, scene: str) -> NDArray[np.uint8]:
    out = np.empty((line.height, line.width, 3), np.uint8)
    line.draw(index, scene, out)
    return out


def contrast(a: NDArray[np.uint8], b: NDArray[np.uint8], box: Box) -> float:
    """The mean difference of two frames inside a box."""
    x1, y1, x2, y2 = box
    return float(np.abs(a[y1:y2, x1:x2].astype(int) - b[y1:y2, x1:x2]).mean())


@pytest.mark.parametrize("scene", SCENES)
def test_a_frame_depends_on_nothing_drawn_before_it(scene: str) -> None:
    """Frame 70,000 is the same bytes whether asked for first, last, or by another instance."""
    line = Conveyor(seed=5)
    first = frame(line, 70_000, scene)
    for index in range(0, 4000, 97):
        frame(line, index, scene)
    assert np.array_equal(first, frame(line, 70_000, scene))
    assert np.array_equal(first, frame(Conveyor(seed=5), 70_000, scene))


def test_seeds_scenes_and_indexes_differ() -> None:
    """Another seed, scene or index is another picture."""
    line, other = Conveyor(seed=1), Conveyor(seed=2)
    pictures = [
        frame(line, 40, "bottle"),
        frame(line, 41, "bottle"),
        frame(line, 40, "can"),
        frame(other, 40, "bottle"),
    ]
    for a, b in itertools.combinations(pictures, 2):
        assert not np.array_equal(a, b)


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("scene", SCENES)
def test_the_truth_lies_within_the_picture(scene: str, width: int, height: int) -> None:
    """At any size every box is a box, and ends at the frame's edge."""
    line = Conveyor(width=width, height=height, belt=Belt(defects=0.8))
    found = 0
    for index in range(0, 900, 7):
        frame(line, index, scene)
        for _, (x1, y1, x2, y2) in labels(line.truth(index, scene)):
            found += 1
            assert 0 <= x1 < x2 <= width
            assert 0 <= y1 < y2 <= height
    assert found > 20


def test_the_truth_needs_no_drawing() -> None:
    """The truth of a frame is the same before and after it is drawn."""
    line = Conveyor()
    before = [line.truth(index, "can") for index in range(50)]
    for index in range(50):
        frame(line, index, "can")
    assert before == [line.truth(index, "can") for index in range(50)]


@pytest.mark.parametrize("scene", SCENES)
def test_every_kind_of_defect_comes_by(scene: str) -> None:
    """A few minutes of a line show each kind of defect, on about a third of the parts."""
    line = Conveyor()
    parts = [part for index in range(0, 12_000, 120) for part in line.truth(index, scene)]
    seen = {defect.kind for part in parts for defect in part.defects}
    assert seen == set(KINDS[scene])
    assert {part.kind for part in parts} == {scene}
    assert 0.2 < sum(bool(part.defects) for part in parts) / len(parts) < 0.5


def test_both_scratches_are_one_class_to_a_model() -> None:
    """Labels name a straight and a curved scratch alike, and keep each box with its name."""
    line = Conveyor(belt=Belt(defects=1.0))
    parts = [part for index in range(0, 6000, 60) for part in line.truth(index, "bottle")]
    assert {name for name, _ in labels(parts)} == {"bottle", "scratch", "dent"}
    boxes = [box for part in parts for box in (part.box, *(each.box for each in part.defects))]
    assert [box for _, box in labels(parts)] == boxes


@pytest.mark.parametrize("scene", SCENES)
def test_a_defect_can_be_seen_where_the_truth_says(scene: str) -> None:
    """The same parts with and without flaws differ in the boxes of the flaws, nowhere else."""
    flawed, flawless = Conveyor(belt=Belt(defects=1.0)), Conveyor(belt=Belt(defects=0.0))
    shown = set()
    for index in range(0, 3000, 75):
        a, b = frame(flawed, index, scene), frame(flawless, index, scene)
        clean = np.abs(a.astype(int) - b).max(axis=2)
        for part in flawed.truth(index, scene):
            x1, y1, x2, y2 = part.box
            if x1 == 0 or x2 == flawed.width:
                continue
            for defect in part.defects:
                shown.add(defect.kind)
                floor = 3.0 if flawed.light(index, scene) == "low_light" else 7.0
                assert contrast(a, b, defect.box) > floor, (index, defect)
                left, top, right, bottom = defect.box
                clean[max(0, top - 1) : bottom + 1, max(0, left - 1) : right + 1] = 0
            assert clean[y1:y2, x1:x2].max() == 0, (index, part)
    assert shown == set(KINDS[scene])


@pytest.mark.parametrize("scene", SCENES)
def test_a_defect_is_large_enough_to_be_learnt(scene: str) -> None:
    """At 640x480 a defect wholly in view is at least 24 pixels long."""
    line = Conveyor(belt=Belt(defects=1.0))
    for index in range(0, 6000, 50):
        for part in line.truth(index, scene):
            if part.box[0] > 0 and part.box[2] < line.width:
                for _, (x1, y1, x2, y2) in labels([part])[1:]:
                    assert max(x2 - x1, y2 - y1) >= 24


@pytest.mark.parametrize("scene", SCENES)
def test_a_part_stays_on_the_belt(scene: str) -> None:
    """A part is seen in frame after frame, a little further to the right each time."""
    line = Conveyor()
    middle = None
    for index in range(400):
        inside = [p for p in line.truth(index, scene) if p.box[0] > 0 and p.box[2] < line.width]
        if middle is not None:
            followed = [p for p in inside if 3 <= _middle(p) - middle <= 7]
            if not followed:
                middle = None
                continue
            assert len(followed) == 1
            middle = _middle(followed[0])
        elif inside:
            middle = _middle(inside[0])
    assert any(line.truth(index, scene) for index in range(400))


def _middle(part: Part) -> float:
    return (part.box[0] + part.box[2]) / 2


@pytest.mark.parametrize("scene", SCENES)
def test_the_light_is_low_a_fifth_of_the_time(scene: str) -> None:
    """One frame in five is dark, in stretches, and a dark frame is the darker one."""
    line = Conveyor()
    lights = [line.light(index, scene) for index in range(3000)]
    assert lights.count("low_light") == 600
    assert sum(a != b for a, b in itertools.pairwise(lights)) <= 21
    dark = frame(line, lights.index("low_light"), scene).mean()
    assert dark < 0.7 * frame(line, lights.index("normal"), scene).mean()


@pytest.mark.parametrize("scene", SCENES)
def test_an_even_belt_has_few_flawed_parts_and_each_kind_in_its_turn(scene: str) -> None:
    """One part of so many, at a place that chance decides, and every kind within a few of them."""
    line = Conveyor(belt=Belt(defects=0.05, even=True, empty=0.0))
    flaws = [line.flaws(place, scene) for place in range(2000)]
    blocks = [flaws[start : start + 20] for start in range(0, 2000, 20)]
    assert [sum(map(bool, block)) for block in blocks] == [1] * 100
    found = [next(kinds for kinds in block if kinds) for block in blocks]
    assert found == [(KINDS[scene][turn % len(KINDS[scene])],) for turn in range(100)]
    assert len({tuple(map(bool, block)) for block in blocks}) > 10


def test_a_part_is_where_its_place_on_the_belt_is() -> None:
    """The place that reaches the middle of the picture has its part there, with its defects."""
    line = Conveyor(belt=Belt(speed=36.0, pitch=270.0, jitter=10.0, empty=0.0, defects=0.5))
    for place in range(30, 60):
        index = round(line.reaches(place))
        assert line.stands_at(index) == place
        (part,) = [each for each in line.truth(index, "can") if abs(_middle(each) - 320) < 40]
        assert {each.kind for each in part.defects} == set(line.flaws(place, "can"))


def test_a_covered_lens_shows_nothing() -> None:
    """No part, no belt: what is left of the picture is the noise of the sensor, below any limit."""
    line = Conveyor()
    out = np.empty((line.height, line.width, 3), np.uint8)
    line.draw(7, "bottle", out, covered=True)
    assert out.mean() < 4
    assert not np.array_equal(out, np.zeros_like(out))


@pytest.mark.parametrize(
    "wrong",
    [{"speed": 0.0}, {"pitch": float("nan")}, {"stretch": 0}, {"defects": 1.1}, {"jitter": 300.0}],
)
def test_a_belt_that_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    """The sentence names the length or share that is wrong."""
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Belt(**wrong)  # type: ignore[arg-type]  # whole numbers stand where they belong


def test_an_unknown_scene_is_refused() -> None:
    """A scene that does not exist is named, with those that do."""
    with pytest.raises(ValueError, match="no scene 'jar'; the conveyor shows bottle or can"):
        Conveyor().truth(0, "jar")
    with pytest.raises(ValueError, match="no scene 'jar'"):
        Conveyor().light(0, "jar")


def test_a_picture_of_another_size_is_refused() -> None:
    """A picture that does not fit is left as it is, and the sentence says what fits."""
    out = np.zeros((480, 641, 3), np.uint8)
    with pytest.raises(ValueError, match=r"\(480, 640, 3\)"):
        Conveyor().draw(0, "can", out)
    assert not out.any()


def test_a_frame_before_the_first_is_refused() -> None:
    """Frames are numbered from 0."""
    with pytest.raises(ValueError, match="numbered from 0"):
        Conveyor().truth(-1, "can")


def test_a_picture_may_be_a_view() -> None:
    """A frame is drawn into memory that others own, such as a slot of a ring, without a copy."""
    ring = np.zeros((3, 480, 640, 3), np.uint8)
    line = Conveyor()
    line.draw(9, "bottle", ring[1])
    assert np.array_equal(ring[1], frame(line, 9, "bottle"))
    assert not ring[0].any()
    assert not ring[2].any()
