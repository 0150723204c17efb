"""The real daemon as a process of its own, with an engine that needs no network.

    python -m tests.sim.daemon --config FILE [--forgetful]

`--forgetful` breaks it on purpose: what was accepted is not made durable. It is the negative
control of the tests that kill it.
"""

from __future__ import annotations

import argparse
import signal
import threading
from dataclasses import replace
from pathlib import Path

from edge_daemon import config
from edge_daemon.app import Daemon
from edge_daemon.host import logs
from edge_daemon.host.journal import Journal

ENGINE = "tests.sim.marked_engine:MarkedEngine"


def forget_requests() -> None:
    """From now on the journal says that it wrote down a request, and does not."""
    commit = Journal.commit
    Journal.commit = lambda journal, entry: commit(  # type: ignore[method-assign]
        journal, replace(entry, accepted=(), outcomes=())
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--forgetful", action="store_true")
    given = parser.parse_args()
    settings = config.load(given.config)
    logs.configure("warning")
    if given.forgetful:
        forget_requests()
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    daemon = Daemon(settings, engine=ENGINE)
    daemon.start()
    while not stopping.wait(0.5):
        assert daemon.broken() is None
    daemon.stop()


if __name__ == "__main__":
    main()
