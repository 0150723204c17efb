"""A part that no model finds still brings its contrast to the picture."""

from __future__ import annotations

from edge_daemon.core.collecting.bare import Bare


def learned(full: float, empty: float, pictures: int = 20) -> Bare:
    bare = Bare()
    for _ in range(pictures):
        bare.note(full, has_part=True)
        bare.note(empty, has_part=False)
    return bare


def test_a_picture_is_of_the_kind_whose_contrast_is_nearer() -> None:
    bare = learned(40.0, 20.0)
    assert bare.is_part_likely(31.0)
    assert not bare.is_part_likely(29.0)


def test_nothing_is_said_before_both_kinds_are_known() -> None:
    assert not learned(40.0, 20.0, pictures=19).is_part_likely(40.0)


def test_nothing_is_said_where_parts_bring_no_contrast() -> None:
    assert not learned(23.0, 20.0).is_part_likely(40.0)


def test_the_light_of_a_day_is_followed() -> None:
    """All pictures become brighter: what was the contrast of a part is that of an empty belt."""
    bare = learned(40.0, 20.0, pictures=2000)
    for _ in range(200):
        bare.note(80.0, has_part=True)
        bare.note(40.0, has_part=False)
    assert not bare.is_part_likely(41.0)
    assert bare.is_part_likely(70.0)
