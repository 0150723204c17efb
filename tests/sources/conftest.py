"""A station's store, and the ways in which bundles are offered to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_daemon.models.bundle import vouched_reader
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust, generate_keypair
from edge_daemon.sources.fetch import Fetched, PullTarget, fetch, look
from edge_daemon.sources.folder import FolderSource
from edge_daemon.sources.http import Http
from edge_daemon.sources.pace import Pace
from edge_daemon.sources.pins import Pins
from edge_daemon.sources.source import Source
from edge_daemon.sources.web import WebSource
from tests.sim.web_shelf import WebShelf


@dataclass
class Station:
    """A store that takes signed bundles only, and a pace that never really waits."""

    root: Path
    key: Path
    trust: Trust
    store: Store
    pins: Pins = field(default_factory=Pins)
    waits: list[float] = field(default_factory=list)
    came: int = 0

    @property
    def target(self) -> PullTarget:
        return PullTarget(self.store, self.trust, self.pins, self._tell)

    def _tell(self, chunk: int, _total: int) -> None:
        self.came += chunk

    @property
    def pace(self) -> Pace:
        return Pace(wait=self._wait)

    def _wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        return False

    def pull(self, source: Source, which: str = "newest", name: str = "bottle") -> list[Fetched]:
        """All that is offered, in order."""
        return [
            fetch(
                source,
                each,
                look(source, each, name, self.target, self.pace),
                self.target,
                self.pace,
            )
            for each in source.offered(name, which)
        ]

    @property
    def listed(self) -> list[str]:
        return [str(known.ref) for known in self.store.available()]

    @property
    def left_over(self) -> list[str]:
        """What lies in the folder for pulls."""
        return sorted(path.name for path in (self.root / ".pulls").glob("*"))


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return generate_keypair(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def station(tmp_path: Path, keys: tuple[Path, Path]) -> Station:
    trust = Trust([keys[1]], required=True)
    root = tmp_path / "store"
    return Station(
        root, keys[0], trust, Store(root, tmp_path / "state", None, vouched_reader(trust))
    )


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """The folder in which a test puts what is offered."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    return folder


@pytest.fixture
def web(shelf: Path) -> Iterator[WebShelf]:
    with WebShelf(shelf).serving() as serving:
        yield serving


@pytest.fixture(params=["folder", "http"])
def source(request: pytest.FixtureRequest, shelf: Path, web: WebShelf) -> Source:
    """Both ways to the same folder; `list_versions` keeps what the server needs beside it."""
    return FolderSource(shelf) if request.param == "folder" else WebSource(Http(web.url))


def list_versions(shelf: Path) -> None:
    """As a technician does it: `ls > versions.txt` in each name's folder."""
    for name in shelf.iterdir():
        versions = sorted(each.name for each in name.iterdir() if each.is_dir())
        (name / "versions.txt").write_text("\n".join(versions) + "\n")
