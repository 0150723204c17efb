"""What a box's figures mean for its slots."""

from __future__ import annotations

import pytest

from edge_daemon.host.box import usual_slots

GIB = 1 << 30


@pytest.mark.parametrize(
    ("available", "device", "slots"),
    [
        (0, "cpu", 2),  # the kernel does not say
        (2 * GIB, "cpu", 2),
        (3 * GIB, "cpu", 3),
        (4 * GIB, "cpu", 4),
        (64 * GIB, "cpu", 4),
        (64 * GIB, "cuda:0", 2),
    ],
)
def test_more_than_two_models_stay_where_there_is_room(
    available: int, device: str, slots: int
) -> None:
    """Never fewer than two, and no more than four; a GPU's own memory is not known yet."""
    assert usual_slots(available, device) == slots
