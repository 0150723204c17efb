"""What became of a bundle is told to its source: once, later, or never, and health says so."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from edge_daemon.config import BundleSource
from edge_daemon.core.lineage import Origin
from edge_daemon.sources.http import Http
from edge_daemon.sources.kinds import make_writer
from edge_daemon.sources.mlflow_tags import MOST_CHARACTERS, MlflowTags
from edge_daemon.sources.oci_referrers import OciReferrers
from edge_daemon.sources.write_back import LONGEST_S, Outcome, Records, WriteBack
from tests.sim.mlflow import MlflowShelf

KEY = "edge.line3-cam1"


class Plant:
    """Rollouts whose source is a server; what it was told is kept as the journal keeps it."""

    def __init__(self, server: MlflowShelf) -> None:
        self.server = server
        server.versions["bottle-model", "1"] = "mlflow-artifacts:/1"
        self.origin = Origin("mlflow", server.url, "bottle-model", "aa", "1")
        self.outcomes: dict[str, Outcome] = {}
        self.told: dict[str, str] = {}
        self.now = 0.0
        self.start()

    def start(self) -> None:
        """As the daemon does it."""
        writer = MlflowTags(Http(self.server.url), "line3-cam1")
        records = Records(self._outcomes, self.told.__setitem__, lambda _: b"{}")
        self.writing = WriteBack({("mlflow", self.server.url): writer}, records, lambda: self.now)

    def _outcomes(self) -> Iterator[Outcome]:
        for rollout, each in self.outcomes.items():
            yield replace(each, told=self.told.get(rollout))

    def say(self, word: str, rollout: str = "r1", *, is_over: bool = False) -> None:
        outcome = Outcome(rollout, "bottle@1.0.0", word, is_over, self.origin)
        self.outcomes[rollout] = outcome
        self.writing.look()

    @property
    def tag(self) -> str | None:
        return self.server.tags.get(("bottle-model", "1"), {}).get(KEY)


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    with MlflowShelf(tmp_path).serving() as server:
        assert isinstance(server, MlflowShelf)
        yield Plant(server)


def test_each_word_is_told_once(plant: Plant) -> None:
    """Stage by stage; the same word again, or a restart, tells nothing."""
    for word in ("shadow", "share 0.1", "share 0.1", "stopped: low_light -7 pts"):
        plant.say(word)
        assert plant.tag == word
    plant.start()
    plant.writing.look()
    assert plant.server.tagged == 3
    plant.say("confirmed", "r2", is_over=True)
    assert plant.tag == "confirmed"
    plant.say("stopped: " + "x" * 9999, "r3", is_over=True)
    assert len(plant.tag or "") == MOST_CHARACTERS


def test_a_server_that_is_away_is_told_later(plant: Plant) -> None:
    """Tried ever more rarely; health says whose word is missing; the newest word counts then."""
    plant.server.refuses_tags = 503
    with capture_logs() as lines:
        plant.say("shadow")
        for _ in range(6 * 360):
            plant.now += 10.0
            plant.writing.look()
    assert 10 <= plant.server.tagged <= 20, "six hours: 10, 20, 40 … 2560 s, then once an hour"
    (problem,) = plant.writing.problems()
    assert "is not told of the rollout of bottle@1.0.0" in problem
    assert "answers 503" in problem
    assert [each["event"] for each in lines].count("write_back_failed") == 1
    plant.start()  # a restart: it is still to be told
    plant.server.refuses_tags = 0
    plant.say("stopped: blind", is_over=True)
    assert plant.tag == "stopped: blind"
    assert plant.writing.problems() == ()


def test_a_server_that_is_gone_is_a_problem_too(plant: Plant) -> None:
    """Nobody listens there."""
    gone = "http://127.0.0.1:9"
    writer = MlflowTags(Http(gone), "d")
    origin = replace(plant.origin, url=gone)
    outcomes = [Outcome("r1", "bottle@1.0.0", "shadow", False, origin)]
    records = Records(lambda: outcomes, plant.told.__setitem__, lambda _: b"{}")
    writing = WriteBack({("mlflow", gone): writer}, records)
    writing.look()
    assert len(writing.problems()) == 1
    assert plant.told == {}


def test_what_a_server_will_never_take_is_given_up(plant: Plant) -> None:
    """The version was deleted there: said once in the log, and not tried again."""
    plant.server.versions.clear()
    with capture_logs() as lines:
        plant.say("shadow")
        plant.now += LONGEST_S
        plant.writing.look()
    assert plant.server.tagged == 1
    assert [each["event"] for each in lines] == ["write_back_given_up"]
    assert plant.writing.problems() == ()


def test_only_the_source_that_a_bundle_came_from_is_told(plant: Plant) -> None:
    """And only where its settings ask for it."""
    elsewhere = replace(plant.origin, url="http://another")
    plant.outcomes["r9"] = Outcome("r9", "can@1.0.0", "confirmed", True, elsewhere)
    plant.writing.look()
    assert plant.server.tagged == 0


def test_a_registry_is_told_of_endings_only() -> None:
    """Each word there is an artifact that stays."""
    written: list[str] = []

    class Shelf:
        only_endings = True

        def write(self, outcome: Outcome, report: Callable[[], bytes]) -> None:
            written.append(f"{outcome.word} {report().decode()}")

    origin = Origin("oci", "http://r", "line3/bottle", "sha256:9f")
    outcomes = [
        Outcome("r1", "b@1", "shadow", False, origin),
        Outcome("r2", "b@2", "confirmed", True, origin),
    ]
    told: dict[str, str] = {}
    records = Records(lambda: outcomes, told.__setitem__, lambda rollout: rollout.encode())
    WriteBack({("oci", "http://r"): Shelf()}, records).look()
    assert (written, told) == (["confirmed r2"], {"r2": "confirmed"})


def test_nobody_is_told_unless_the_settings_say_so() -> None:
    """Off by default; folders and web servers take no word."""
    models = {"bottle": "bottle-model@champion"}
    given: dict[str, object] = {"mlflow": "http://m:5000", "models": models}
    assert make_writer(BundleSource.model_validate(given), "d") is None
    asked = BundleSource.model_validate({**given, "write_back": True})
    assert isinstance(make_writer(asked, "d"), MlflowTags)
    registry = {"oci": "http://r:5000", "models": {"bottle": "a/b:c"}, "write_back": True}
    assert isinstance(make_writer(BundleSource.model_validate(registry), "d"), OciReferrers)
    for place in ({"folder": "/mnt"}, {"http": "http://w"}):
        wrong = {**place, "models": {"bottle": "newest"}, "write_back": True}
        with pytest.raises(ValueError, match="write_back is for mlflow and oci"):
            BundleSource.model_validate(wrong)
