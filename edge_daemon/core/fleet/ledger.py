"""Who has what, of all stations that there should be: nobody is left out without a word.

With an inventory: inventory = heard + silent + missing, by name, and beyond it only `unknown`.
Silence is said by whoever counts, never by the station: its last will, or reports that stopped.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from edge_daemon.core.fleet.report import SILENT_AFTER, Report

OWN_ROOT = "edge/"
"""Below it a station's name is a topic level, which the shipped access list binds to it."""
AWAY = ("offline", "stopped")


class Presence(str, Enum):
    """Whether a station's word can be relied on now."""

    HEARD = "heard"
    SILENT = "silent"


@dataclass(frozen=True)
class StationMessages:
    """What the broker has of one station: its report, and its presence as `<root>/status` says."""

    root: str
    report: Report
    status: str | None = None


@dataclass(frozen=True)
class Line:
    """One station of the ledger. `why`: what makes it silent; empty while it is heard."""

    root: str
    report: Report
    why: str = ""

    @property
    def presence(self) -> Presence:
        return Presence.SILENT if self.why else Presence.HEARD

    @property
    def device(self) -> str:
        return self.report.device


@dataclass(frozen=True)
class IgnoredTopic:
    """A topic whose word does not count, and why."""

    root: str
    why: str


@dataclass(frozen=True)
class Absent:
    """A station of the inventory without a report that counts."""

    device: str
    why: str


@dataclass(frozen=True)
class Ledger:
    """All stations at one moment, by name.

    `inventory`: how many there should be; None where nobody said. `unknown`: stations that report
    and are not in it; they are among `lines` all the same.
    """

    lines: tuple[Line, ...]
    missing: tuple[Absent, ...] = ()
    unknown: tuple[str, ...] = ()
    strangers: tuple[IgnoredTopic, ...] = ()
    inventory: int | None = None

    @property
    def heard(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.presence is Presence.HEARD)

    @property
    def silent(self) -> tuple[Line, ...]:
        return tuple(line for line in self.lines if line.presence is Presence.SILENT)

    @property
    def is_complete(self) -> bool:
        """Whether every station that there should be is heard, and no other."""
        nobody_else = not (self.silent or self.missing or self.unknown or self.strangers)
        return nobody_else and self.inventory is not None

    def counts(self, what: str) -> dict[str, int]:
        """Stations by a field of their reports, most first; those without one under `-`."""
        found = Counter(_text(getattr(line.report, what)) for line in self.lines)
        return dict(sorted(found.items(), key=lambda each: (-each[1], each[0])))


def _text(value: object) -> str:
    return str(value.value if isinstance(value, Enum) else "-" if value is None else value)


def make_ledger(
    words: Iterable[StationMessages],
    now_utc: float,
    inventory: Sequence[str] | None = None,
    patience_s: float | None = None,
    strangers: Iterable[IgnoredTopic] = (),
    quiet: Mapping[str, str] | None = None,
) -> Ledger:
    """The ledger of what stations said.

    Args:
        inventory: the names of all stations that there should be.
        patience_s: a report that is older makes its station silent; None: as long as three of the
            station's own reports take.
        strangers: topics that were no reports.
        quiet: root -> presence, of stations that have a status and no report.
    """
    said, refused, lines = list(words), list(strangers), []
    claims = Counter(word.report.device for word in said if not _is_foreign(word))
    for word in said:
        if why := _why_ignored(word, claims):
            refused.append(IgnoredTopic(word.root, why))
        else:
            silence = silent_because(word, now_utc, patience_s)
            lines.append(Line(word.root, word.report, silence))
    lines.sort(key=lambda line: line.device)
    named = {line.device for line in lines}
    expected, mute = set(inventory or ()), dict(quiet or {})
    for root, status in mute.items():
        if root.removeprefix(OWN_ROOT) not in expected:
            refused.append(IgnoredTopic(root, f"its status is {status}, and it has no report"))
    return Ledger(
        tuple(lines),
        tuple(Absent(name, _absence(name, mute)) for name in sorted(expected - named)),
        tuple(sorted(named - expected)) if inventory is not None else (),
        tuple(sorted(refused, key=lambda each: each.root)),
        None if inventory is None else len(expected),
    )


def silent_because(word: StationMessages, now_utc: float, patience_s: float | None = None) -> str:
    """Why this station's word may be old; empty where it is not."""
    report = word.report
    if word.status in AWAY:
        return f"it is {word.status}"
    limit_s = SILENT_AFTER * report.every_s if patience_s is None else patience_s
    age_s = now_utc - report.said_utc
    if age_s < -limit_s:
        # A dead station's report would be young for ever.
        return f"its clock is {_span(-age_s)} ahead: the age of its report is not known"
    return f"its last report is {_span(age_s)} old" if age_s > limit_s else ""


def _absence(name: str, quiet: Mapping[str, str]) -> str:
    status = quiet.get(OWN_ROOT + name)
    return "it never reported" if status is None else f"it is {status}, and has no report"


def _why_ignored(word: StationMessages, claims: Mapping[str, int]) -> str:
    """Why a word does not count that is said in another's name, or in one that several claim."""
    name = word.report.device
    if _is_foreign(word):
        return f"it says that it is {name}"
    return f"{claims[name]} stations say that they are {name}" if claims[name] > 1 else ""


def _is_foreign(word: StationMessages) -> bool:
    root, name = word.root, word.report.device
    below = root.removeprefix(OWN_ROOT)
    return root.startswith(OWN_ROOT) and "/" not in below and below != name


def _span(seconds: float) -> str:
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172_800, "h", 3600)):
        if seconds < limit:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def groups(ledger: Ledger) -> dict[str, tuple[str, ...]]:
    """The stations of each group with two members or more, as their own settings name it.

    Silent stations belong to it as well: they may come back while their neighbour changes.
    """
    found: dict[str, list[str]] = {}
    for line in ledger.lines:
        if line.report.group is not None:
            found.setdefault(line.report.group, []).append(line.device)
    return {name: tuple(found[name]) for name in sorted(found) if len(found[name]) > 1}


@dataclass(frozen=True)
class Holder:
    """A station that has a bundle. `judges`: whether it is what judges there now."""

    device: str
    site: str | None
    model: str
    sha256: str
    judges: bool
    presence: Presence


def holders(ledger: Ledger, wanted: str) -> tuple[Holder, ...]:
    """The stations that judge by a bundle or have it in their store, those that judge first.

    Args:
        wanted: `name@version`, a bundle's name, or the first characters of a digest (6 or more).
    """
    found = []
    for line in ledger.lines:
        report = line.report
        had = {(each.model, each.sha256) for each in report.stored}
        active = (report.model or "", report.sha256 or "")
        for model, sha256 in sorted(had | ({active} if report.model else set())):
            if _is_wanted(wanted, model, sha256):
                judges = (model, sha256) == active
                found.append(
                    Holder(report.device, report.site, model, sha256, judges, line.presence)
                )
    return tuple(sorted(found, key=lambda each: (not each.judges, each.device)))


def _is_wanted(wanted: str, model: str, sha256: str) -> bool:
    if wanted in (model, model.partition("@")[0]):
        return True
    return len(wanted) >= 6 and sha256.startswith(wanted.lower())
