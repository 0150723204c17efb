"""How stable the connection to the broker is, and the likely cause where it is not."""

from __future__ import annotations

from collections import deque

import structlog

from edge_daemon.host.clock import Clock

WINDOW_S = 60.0
MOST_LOSSES = 4
"""Within the window, each soon after a join: more than a poor cable or a restart explains."""
SOON_S = 30.0
HELD_S = 180.0
"""A connection that lasted this long ends the problem."""

_log = structlog.get_logger(__name__)


class Link:
    """Counts losses. Only the session's thread calls `fell`; any thread asks."""

    def __init__(self, client_id: str, clock: Clock) -> None:
        self._client_id = client_id
        self._clock = clock
        self._losses: deque[float] = deque()
        self._is_taken_over = False
        self.was_taken_over = False  # the connection before this one
        self._told_at = float("-inf")
        self._problem = ""

    @property
    def keeps_falling(self) -> bool:
        """Whether it was so up to the connection that stands now."""
        return bool(self._problem)

    def fell(
        self, why: str, lasted_s: float, *, is_taken_over: bool, is_explained: bool = False
    ) -> bool:
        """A connection ended that the broker had accepted; True where that is told here.

        It is told once a minute. `is_explained`: the loss has another cause, told elsewhere.
        """
        now = self._clock.now().at
        self.was_taken_over = is_taken_over
        if lasted_s >= HELD_S:
            self._problem, self._is_taken_over = "", False
        if lasted_s < SOON_S and not is_explained:
            self._losses.append(now)
            self._is_taken_over |= is_taken_over
        while self._losses and now - self._losses[0] > WINDOW_S:
            self._losses.popleft()
        if len(self._losses) >= MOST_LOSSES:
            self._problem = (
                f"the connection to the broker fell {len(self._losses)} times within "
                f"{WINDOW_S:.0f} s, each time soon after it was made: {self._cause()}"
            )
        if not self._problem:
            return False
        if now - self._told_at >= WINDOW_S:
            self._told_at = now
            _log.error(
                "broker_link_keeps_falling",
                losses=len(self._losses),
                client_id=self._client_id,
                error=why,
                hint=f"{self._cause()}; give each client an id of its own.",
            )
        return True

    def problem(self, up_s: float) -> str:
        """A sentence while it falls and until a connection has held; `up_s`: how long it stands."""
        return self._problem if up_s < HELD_S else ""

    def _cause(self) -> str:
        if self._is_taken_over:
            return f"the broker says that another client took over the id {self._client_id}"
        return f"perhaps another client has the id {self._client_id} too"
