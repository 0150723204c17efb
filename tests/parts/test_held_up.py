"""Parts that are followed while the camera's reader is held up, as on a busy box."""

from __future__ import annotations

import random

import numpy as np
import pytest

from edge_daemon.core.parts.objects import Shown
from edge_daemon.core.values import Verdict
from edge_daemon.core.zones import Zone
from edge_daemon.parts.tracker import Tracker
from tests.sim.belt import HEIGHT, WIDTH, Belt, draw, read


@pytest.mark.parametrize(("share", "longest_s"), [(0.05, 0.06), (0.1, 0.1), (0.02, 0.4)])
def test_a_camera_that_is_held_up_mixes_no_parts(share: float, longest_s: float) -> None:
    """Its frames come late, and then several at one moment; some parts are seen for one moment."""
    belt, chance = Belt(0.0, 1 / 6, 0.45, 54.0, 3), random.Random(3)
    followed = Tracker(Zone("middle", ((0.35, 0.0), (0.65, 0.0), (0.65, 1.0), (0.35, 1.0))))
    parts_of: dict[int, set[int]] = {}
    tracks_of: dict[int, set[int]] = {}
    at = due = 0.0
    while at < 150.0:
        due += 1 / belt.fps
        at = max(due, at + 0.0005)
        if chance.random() < share:
            at += chance.uniform(0.02, longest_s)
        pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        draw(belt, at, pixels)
        part_at = {each.box: each.code for each in read(pixels) if chance.random() > 0.02}
        objects = [Shown(box, 0.9, Verdict.OK) for box in part_at]
        seen, _ = followed.follow(objects, (WIDTH, HEIGHT), at, is_stamped=True)
        for each in seen:
            assert each.box is not None
            parts_of.setdefault(each.track, set()).add(part_at[each.box])
            tracks_of.setdefault(part_at[each.box], set()).add(each.track)
    assert len(parts_of) > 700
    assert [each for each in parts_of.values() if len(each) > 1] == []
    assert [each for each in tracks_of.values() if len(each) > 1] == []
