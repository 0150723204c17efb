"""Damage spreads from picture to picture in the order of decoding, up to the next key frame."""

from __future__ import annotations

from edge_daemon.core.decoding import Decoding


def played(keys: set[int], bad: set[int], shown: list[int]) -> list[int]:
    """Packets 0 to 29 are sent and shown three packets later; gives the damaged ones, as shown."""
    decoding, damaged = Decoding(), []
    waiting = list(shown)
    for packet in range(30):
        number = decoding.send(is_key=packet in keys)
        if number in bad:
            decoding.complain(number, f"error in {number}")
        if packet >= 3:
            picture = waiting.pop(0)
            damaged += [picture] if decoding.show(picture) else []
    return damaged + [picture for picture in waiting if decoding.show(picture)]


def test_damage_lasts_to_the_next_key_frame() -> None:
    """Nothing before the bad packet, all behind it, and nothing from the clean key frame on."""
    assert played({0, 10, 20}, {4}, list(range(30))) == list(range(4, 10))
    assert played({0, 10, 20}, {10}, list(range(30))) == list(range(10, 20))
    assert played({0, 10, 20}, set(), list(range(30))) == []


def test_a_complaint_reaches_pictures_that_are_decoded_later_and_shown_earlier() -> None:
    """Packet 2 is shown after 3 and 4, which build on it; 1 was decoded before it."""
    reordered = [0, 1, 3, 4, 2, *range(5, 30)]
    assert played({0, 10, 20}, {2}, reordered) == [3, 4, 2, *range(5, 10)]


def test_what_is_shown_before_its_key_frame_builds_on_the_group_before() -> None:
    """Open groups of pictures: 11 and 12 follow key frame 10 in the stream, and precede it."""
    open_group = [*range(10), 11, 12, 10, *range(13, 30)]
    assert played({0, 10, 20}, {7}, open_group) == [7, 8, 9, 11, 12]


def test_a_key_frame_that_waits_does_not_clear_what_came_after_it() -> None:
    """The complaint about packet 11 comes while 10 has not been shown yet."""
    assert played({0, 10, 20}, {7, 11}, list(range(30))) == [7, 8, 9, *range(11, 20)]


def test_a_stream_without_pictures_costs_no_memory() -> None:
    """Each packet is a key frame, none can be decoded."""
    decoding = Decoding()
    for _ in range(1000):
        decoding.complain(decoding.send(is_key=True), "no picture")
    assert decoding.remembered <= 64
    assert decoding.show(decoding.send(is_key=True)) is None
