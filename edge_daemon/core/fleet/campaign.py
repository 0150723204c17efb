"""A campaign: one bundle for many stations, wave by wave. Read from a mapping, and written back.

All that it may hold:

    id: 2026-48-bottle
    serial: 118                        # a later campaign has a larger one; it replaces this one
    model: bottle@1.4.0
    sha256: 9f…                        # of the weights
    from: [71…]                        # who judges by another digest is left out; empty: nobody is
    waves: [0.01, 0.1, 0.5, 1.0]       # shares of all stations, each with those before
    canaries: [line3-cam1]             # in the first wave, whatever is drawn
    groups: {line3: [line3-cam1, line3-cam2]}   # never two of a group in one wave
    soak_s: [1800, 7200, 7200]         # each wave but the last is looked at so long, at least
    window: ["22:00-05:00"]            # besides the station's own
    manifest_sha256: 4c…               # of model.yaml
    infohash: 86…                      # of the swarm in which stations give it to each other
    size: 20971520                     # of the whole bundle, in bytes
    fetch: early                       # or with_wave: not before a station's wave is open
    not_before: 1790000000.0           # POSIX seconds
    expires: 1790600000.0
    rules: {failed: 0.05, silent: 0.02, patience_s: 3600, uninspected: 0.01, slower: 1.2,
            slices: {low_light: 0.03}, alpha: {stop: 0.001, advance: 0.01}, on_stop: freeze}
    rollout: {…}                       # each station takes it by this plan; else it swaps

The slices of the rules are those of the rollout's plan, where both models judge parts of the line,
and those of the bundle's golden images.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from edge_daemon.core.rollout import plan as plans
from edge_daemon.core.rollout.plan_table import Table
from edge_daemon.core.rollout.values import Mode, Plan
from edge_daemon.core.values import BundleRef

MOST_WAVES = 16
MOST_NAMES = 20_000
MOST_SLICES = 16
LONGEST_S = 366 * 86_400.0

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SERIAL = 2**53
_LARGEST = 2**44
_LATEST = 1e11
_DIGEST = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_CLOCK = r"([01]\d|2[0-3]):[0-5]\d"
_WINDOW = re.compile(rf"{_CLOCK}-{_CLOCK}")


@dataclass(frozen=True)
class Rules:
    """What stops a campaign, and what must be known before the next wave opens.

    Args:
        failed: share of the stations that refused it or went back from it.
        silent: share of the stations that may be silent; one always may.
        patience_s: so long after its last report a station is silent.
        uninspected: share of frames without a verdict; None: not looked at.
        slower: times the latency before it; None: not looked at.
        slices: by name, how much recall may be lost, 0.03 is three points.
        goes_back: whether those that have it go back when it is stopped.
    """

    failed: float = 0.05
    silent: float = 0.02
    patience_s: float = 3600.0
    uninspected: float | None = None
    slower: float | None = None
    slices: Mapping[str, float] = field(default_factory=dict)
    alpha_stop: float = 0.001
    alpha_advance: float = 0.01
    goes_back: bool = False


@dataclass(frozen=True)
class Campaign:
    """What was signed. `soak_s` has one entry less than `waves`; times are POSIX seconds."""

    id: str
    serial: int
    model: BundleRef
    sha256: str
    waves: tuple[float, ...]
    not_before: float
    expires: float
    from_sha256: tuple[str, ...] = ()
    canaries: tuple[str, ...] = ()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    soak_s: tuple[float, ...] = ()
    window: tuple[str, ...] = ()
    rules: Rules = Rules()
    manifest_sha256: str | None = None
    infohash: str | None = None
    size: int | None = None
    fetches_early: bool = True
    rollout: Plan | None = None

    def earliest(self, wave: int) -> float:
        """When this wave may open, whoever says that it is open."""
        return self.not_before + sum(self.soak_s[:wave])


def read_campaign(mapping: object) -> Campaign:
    """The campaign that a mapping of plain values holds; raises PlanError that names the key."""
    top = Table(mapping, "campaign")
    top.refuse_unknown(*_TOP)
    waves = _waves(top)
    for key in ("serial", "not_before"):
        if key not in top:
            raise top.wrong(key, "is missing")
    not_before = top.number("not_before", 0.0, _LATEST, 0.0)
    expires = top.number("expires", 0.0, _LATEST, 0.0)
    if not not_before < expires <= not_before + LONGEST_S:
        raise top.wrong("expires", "must be after not_before, and within a year of it")
    return Campaign(
        id=_named(top, "id", NAME),
        serial=top.whole("serial", 1, _SERIAL, 0),
        model=_model(top),
        sha256=_named(top, "sha256", _DIGEST),
        waves=waves,
        not_before=not_before,
        expires=expires,
        from_sha256=_texts(top, "from", _DIGEST.fullmatch, 64),
        canaries=_texts(top, "canaries", NAME.fullmatch, MOST_NAMES),
        groups=_groups(top, len(waves)),
        soak_s=_soak(top, len(waves)),
        window=_texts(top, "window", is_window, 16),
        rules=_rules(top.table("rules")),
        manifest_sha256=_digest(top, "manifest_sha256"),
        infohash=_digest(top, "infohash"),
        size=top.whole("size", 1, _LARGEST, 0) or None,
        fetches_early=top.word("fetch", ("early", "with_wave"), "early") == "early",
        rollout=_rollout(top),
    )


_TOP = (
    *("id", "serial", "model", "sha256", "from", "waves", "canaries", "groups", "soak_s"),
    *("window", "not_before", "expires", "rules", "rollout"),
    *("manifest_sha256", "infohash", "size", "fetch"),
)


def as_mapping(campaign: Campaign) -> dict[str, Any]:
    """The same as plain values; `read_campaign` reads it back."""
    rules = campaign.rules
    said = {
        "failed": rules.failed,
        "silent": rules.silent,
        "patience_s": rules.patience_s,
        "slices": dict(rules.slices),
        "alpha": {"stop": rules.alpha_stop, "advance": rules.alpha_advance},
        "on_stop": "rollback" if rules.goes_back else "freeze",
        "uninspected": rules.uninspected,
        "slower": rules.slower,
    }
    whole = {
        "id": campaign.id,
        "serial": campaign.serial,
        "model": str(campaign.model),
        "sha256": campaign.sha256,
        "from": list(campaign.from_sha256),
        "waves": list(campaign.waves),
        "canaries": list(campaign.canaries),
        "groups": {name: list(members) for name, members in campaign.groups.items()},
        "soak_s": list(campaign.soak_s),
        "window": list(campaign.window),
        "not_before": campaign.not_before,
        "expires": campaign.expires,
        "rules": _without_none(said),
        "rollout": None if campaign.rollout is None else plans.as_mapping(campaign.rollout),
        "manifest_sha256": campaign.manifest_sha256,
        "infohash": campaign.infohash,
        "size": campaign.size,
        "fetch": None if campaign.fetches_early else "with_wave",
    }
    return _without_none(whole)


def _without_none(mapping: dict[str, Any]) -> dict[str, Any]:
    """Nothing is said where nothing is meant: what was signed before keeps its text."""
    return {key: value for key, value in mapping.items() if value is not None}


def is_window(text: str) -> bool:
    """Whether it is hours such as 22:00-05:00; what ends when it begins would never be open."""
    return _WINDOW.fullmatch(text) is not None and text[:5] != text[6:]


def canonical(campaign: Campaign) -> bytes:
    """The text that is signed."""
    return json.dumps(as_mapping(campaign), sort_keys=True, separators=(",", ":")).encode()


def digest(campaign: Campaign) -> str:
    """SHA-256 of that text, in hex."""
    return hashlib.sha256(canonical(campaign)).hexdigest()


# --------------------------------------------------------------------------- reading


def _waves(top: Table) -> tuple[float, ...]:
    shares = _numbers(top, "waves")
    if not shares or any(not 0.0 < share <= 1.0 for share in shares):
        raise top.wrong("waves", "must be shares of all stations, such as [0.01, 0.1, 1.0]")
    if any(after <= before for before, after in pairwise(shares)):
        raise top.wrong("waves", "must grow: each wave holds those before it")
    return shares


def _soak(top: Table, waves: int) -> tuple[float, ...]:
    if "soak_s" not in top:
        return (0.0,) * (waves - 1)
    given = _numbers(top, "soak_s")
    if len(given) != waves - 1:
        raise top.wrong("soak_s", f"must have {waves - 1} entries: one for each wave but the last")
    if any(not 0.0 <= each <= LONGEST_S for each in given):
        raise top.wrong("soak_s", "must be seconds, 0 or more")
    return given


def _groups(top: Table, waves: int) -> dict[str, tuple[str, ...]]:
    table = top.table("groups")
    groups: dict[str, tuple[str, ...]] = {}
    grouped: set[str] = set()
    for name in table.names():
        if NAME.fullmatch(name) is None:
            raise top.wrong("groups", f"has no group's name but {name[:40]!r}")
        members = _texts(table, name, NAME.fullmatch, MOST_NAMES)
        if len(members) > waves:
            raise table.wrong(
                name, f"has {len(members)} stations for {waves} waves: two would change at once"
            )
        if twice := grouped & set(members):
            raise table.wrong(name, f"has {min(twice)}, which is in another group")
        grouped |= set(members)
        groups[name] = members
    return groups


def _rules(table: Table) -> Rules:
    table.refuse_unknown(
        *("failed", "silent", "patience_s", "uninspected", "slower", "slices", "alpha", "on_stop")
    )
    alpha, slices = table.table("alpha"), table.table("slices")
    alpha.refuse_unknown("stop", "advance")
    names = tuple(slices.names())
    if len(names) > MOST_SLICES or any(NAME.fullmatch(name) is None for name in names):
        raise table.wrong("slices", f"must be {MOST_SLICES} names at most, each with a margin")
    return Rules(
        failed=table.number("failed", 0.0, 1.0, Rules.failed),
        silent=table.number("silent", 0.0, 1.0, Rules.silent),
        patience_s=table.number("patience_s", 1.0, LONGEST_S, Rules.patience_s),
        uninspected=table.maybe("uninspected", 0.0, 1.0),
        slower=table.maybe("slower", 1.0, 100.0),
        slices={name: slices.number(name, 0.001, 1.0, 0.03) for name in names},
        alpha_stop=alpha.number("stop", 1e-9, 0.1, Rules.alpha_stop),
        alpha_advance=alpha.number("advance", 1e-9, 0.2, Rules.alpha_advance),
        goes_back=table.word("on_stop", ("freeze", "rollback"), "freeze") == "rollback",
    )


def _rollout(top: Table) -> Plan | None:
    if "rollout" not in top:
        return None
    plan = plans.read_plan(top.value("rollout"))
    if plan.stages[-1].mode is not Mode.FULL:
        raise top.wrong("rollout", "must end with a full stage: without it no station confirms it")
    return plan


def _model(top: Table) -> BundleRef:
    name, _, version = _text(top, "model").partition("@")
    if NAME.fullmatch(name) is None or _VERSION.fullmatch(version) is None:
        raise top.wrong("model", "must be a bundle such as bottle@1.4.0")
    return BundleRef(name, version)


def _named(top: Table, key: str, pattern: re.Pattern[str]) -> str:
    text = _text(top, key)
    if pattern.fullmatch(text) is None:
        raise top.wrong(key, f"cannot be {text[:80]!r}")
    return text


def _digest(top: Table, key: str) -> str | None:
    return _named(top, key, _DIGEST) if key in top else None


def _text(top: Table, key: str) -> str:
    value = top.value(key)
    if not isinstance(value, str):
        raise top.wrong(key, "is missing" if value is None else "must be a text")
    return value


def _texts(top: Table, key: str, fits: Callable[[str], object], most: int) -> tuple[str, ...]:
    values = [value for value, _ in top.items(key, most)]
    for value in values:
        if not isinstance(value, str) or not fits(value):
            raise top.wrong(key, f"cannot hold {str(value)[:80]!r}")
    return tuple(dict.fromkeys(values))


def _numbers(top: Table, key: str) -> tuple[float, ...]:
    values = [value for value, _ in top.items(key, MOST_WAVES)]
    for at, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise top.wrong(f"{key}[{at}]", "must be a number")
    return tuple(map(float, values))
