"""Slices are told by pixels, sizes and settings; what was not measured is in none."""

from __future__ import annotations

import pytest

from edge_daemon.core.rollout.membership import UnitTraits, largest_area, slice_names
from edge_daemon.core.rollout.values import Opinion, SliceRule
from edge_daemon.core.values import BundleRef, Detection, Verdict

RULES = (
    SliceRule("low_light", brightness_below=60),
    SliceRule("small", box_area_below=400),
    SliceRule("glass", products=("BTL-500", "BTL-700")),
    SliceRule("night", hours=(22, 6)),
    SliceRule("day", hours=(6, 14)),
    SliceRule("dim_glass", brightness_below=60, products=("BTL-500",)),
)


@pytest.mark.parametrize(
    ("traits", "names"),
    [
        (UnitTraits(), ()),
        (UnitTraits(brightness=59.9), ("low_light",)),
        (UnitTraits(brightness=60.0), ()),
        (UnitTraits(box_area=399.0, product="BTL-700"), ("small", "glass")),
        (UnitTraits(hour=23), ("night",)),
        (UnitTraits(hour=6), ("day",)),
        (UnitTraits(hour=14), ()),
        (UnitTraits(brightness=10.0, product="BTL-500"), ("low_light", "glass", "dim_glass")),
    ],
)
def test_a_unit_is_in_the_slices_whose_every_bound_it_meets(
    traits: UnitTraits, names: tuple[str, ...]
) -> None:
    assert slice_names(RULES, traits) == names


def test_the_box_area_is_of_the_largest_object_that_either_found() -> None:
    """A mask's own area counts where there is one; where nothing was found there is none."""

    def seen(*detections: Detection) -> Opinion:
        return Opinion(BundleRef("b", "1"), "ab", Verdict.OK, (), detections)

    small = Detection("x", 0.9, (0.0, 0.0, 10.0, 10.0))
    masked = Detection("x", 0.9, (0.0, 0.0, 30.0, 30.0), area_px=250.0)
    assert largest_area([seen(small), None, seen(masked)]) == 250.0
    assert largest_area([seen(), None]) is None
