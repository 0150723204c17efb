"""Two pictures are alike only if the same is seen at the same place."""

from __future__ import annotations

from edge_daemon.core.collecting.alike import REMEMBERED, PictureDescriptor, Recent, are_alike

BOX = (10.0, 10.0, 50.0, 50.0)


def test_the_same_look_a_few_bits_apart_is_alike() -> None:
    one = PictureDescriptor(0b1111, ("ng",), (("scratch", BOX),))
    assert are_alike(
        one, PictureDescriptor(0b0111, ("ng",), (("scratch", (11.0, 10.0, 51.0, 50.0)),)), 4
    )
    assert not are_alike(one, PictureDescriptor(0xFF00, ("ng",), (("scratch", BOX),)), 4)


def test_on_a_fixed_camera_another_place_or_defect_is_another_picture() -> None:
    """The whole picture is the same to the last bit of the hash: what matters is small."""
    one = PictureDescriptor(7, ("ng",), (("scratch", BOX),))
    assert not are_alike(
        one, PictureDescriptor(7, ("ng",), (("scratch", (60.0, 10.0, 90.0, 50.0)),)), 4
    )
    assert not are_alike(one, PictureDescriptor(7, ("ng",), (("dent", BOX),)), 4)
    assert not are_alike(one, PictureDescriptor(7, ("ng",), ()), 4)
    assert not are_alike(one, PictureDescriptor(7, ("ok",), (("scratch", BOX),)), 4)


def test_the_newest_are_remembered() -> None:
    recent = Recent(bits=0)
    for number in range(REMEMBERED + 1):
        recent.add(f"p{number}", PictureDescriptor(number, (), ()))
    assert recent.like(PictureDescriptor(1, (), ())) == "p1"
    assert recent.like(PictureDescriptor(0, (), ())) is None
