"""Where faults end before they end a thread: caught, logged and counted in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from edge_daemon.errors import EdgeDaemonError


@dataclass
class Attempt:
    """The result of the body of a `with`: `fault` is what it raised, or None."""

    fault: Exception | None = None


@contextmanager
def contained() -> Iterator[Attempt]:
    """Catches whatever the body raises; the caller reports it."""
    attempt = Attempt()
    try:
        yield attempt
    except Exception as fault:
        attempt.fault = fault


class ErrorBoundary:
    """Around one turn of a loop: whatever is raised in it is logged, and the loop continues.

    Args:
        log: the room's own, so that the line bears its name.
        event: of the log line.
        is_rare: log the 1st, 2nd, 4th, 8th … fault only, for what may fail with every frame.
    """

    def __init__(self, log: Any, event: str, *, is_rare: bool = False) -> None:
        self._log = log
        self._event = event
        self._is_rare = is_rare
        self.failures = 0
        """Turns that failed, since the start."""

    @contextmanager
    def turn(self, **facts: object) -> Iterator[Attempt]:
        """One turn; `facts` are added to the log line, such as what happens next (`retry_s`)."""
        with contained() as attempt:
            yield attempt
        if attempt.fault is not None:
            self.failures += 1
            self._tell(attempt.fault, facts)

    def _tell(self, fault: Exception, facts: dict[str, object]) -> None:
        if self._is_rare:
            if self.failures & (self.failures - 1):
                return
            facts = {**facts, "failures": self.failures}
        # An error of ours says all there is to say; anything else needs its traceback.
        is_ours = isinstance(fault, EdgeDaemonError)
        trace = None if is_ours else fault
        said = str(fault) if is_ours else repr(fault)
        self._log.error(self._event, error=said, exc_info=trace, **facts)


def end_of(loop: Callable[[], object], log: Any, event: str) -> BaseException | None:
    """Run the loop of a thread that the daemon cannot do without.

    Returns what ended it, so that the daemon can end too; None if the loop returned.
    """
    try:
        loop()
    except BaseException as fault:
        log.critical(event, error=repr(fault), exc_info=fault)
        return fault
    return None
