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
    """No daemon can be reached, neither by the broker nor by the control socket."""


class WrongUsage(SenderError):  # noqa: N818 - likewise
    """What was typed makes no sense; nothing was read or requested."""


def exit_code(error: EdgeDaemonError) -> int:
    """The exit code of an error.

    A state that is too new needs a person too: the service manager must not retry it for ever.
    """
    if isinstance(error, (ConfigurationError, NewerState)):
        return BAD_CONFIGURATION
    if isinstance(error, (NotReachable, BrokerError)):
        return NOT_REACHABLE
    if isinstance(error, WrongUsage):
        return USAGE
    return FAILED
