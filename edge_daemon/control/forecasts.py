"""What a dry run of a rollout tells: the plan held against the station's own record."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from edge_daemon.core.effects import MakeForecast
from edge_daemon.core.events import ForecastMade
from edge_daemon.core.rollout.membership import UnitTraits, local_hour, slice_names
from edge_daemon.core.rollout.plan import read_plan
from edge_daemon.core.rollout.rates import LOOK_BACK_DAYS, Forecast, Rates, foretell
from edge_daemon.core.rollout.values import Plan, SliceRule
from edge_daemon.core.values import Refusal
from edge_daemon.errors import EdgeDaemonError, StateError
from edge_daemon.host.error_boundary import contained
from edge_daemon.host.journal import Journal
from edge_daemon.host.journal_rates import DAY_S, Rejected, RejectedPair


class Forecasts:
    """Reads the journal on a thread of its own; `put` gets the result."""

    def __init__(
        self, journal: Journal, put: Callable[[ForecastMade], None], now_utc: Callable[[], float]
    ) -> None:
        self._journal, self._put, self._now_utc = journal, put, now_utc

    def make(self, effect: MakeForecast) -> None:
        """Returns at once."""
        threading.Thread(target=self._make, args=(effect,), name="forecast", daemon=True).start()

    def _make(self, effect: MakeForecast) -> None:
        told = Forecast(())
        refusal: Refusal | None = None
        with contained() as attempt:  # whatever it was becomes the answer
            told = forecast_of(effect.plan, self._journal, self._now_utc())
        if (fault := attempt.fault) is not None:
            if not isinstance(fault, EdgeDaemonError):
                fault = StateError(f"What is on record here cannot be read: {fault!r}.")
            refusal = Refusal.of(fault)
        self._put(ForecastMade(effect.request, told, refusal))


def forecast_of(plan: Plan, journal: Journal, now_utc: float) -> Forecast:
    """How long this plan will take here; raises StateError where the journal cannot be read."""
    since_utc = now_utc - LOOK_BACK_DAYS * DAY_S
    hours, parts, rejected = journal.rates.counts(since_utc, now_utc + 1.0)
    confirmed, verified = journal.rollouts.precision()
    shares = _shares(plan.slices, journal, since_utc) if parts else {}
    return foretell(plan, Rates(hours, parts, rejected, verified, confirmed, shares))


def _shares(
    rules: tuple[SliceRule, ...], journal: Journal, since_utc: float
) -> Mapping[str, float]:
    """By slice its share of the rejected parts.

    Of products and hours every part on record tells; of pixels only the pairs of earlier rollouts.
    """
    shares: dict[str, float] = {}
    plain = tuple(rule for rule in rules if not _asks_pixels(rule))
    if plain:
        seen = [_plain_traits(each) for each in journal.rates.rejected(since_utc)]
        shares |= _share_of(plain, [slice_names(plain, traits) for traits in seen])
    others = tuple(rule for rule in rules if _asks_pixels(rule))
    if others:
        pairs = journal.rates.pairs(since_utc)
        known = {pair.rollout: _rules_of(journal, pair.rollout) for pair in pairs}
        for rule in others:
            names = [
                found
                for pair in pairs
                if (found := _names(rule, pair, known[pair.rollout])) is not None
            ]
            shares |= _share_of((rule,), names)
    return shares


def _share_of(rules: tuple[SliceRule, ...], seen: list[tuple[str, ...]]) -> dict[str, float]:
    if not seen:
        return {}
    return {rule.name: sum(rule.name in names for names in seen) / len(seen) for rule in rules}


def _names(
    rule: SliceRule, pair: RejectedPair, known: tuple[SliceRule, ...]
) -> tuple[str, ...] | None:
    """The rule's name if the pair belongs to it, () if not; None where that is not known."""
    body: dict[str, Any] = json.loads(pair.body)
    if any(_conditions(each) == _conditions(rule) for each in known):
        same = {each.name for each in known if _conditions(each) == _conditions(rule)}
        return (rule.name,) if same & set(body.get("slices", ())) else ()
    if _asks_boxes(rule) or body.get("brightness") is None:
        return None
    traits = UnitTraits(body["brightness"], None, body.get("product"), local_hour(pair.utc))
    return slice_names((rule,), traits)


def _conditions(rule: SliceRule) -> SliceRule:
    """Which parts it has, without what it asks of them."""
    return replace(rule, name="", critical=False, min_defects=0, margin=None)


def _plain_traits(part: Rejected) -> UnitTraits:
    return UnitTraits(product=part.product, hour=local_hour(part.utc))


def _asks_boxes(rule: SliceRule) -> bool:
    return rule.box_area_below is not None or rule.box_area_above is not None


def _asks_pixels(rule: SliceRule) -> bool:
    by_light = rule.brightness_below is not None or rule.brightness_above is not None
    return by_light or _asks_boxes(rule)


def _rules_of(journal: Journal, rollout: str) -> tuple[SliceRule, ...]:
    row = journal.rollouts.find(rollout)
    if row is None:
        return ()
    return read_plan({"slices": json.loads(row.plan)["plan"]["slices"]}).slices
