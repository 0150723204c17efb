"""Keys that are made once: drawing them is quick, but each signature check imports a library."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from edge_daemon.models.trust import Trust, generate_keypair


class Keys(NamedTuple):
    private: Path
    public: Path

    @property
    def trust(self) -> Trust:
        """Believes this pair, and nothing unsigned."""
        return Trust([self.public], required=True)


@pytest.fixture(scope="session")
def line_keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """The pair that this box trusts."""
    return Keys(*generate_keypair(tmp_path_factory.mktemp("line"), "line"))


@pytest.fixture(scope="session")
def other_keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """A pair that nobody trusts."""
    return Keys(*generate_keypair(tmp_path_factory.mktemp("other"), "other"))
