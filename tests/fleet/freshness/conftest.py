"""A publisher of the fleet's metadata, and a station that has read it once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim.campaigns import campaign
from tests.sim.fleet_metadata import Publisher, Reader, reader_of


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    made = Publisher(tmp_path / "publisher")
    made.start(campaign())
    return made


@pytest.fixture
def reader(publisher: Publisher, tmp_path: Path) -> Reader:
    made = reader_of(publisher, tmp_path / "state")
    made.refresh()
    return made
