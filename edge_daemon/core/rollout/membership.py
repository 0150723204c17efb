"""Which slices of a plan a unit belongs to: by its pixels and what is made, never by a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from edge_daemon.core.recipe import area_px
from edge_daemon.core.rollout.values import Opinion, SliceRule


@dataclass(frozen=True)
class UnitTraits:
    """What is known of a unit; None where it was not measured, and then no rule of it holds.

    `box_area`: square pixels of the largest object that either model found. `hour`: local, 0..23.
    """

    brightness: float | None = None
    box_area: float | None = None
    product: str | None = None
    hour: int | None = None


def slice_names(rules: Sequence[SliceRule], traits: UnitTraits) -> tuple[str, ...]:
    """The names of the slices that hold all of these traits, in the plan's order."""
    return tuple(rule.name for rule in rules if _holds(rule, traits))


def _holds(rule: SliceRule, traits: UnitTraits) -> bool:
    return (
        _lies(traits.brightness, rule.brightness_below, rule.brightness_above)
        and _lies(traits.box_area, rule.box_area_below, rule.box_area_above)
        and (not rule.products or traits.product in rule.products)
        and (rule.hours is None or _is_within(traits.hour, *rule.hours))
    )


def _lies(value: float | None, below: float | None, above: float | None) -> bool:
    if below is None and above is None:
        return True
    if value is None:
        return False
    return (below is None or value < below) and (above is None or value > above)


def _is_within(hour: int | None, first: int, end: int) -> bool:
    """From `first` up to but without `end`; 22 to 6 goes over midnight."""
    if hour is None:
        return False
    return first <= hour < end if first <= end else hour >= first or hour < end


def largest_area(opinions: Sequence[Opinion | None]) -> float | None:
    """Of all objects that these found, in square pixels; None where none found any."""
    found = [each for opinion in opinions if opinion is not None for each in opinion.detections]
    return max((area_px(each) for each in found), default=None)


def local_hour(utc: float) -> int:
    """The hour on the station's clock."""
    return datetime.fromtimestamp(utc).astimezone().hour
