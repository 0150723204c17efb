"""The composition root: builds every part of one device, starts and stops it in order."""

from edge_daemon.app.daemon import Daemon

__all__ = ["Daemon"]
