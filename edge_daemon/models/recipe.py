"""The `recipe` of a `model.yaml`: its part, zones and rules, and what may be tuned."""

from __future__ import annotations

import math
from collections.abc import Mapping

from edge_daemon.core.recipe import tunable
from edge_daemon.core.values import Adjustable, Recipe, Rule
from edge_daemon.core.zones import MOST_POINTS, Zone, fault_of
from edge_daemon.models.document import Table

MAX_RULES = 1000
MAX_ZONES = 64
MAX_COUNT = 1000
MAX_AREA_PX = 65536.0**2


def read_recipe(table: Table, classes: tuple[str, ...]) -> Recipe:
    """What the table says; raises BundleError(invalid_bundle) naming the key."""
    table.refuse_unknown("confidence", "reject", "part", "zones", "rules", "adjustable")
    reject = table.texts("reject", MAX_RULES)
    for label in reject:
        if label not in classes:
            raise table.wrong("reject", f"names {label!r}, which is not one of the classes")
    part = table.text("part") if "part" in table else None
    if part is not None and part not in classes:
        raise table.wrong("part", f"is {part!r}, which is not one of the classes")
    if part in reject:
        raise table.wrong("part", f"is {part!r}, which reject names: every part would be ng")
    confidence = table.number("confidence", 0.0, 1.0, 0.25)
    zones = _zones(table)
    shorthand = Recipe.rejecting(confidence, *reject).rules
    told = table.tables("rules", MAX_RULES)
    rules = (*shorthand, *(_rule(entry, classes, confidence, zones) for entry in told))
    if len({rule.id for rule in rules}) < len(rules):
        raise table.wrong("rules", "uses an id twice; each rule, also one of reject, has its own")
    recipe = Recipe(confidence, rules, part, tuple(zones.values()))
    return Recipe(confidence, rules, part, recipe.zones, _adjustable(table, recipe))


def _zones(table: Table) -> Mapping[str, Zone]:
    shapes = table.table("zones")
    names = shapes.keys()
    if len(names) > MAX_ZONES:
        raise table.wrong("zones", f"has {len(names)} entries; at most {MAX_ZONES} are allowed")
    zones = {}
    for name in names:
        points = shapes.pairs(name, MOST_POINTS, 0.0, 1.0)
        if fault := fault_of(points):
            raise shapes.wrong(name, fault)
        zones[name] = Zone(name, points)
    return zones


def _rule(
    entry: Table, classes: tuple[str, ...], usual_confidence: float, zones: Mapping[str, Zone]
) -> Rule:
    entry.refuse_unknown("id", "class", "confidence", "area_px", "zone", "count")
    label = entry.text("class")
    if label not in classes:
        raise entry.wrong("class", f"is {label!r}, which is not one of the classes")
    count, area = entry.table("count"), entry.table("area_px")
    count.refuse_unknown("min", "max")
    area.refuse_unknown("min", "max")
    at_least = count.whole("min", 0, MAX_COUNT, 0)
    at_most = count.whole("max", 0, MAX_COUNT) if "max" in count else None
    if at_least == 0 and at_most is None:
        raise entry.wrong("count", "must say min, max or both: else no frame can break the rule")
    if at_most is not None and at_most < at_least:
        raise entry.wrong("count", "has a max below its min: no frame could hold it")
    zone = entry.text("zone") if "zone" in entry else None
    if zone is not None and zone not in zones:
        known = ", ".join(zones) or "none"
        raise entry.wrong("zone", f"is {zone!r}, which is not one of the zones ({known})")
    rule = Rule(
        entry.text("id", label),
        label,
        entry.number("confidence", 0.0, 1.0, usual_confidence),
        at_least,
        at_most,
        area.number("min", 0.0, MAX_AREA_PX, 0.0),
        area.number("max", 0.0, MAX_AREA_PX) if "max" in area else math.inf,
        None if zone is None else zones[zone],
    )
    if rule.max_area_px < rule.min_area_px:
        raise entry.wrong("area_px", "has a max below its min: nothing could lie between")
    return rule


def _adjustable(table: Table, recipe: Recipe) -> tuple[Adjustable, ...]:
    bounds = table.table("adjustable")
    numbers = tunable(recipe)
    found = []
    for name in bounds.keys():  # noqa: SIM118 - a table is no mapping
        value = numbers.get(name)
        if value is None:
            raise bounds.wrong(
                name,
                "is no number of a rule; write RULE_ID.confidence, .area_px.min, .area_px.max,"
                " .count.min or .count.max of one that says it",
            )
        low, high = bounds.numbers(name, 2, 0.0, _highest(name))
        if not low <= value <= high:
            raise bounds.wrong(name, f"must be [low, high] round the recipe's own {value:g}")
        if name.endswith((".count.min", ".count.max")) and (low != int(low) or high != int(high)):
            raise bounds.wrong(name, "must be two whole numbers")
        found.append(Adjustable(name, low, high))
    return tuple(found)


def _highest(name: str) -> float:
    if name.endswith(".confidence"):
        return 1.0
    return MAX_COUNT if name.endswith((".count.min", ".count.max")) else MAX_AREA_PX
