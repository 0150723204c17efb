"""Which settings may change while the daemon runs, and which wait for its next start."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from edge_daemon.config import Settings
from edge_daemon.errors import EdgeDaemonError

_log = structlog.get_logger(__name__)

TRUST = ("models.trust.", "models.revoked")
AT_ONCE = ("links.", "log.", "trial.", "results.publish", *TRUST)
"""Taken over while frames are judged; everything else is built into the parts at the start."""


@dataclass(frozen=True)
class Changes:
    """What differs between two settings files, as dotted keys."""

    applied: tuple[str, ...]
    need_restart: tuple[str, ...]


class SettingsFile:
    """Remembers why the settings file was last refused, until a good one is read."""

    def __init__(self) -> None:
        self.problems: tuple[str, ...] = ()
        """A sentence while it is so; any thread may read it."""

    def taken(self) -> None:
        self.problems = ()

    def refuse(self, error: Exception) -> None:
        """Report why, in the log and in health."""
        known = isinstance(error, EdgeDaemonError)
        told = str(error) if known else repr(error)
        _log.error("reload_refused", error=told, exc_info=not known)
        first, *more = told.splitlines()
        others = f" (and {len(more)} more)" if more else ""
        self.problems = (f"the settings file was not taken over: {first}{others}",)


def compare(old: Settings, new: Settings) -> Changes:
    """Every key that changed, by when it takes effect."""
    before, after = _flat(old.model_dump(mode="json")), _flat(new.model_dump(mode="json"))
    changed = sorted(k for k in before.keys() | after.keys() if before.get(k) != after.get(k))
    applied = tuple(key for key in changed if key.startswith(AT_ONCE))
    return Changes(applied, tuple(key for key in changed if key not in applied))


def digest(settings: Settings) -> str:
    """SHA-256 (hex) of the settings in force; of secret files the names, never the contents."""
    plain = json.dumps(settings.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()


def merge(old: Settings, new: Settings) -> Settings:
    """The running settings, with what may change at once taken from the new ones."""
    results = old.results.model_copy(update={"publish": new.results.publish})
    models = {"trust": new.models.trust, "revoked": new.models.revoked}
    taken = {
        "links": new.links,
        "log": new.log,
        "trial": new.trial,
        "results": results,
        "models": old.models.model_copy(update=models),
    }
    return old.model_copy(update=taken)


def _flat(plain: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in plain.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
