"""The real daemon as a process of its own, with an engine that needs no network.

    python -m tests.sim.daemon --config FILE [--forgetful]

`--forgetful` breaks it on purpose: what was accepted is not made durable. It is the negative
control of the tests that kill it. See `fork_parent` for many lives in a row.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from edge_daemon.cli import run
from edge_daemon.host.journal import Journal
from tests.sim import belt, paced

ENGINE = "tests.sim.marked_engine:MarkedEngine"


def forget_requests() -> None:
    """From now on the journal says that it wrote down a request, and does not."""
    commit = Journal.commit
    Journal.commit = lambda journal, entry: commit(  # type: ignore[method-assign]
        journal, replace(entry, accepted=(), outcomes=())
    )


def live(path: Path, engine: str = ENGINE) -> None:
    """One life as `edge-daemon run` leads it, signals and all, with another engine."""
    belt.register()
    paced.register()
    run.live(path, engine)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--engine", default=ENGINE)
    parser.add_argument("--forgetful", action="store_true")
    given = parser.parse_args()
    if given.forgetful:
        forget_requests()
    live(given.config, given.engine)


if __name__ == "__main__":
    main()
