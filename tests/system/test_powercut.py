"""Power cuts under the journal on a real file system; a few here, many by `scripts/powercut`."""

from __future__ import annotations

import pytest

from tests.sim.powercuts import obstacle, run

WHY = obstacle("ext4")
pytestmark = pytest.mark.skipif(bool(WHY), reason=WHY or "it can be mounted")


def test_no_acknowledged_commit_is_lost() -> None:
    """What `commit` returned for is on the disk, the trail whole, the file sound."""
    assert run(3, "ext4", seed=3).faults == []


def test_a_careless_journal_is_found_out() -> None:
    """With synchronous=OFF the same cuts lose commits: the cuts are real ones."""
    assert run(2, "ext4", seed=3, careless=True).faults
