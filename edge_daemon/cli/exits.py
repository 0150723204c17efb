"""How a command ends: the exit codes of the public contract, after sysexits(3)."""

from __future__ import annotations

from edge_daemon.errors import BoxError, BrokerError, ConfigurationError, EdgeDaemonError

DONE = 0
FAILED = 1
USAGE = 2
NOT_REACHABLE = 69  # EX_UNAVAILABLE
BAD_CONFIGURATION = 78  # EX_CONFIG


class NotReachable(BoxError):  # noqa: N818 - named as the exit code that it becomes
    """Neither the broker nor the control socket leads to a daemon."""


def exit_code(error: EdgeDaemonError) -> int:
    """The exit code that an error becomes."""
    if isinstance(error, ConfigurationError):
        return BAD_CONFIGURATION
    if isinstance(error, (NotReachable, BrokerError)):
        return NOT_REACHABLE
    return FAILED
