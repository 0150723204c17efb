"""What the page may ask of the daemon, as callables that any thread may call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from edge_daemon.host.clock import Clock
from edge_daemon.host.health import Health
from edge_daemon.messaging.answer import TakeAnswer
from edge_daemon.web.state import PageState, SwapEntry


class Picture(Protocol):
    """One annotated frame as JPEG; `serial` counts the pictures."""

    @property
    def serial(self) -> int: ...

    @property
    def jpeg(self) -> bytes: ...


@dataclass(frozen=True)
class PageBackend:
    """Everything that is shown.

    `state` and `metrics` may cost milliseconds, `watch` and `snapshot` wait: none of them is
    called on the event loop's thread.
    """

    clock: Clock
    state: Callable[[], PageState]
    health: Callable[[], Health]
    ready: Callable[[], Health]
    metrics: Callable[[], bytes]
    watch: Callable[[int, float], Picture | None]
    """The newest picture after this serial, waiting up to this many seconds for it."""
    snapshot: Callable[[], bytes]
    """The next judged frame as JPEG; raises EdgeDaemonError where none comes."""
    swap: Callable[[str], SwapEntry | None]
    """All that is known of one entry of the timeline; None for an unknown one."""
    rejected: Callable[[str], bytes | None]
    """The picture of a rejected part by its file name; None for an unknown one."""
    lineage: Callable[[str], Mapping[str, Any] | None] = lambda _: None
    """What a version was trained on and what it judged here; None for one that was never here."""
    ask: Callable[[str, bytes, str, TakeAnswer], None] | None = None
    """Hands in a request: verb, JSON, an id where it brings none, its way back. None: read only."""
    preview: Callable[[Mapping[str, float], int], Mapping[str, Any]] | None = None
    """What so many recent frames would be by a recipe tuned so; raises EdgeDaemonError."""
