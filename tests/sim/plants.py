"""Faults that are built into a daemon on purpose: negative controls of what reckons it up.

Named when a daemon is born (`tests.sim.fork_parent`), and in force for that life.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from edge_daemon.app import load_state
from edge_daemon.control import rollout_recorder
from edge_daemon.core.rollout import draw as draws
from edge_daemon.core.rollout.values import Mode
from edge_daemon.core.state import Durable


def salted() -> None:
    """A part's arm is drawn by something that nobody else knows; each life has another."""
    honest = draws.draw
    salt = str(os.getpid())
    draws.draw = lambda rollout, boot, part: honest(rollout, boot, f"{salt}{part}")


def widened() -> None:
    """A start goes on with the stage after the one that the journal names."""
    honest = load_state.decode_durable

    def ahead(body: bytes | None) -> Durable:
        durable = honest(body)
        rollout = durable.rollout
        after = rollout.plan.stages[rollout.stage + 1 :] if rollout is not None else ()
        if rollout is None or not rollout.is_begun or not after or after[0].mode is not Mode.SHARE:
            return durable
        return replace(durable, rollout=replace(rollout, stage=rollout.stage + 1))

    load_state.decode_durable = ahead


def lazy() -> None:
    """What was seen becomes durable now and then."""
    rollout_recorder.GROUP_S = 6.0


PLANTS: dict[str, Callable[[], None]] = {
    "salted": salted,
    "widened": widened,
    "lazy": lazy,
}
