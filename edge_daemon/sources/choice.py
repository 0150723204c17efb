"""Which versions of a bundle are wanted of a source that lists them."""

from __future__ import annotations

from collections.abc import Sequence

from edge_daemon.models.versions import order_of

NEWEST, ALL = "newest", "all"
VERSIONS, FILES = "versions.txt", "files.txt"
"""Lists beside the bundles, and in one: a web server has no other way to say what it has."""


def chosen(versions: Sequence[str], which: str) -> tuple[str, ...]:
    """`newest`, `all` (oldest first) or one version; () where there is none."""
    ordered = sorted(versions, key=order_of)
    if which == ALL:
        return tuple(ordered)
    if which == NEWEST:
        return tuple(ordered[-1:])
    return (which,) if which in ordered else ()
