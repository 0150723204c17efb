"""Versions: how they order, and whether this box has what a bundle requires.

PEP 440 decides the order wherever it can read a version (`1.4.0`, `1.4.0rc1`, `1.4.0-beta.2`,
`2026.10.1`). What it cannot read but semver can (`1.4.0-line3`, `1.4.0-alpha.beta`) is a
pre-release of its number: after development releases, before PEP 440's own `a`, `b` and `rc`,
identifiers compared as semver does. Versions that order alike (`1.0` and `1.0.0`) fall back to
their text, so that the order is always total. Anything else is no version.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, total_ordering
from importlib import metadata

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

_SEMVER = re.compile(
    r"v?(?P<release>\d{1,9}\.\d{1,9}\.\d{1,9})"
    r"-(?P<pre>[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)"
    r"(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?"
)
_SAFE = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+-]{0,63}")

_Part = tuple[int, int, str]
_Key = tuple[int, tuple[int, ...], int, tuple[_Part, ...]]
"""Epoch, numbers of the release, stage, and the identifiers of a pre-release of semver."""

_DEVELOPMENT, _SEMVER_PRE, _OTHER = 0, 1, 2  # PEP 440 itself orders what is in one stage

_LIBRARIES = ("ultralytics", "torch", "tensorrt")

_DISTRIBUTIONS = {
    "ultralytics": ("ultralytics", "ultralytics-opencv-headless"),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
}
"""Where a required library comes from when several distributions bring it."""


@total_ordering
@dataclass(frozen=True)
class Order:
    """A version's place in the total order; compares with `<`. Made by `order_of`."""

    text: str
    key: _Key
    exact: Version | None

    def __lt__(self, other: Order) -> bool:
        if self.exact is not None and other.exact is not None:
            return (self.exact, self.text) < (other.exact, other.text)
        return (self.key, self.text) < (other.key, other.text)

    def is_same_as(self, other: Order) -> bool:
        """Whether neither is older: `1.2`, `v1.2` and `1.2.0` are one version."""
        return not (self.is_older_than(other) or other.is_older_than(self))

    def is_older_than(self, other: Order) -> bool:
        """As `<`, but `1.0` and `1.0.0` are one version."""
        if self.exact is not None and other.exact is not None:
            return self.exact < other.exact
        return self.key < other.key


@lru_cache(maxsize=4096)
def order_of(text: str) -> Order:
    """Place a version; raises ValueError when neither PEP 440 nor semver can read it."""
    if not _SAFE.fullmatch(text):
        raise ValueError(f"{text!r} is not a version such as 1.4.0")
    try:
        exact = Version(text)
    except InvalidVersion:
        return Order(text, _semver_key(text), None)
    return Order(text, _pep440_key(exact), exact)


def is_version(text: str) -> bool:
    """Whether `text` can be ordered among the versions of a bundle."""
    try:
        order_of(text)
    except ValueError:
        return False
    return True


def equal_to(version: str, among: Iterable[str]) -> set[str]:
    """The version itself, and those that order alike (`1.2`, `v1.2`, `1.2.0`)."""
    order = order_of(version)
    return {version, *(v for v in among if is_version(v) and order_of(v).is_same_as(order))}


def unmet(requires: Mapping[str, str], installed: Mapping[str, str | None]) -> tuple[str, ...]:
    """One sentence for each requirement that this box does not meet; () when all are met.

    `installed` maps library to version, None or absent where it is missing; `gpu` is the
    compute capability (`8.7`), or None without a GPU. A requirement is a PEP 440 specifier.
    """
    return tuple(
        f"{library} {wanted} is required, here is {installed.get(library) or 'none'}"
        for library, wanted in sorted(requires.items())
        if not _meets(installed.get(library), wanted)
    )


def provisions(gpu: str | None) -> dict[str, str | None]:
    """What this box has of what a bundle may require, without importing any of it.

    `gpu` is the compute capability (`8.7`) of the device that models run on; None: a CPU.
    """
    return {**installed(_LIBRARIES), "gpu": gpu}


def installed(libraries: tuple[str, ...]) -> dict[str, str | None]:
    """The versions of the named libraries on this box, without importing them."""
    places = _places()
    return {library: _found(library, places) for library in libraries}


def is_specifier(text: str) -> bool:
    """Whether `text` is a PEP 440 specifier such as `>=8.3,<9`."""
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return False
    return True


def _meets(version: str | None, wanted: str) -> bool:
    if version is None:
        return False
    try:
        return SpecifierSet(wanted).contains(version, prereleases=True)
    except (InvalidSpecifier, InvalidVersion):
        return False


def _places() -> tuple[tuple[str, int], ...]:
    """The folders of packages with their time of change: an installation changes it."""
    places = []
    for path in sys.path:
        with suppress(OSError):
            places.append((path, os.stat(path or ".").st_mtime_ns))
    return tuple(places)


@lru_cache(maxsize=64)
def _found(library: str, _places: tuple[tuple[str, int], ...]) -> str | None:
    """Looking for a package takes milliseconds, and each proof asks for several."""
    for name in _DISTRIBUTIONS.get(library, (library,)):
        if found := next(iter(metadata.distributions(name=name)), None):
            return found.version
    return None


def _release(numbers: tuple[int, ...]) -> tuple[int, ...]:
    while numbers and numbers[-1] == 0:
        numbers = numbers[:-1]
    return numbers


def _pep440_key(version: Version) -> _Key:
    only_dev = version.dev is not None and version.pre is None and version.post is None
    stage = _DEVELOPMENT if only_dev else _OTHER
    return version.epoch, _release(version.release), stage, ()


def _semver_key(text: str) -> _Key:
    match = _SEMVER.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a version such as 1.4.0")
    release = tuple(int(number) for number in match["release"].split("."))
    identifiers = tuple(
        (0, int(part), "") if part.isdigit() else (1, 0, part) for part in match["pre"].split(".")
    )
    return 0, _release(release), _SEMVER_PRE, identifiers
