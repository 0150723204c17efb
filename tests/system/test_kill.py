"""The daemon is killed in the middle of swaps; a few times here, often by `scripts/kill`."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.sim.kills import Killer
from tests.sim.mosquitto import Mosquitto

pytestmark = [pytest.mark.broker, pytest.mark.timeout(300)]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short: a Unix socket's path has a limit of 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="edk-") as made:
        yield Path(made)


def test_a_killed_daemon_loses_no_acknowledged_request(
    folder: Path, fresh_broker: Mosquitto
) -> None:
    """Each life starts on a confirmed or trial version; each request has exactly one outcome."""
    reckoning = Killer(folder, fresh_broker, Random(7)).run(10)
    assert reckoning.faults == []
    assert reckoning.kills == 10
    assert reckoning.hit["an open request"] > 0


def test_a_daemon_that_forgets_is_found_out(folder: Path, fresh_broker: Mosquitto) -> None:
    """The reckoning sees a daemon that does not write down what it accepted."""
    assert Killer(folder, fresh_broker, Random(7), forgetful=True).run(8).faults
