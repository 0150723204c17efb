"""How a command ends: the exit codes of the public contract, after sysexits(3)."""

from __future__ import annotations

from edge_daemon.errors import (
    BoxError,
    BrokerError,
    ConfigurationError,
    EdgeDaemonError,
    NewerState,
    SenderError,
)

DONE = 0
FAILED = 1
USAGE = 2
NOT_REACHABLE = 69  # EX_UNAVAILABLE
BAD_CONFIGURATION = 78  # EX_CONFIG
READER_LEFT = 141  # as the shell says it of a program that SIGPIPE ended


class NotReachable(BoxError):  # noqa: N818 - named as the exit code that it becomes
    """Neither the broker nor the control socket leads to a daemon."""


class WrongUsage(SenderError):  # noqa: N818 - likewise
    """What was typed cannot be meant; nothing was read or asked."""


def exit_code(error: EdgeDaemonError) -> int:
    """The exit code that an error becomes.

    A state that is too new is for a person too: the service manager must not try it for ever.
    """
    if isinstance(error, (ConfigurationError, NewerState)):
        return BAD_CONFIGURATION
    if isinstance(error, (NotReachable, BrokerError)):
        return NOT_REACHABLE
    if isinstance(error, WrongUsage):
        return USAGE
    return FAILED
