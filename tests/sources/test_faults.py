"""Every kind of source: what is spoilt is refused, and what was cut off goes on where it was.

`scripts/pull_faults` does the same a hundred times with larger files.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sim.pull_faults import (
    KINDS,
    MOST_AGAIN,
    Plant,
    cut,
    is_there,
    plant,
    spoil,
)

SIZE = 12 << 20


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    name = str(request.param)
    if not is_there(name):
        pytest.skip("needs docker-registry, or EDGE_DAEMON_MLFLOW_PYTHON")
    return name


@pytest.fixture
def there(kind: str, tmp_path: Path) -> Iterator[Plant]:
    with plant(kind, tmp_path / "plant") as made:
        yield made


def test_what_is_spoilt_is_never_listed(there: Plant) -> None:
    """A flipped byte, a short body, no signature, other bytes under a known version: ten times."""
    report = spoil(there, 10, random.Random(7))
    assert set(report.tried.values()) == {10}
    assert report.refused == report.tried
    assert report.listed == []


def test_a_pull_that_is_killed_goes_on(there: Plant) -> None:
    """At most what was not saved yet comes again."""
    cuts = cut(there, 6, random.Random(7), SIZE)
    assert len(cuts.again) == 6
    assert max(cuts.again) <= MOST_AGAIN
    assert cuts.pulls >= 1
