"""The daemon's thread takes what is new, says what is no good, and is patient with the rest."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge_daemon.config import BundleSource
from edge_daemon.sources.kinds import make_source
from edge_daemon.sources.pins import Pins
from edge_daemon.sources.watch import LONGEST_S, SourceEvent, SourceWatch
from tests.sim.bundles import make_bundle, noise
from tests.sim.folders import lent_folder, nobody
from tests.sim.web_shelf import WebShelf
from tests.sources.conftest import Station, list_versions


@dataclass
class Watching:
    """A watch whose clock the test moves."""

    station: Station
    settings: tuple[BundleSource, ...]
    told: list[SourceEvent] = field(default_factory=list)
    at: float = 0.0

    def __post_init__(self) -> None:
        made = tuple((each, make_source(each)) for each in self.settings)
        self.watch = SourceWatch(made, self.station.target, self.told.append, lambda: self.at)
        for each in self.watch.watched:
            each.pace = self.station.pace

    def look(self, after_s: float = 300.0) -> None:
        self.at += after_s
        self.watch.look()

    @property
    def messages(self) -> list[str]:
        return [each.message for each in self.told]


def folder_source(shelf: Path, **models: str) -> BundleSource:
    return BundleSource.model_validate({"folder": shelf, "models": models or {"bottle": "newest"}})


def web_source(url: str) -> BundleSource:
    return BundleSource.model_validate({"http": url, "models": {"bottle": "newest"}})


def test_what_is_new_comes_and_is_told_once(station: Station, shelf: Path) -> None:
    """Looked at every five minutes; in between nothing is asked."""
    watching = Watching(station, (folder_source(shelf),))
    make_bundle(shelf, key=station.key)
    watching.look()
    assert station.listed == ["bottle@1.0.0"]
    (told,) = watching.told
    assert str(told.came and told.came.ref) == "bottle@1.0.0"
    assert told.origin is not None
    assert (told.origin.kind, told.origin.url) == ("folder", str(shelf))
    make_bundle(shelf, "bottle@1.1.0", key=station.key)
    watching.look(299.0)
    assert station.listed == ["bottle@1.0.0"]
    watching.look(1.0)
    assert station.listed == ["bottle@1.0.0", "bottle@1.1.0"]
    watching.look()
    assert len(watching.told) == 2
    assert watching.watch.problems() == ()
    assert watching.watch.up() == {str(shelf): True}


def test_what_the_quota_took_does_not_come_back_by_itself(station: Station, shelf: Path) -> None:
    """Also after a restart; else a small store and a large source would never rest."""
    file = station.root.parent / "sources.json"
    station.pins = Pins(file)
    make_bundle(shelf, key=station.key)
    Watching(station, (folder_source(shelf),)).look()
    station.store.collect(frozenset(), 0)
    station.store.sweep()
    station.pins = Pins(file)
    again = Watching(station, (folder_source(shelf),))
    again.look()
    assert station.listed == []
    assert again.told == []


def test_a_refusal_is_told_once_and_tried_ever_more_rarely(
    station: Station, shelf: Path, web: WebShelf
) -> None:
    """Until somebody corrects the bundle; then it comes."""
    folder = make_bundle(shelf, key=station.key)
    good = (folder / "weights.pt").read_bytes()
    (folder / "weights.pt").write_bytes(noise("bad"))
    list_versions(shelf)
    watching = Watching(station, (web_source(web.url),))
    for _ in range(24):
        watching.look()
    assert len(watching.told) == 1
    assert watching.told[0].came is None
    assert "digest of weights.pt" in watching.messages[0]
    (problem,) = watching.watch.problems()
    assert problem.startswith(f"bottle from {web.url} is refused: The digest of weights.pt")
    fetched = sum(path.endswith("weights.pt") for path, _ in web.asked)
    assert 3 <= fetched <= 6, "two hours: after 5, 10, 20, 40 and 60 minutes"
    (folder / "weights.pt").write_bytes(good)
    watching.look(LONGEST_S)
    assert station.listed == ["bottle@1.0.0"]
    assert watching.watch.problems() == ()


def test_a_source_that_is_away_is_a_problem_and_asked_ever_more_rarely(
    station: Station, shelf: Path, web: WebShelf
) -> None:
    """Other sources go on; when it is back, all is well at once."""
    list_versions(shelf)
    make_bundle(shelf, key=station.key)
    web.needs = "nothing that we have"
    watching = Watching(station, (web_source(web.url), folder_source(shelf)))
    for _ in range(24):
        watching.look()
    assert watching.watch.up() == {web.url: False, str(shelf): True}
    (problem,) = watching.watch.problems()
    assert "refuses the credentials" in problem
    assert station.listed == ["bottle@1.0.0"]
    assert len(web.asked) <= 6
    web.needs = None
    list_versions(shelf)
    watching.look(LONGEST_S)
    assert watching.watch.problems() == ()
    assert watching.watch.up()[web.url]


def test_a_stick_that_is_pulled_out_is_no_problem(station: Station, tmp_path: Path) -> None:
    """It is only not up; plugged in after a day, it is seen at the next look."""
    watching = Watching(station, (folder_source(tmp_path / "usb"),))
    for _ in range(24 * 12):
        watching.look()
    assert watching.watch.problems() == ()
    assert watching.watch.up() == {str(tmp_path / "usb"): False}
    make_bundle(tmp_path / "usb", key=station.key)
    watching.look()
    assert station.listed == ["bottle@1.0.0"]


def test_one_bad_name_does_not_keep_the_others_away(station: Station, shelf: Path) -> None:
    """Each is taken or refused on its own."""
    make_bundle(shelf, "bad@1.0.0")
    make_bundle(shelf, "can@1.0.0", key=station.key)
    watching = Watching(station, (folder_source(shelf, bad="newest", can="all"),))
    watching.look()
    assert station.listed == ["can@1.0.0"]
    assert [each.came is not None for each in watching.told] == [False, True]


@pytest.mark.parametrize("mode", [0o000, 0o744])
def test_what_may_not_be_read_is_told_and_keeps_no_other_away(station: Station, mode: int) -> None:
    """As on a stick of another user. Sources, names and versions are each for themselves."""
    closed, shelf = lent_folder("closed"), lent_folder("shelf")
    (shelf / "bottle" / "1.0.0").mkdir(parents=True)
    (shelf / "can").mkdir()
    bottle, can = folder_source(shelf), folder_source(shelf, can="all")
    watching = Watching(station, (folder_source(closed), bottle, can))
    for place in (closed, shelf / "bottle"):
        place.chmod(mode)
    with nobody():
        watching.look()
    source, name = watching.watch.problems()
    assert f"{closed} may not be read by this user. Let the daemon's user read" in source
    assert f"{shelf / 'bottle'} may not be read by this user." in name
    assert [each.is_up for each in watching.watch.watched] == [True, True, True]


def test_a_file_where_a_folder_should_be_is_told(station: Station, tmp_path: Path) -> None:
    (tmp_path / "bottle").touch()
    inside = tmp_path / "bottle"
    watching = Watching(station, (folder_source(inside), folder_source(tmp_path)))
    watching.look()
    told = f"{inside} is no folder. A source holds NAME/VERSION/model.yaml."
    assert watching.watch.problems() == (
        f"the source {inside} gives nothing: {told}",
        f"bottle from {tmp_path} is refused: {told}",
    )


@pytest.mark.timeout(30)
def test_the_thread_ends_in_the_middle_of_a_pull(
    station: Station, shelf: Path, web: WebShelf
) -> None:
    """A slow pull does not hold up the daemon's end, and its rest is kept."""
    make_bundle(shelf, weights=noise("slow", 500_000), key=station.key)
    list_versions(shelf)
    slow = BundleSource.model_validate(
        {"http": web.url, "models": {"bottle": "newest"}, "rate_kb": 20}
    )
    begun = threading.Event()
    door = station.target.__class__(
        station.store, station.trust, station.pins, lambda *_: begun.set()
    )
    told: list[SourceEvent] = []
    watch = SourceWatch(((slow, make_source(slow)),), door, told.append)
    watch.start()
    assert begun.wait(60)
    watch.stop()
    assert told == []
    assert station.listed == []
    assert station.left_over
    assert watch.problems() != () or watch.up() == {}
