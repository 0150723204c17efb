"""A web server that breaks off, knows no ranges, asks for a password or sends on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge_daemon.errors import BundleError
from edge_daemon.sources import pull_folder
from edge_daemon.sources.fetch import TRIES
from edge_daemon.sources.http import Http, basic
from edge_daemon.sources.pace import Pace
from edge_daemon.sources.source import SourceAway
from edge_daemon.sources.web import WebSource
from tests.sim.bundles import make_bundle, noise
from tests.sim.web_shelf import WebShelf
from tests.sources.conftest import Station, list_versions

SIZE = 6_000_000
WEIGHTS = "bottle/1.0.0/weights.pt"


@pytest.fixture
def large(station: Station, shelf: Path) -> Path:
    folder = make_bundle(shelf, weights=noise("large", SIZE), key=station.key)
    list_versions(shelf)
    return folder


@pytest.mark.usefixtures("large")
def test_a_server_that_hangs_up_a_hundred_times(station: Station, web: WebShelf) -> None:
    """Each time the rest is asked for; nothing that came is fetched again."""
    web.hang_ups = 100
    (fetched,) = station.pull(WebSource(Http(web.url)))
    assert fetched.is_new
    assert web.hang_ups == 0
    assert web.sent[WEIGHTS] <= SIZE + (8 << 20)
    assert web.sent[WEIGHTS] == SIZE, "it resumes at the very byte"
    assert station.listed == ["bottle@1.0.0"]


@pytest.mark.usefixtures("large")
def test_a_pull_that_ends_goes_on_at_the_next_start(station: Station, web: WebShelf) -> None:
    """The daemon is stopped in the middle, and a new one asks for the rest."""
    chunks = iter(range(10))
    stopping = Pace(wait=lambda _: next(chunks, None) is None)
    source = WebSource(Http(web.url))
    (offered,) = source.offered("bottle", "newest")
    from edge_daemon.sources.fetch import fetch, look  # noqa: PLC0415

    manifest = look(source, offered, "bottle", station.target, station.pace)
    with pytest.raises(SourceAway):
        fetch(source, offered, manifest, station.target, stopping)
    assert station.listed == []
    assert station.left_over
    before = station.came
    assert 0 < before < SIZE
    station.pull(source)
    assert station.came < SIZE + 100_000
    assert station.listed == ["bottle@1.0.0"]
    ranges = [asked for path, asked in web.asked if path == WEIGHTS]
    assert ranges[0] == ""
    assert ranges[1] != ""


@pytest.mark.usefixtures("large")
def test_what_a_power_cut_left_half_written_is_fetched_again(
    station: Station, web: WebShelf
) -> None:
    """Only what was forced to the disk counts: less than 8 MiB come twice."""
    web.short = 10
    source = WebSource(Http(web.url))
    with pytest.raises(SourceAway):
        station.pull(source)
    (notes,) = (station.root / ".pulls").glob("*.json")
    saved = json.loads(notes.read_bytes())
    assert saved["bytes"]["weights.pt"] == SIZE - 10
    saved["bytes"]["weights.pt"] = pull_folder.SAVED_EVERY_BYTES
    notes.write_text(json.dumps(saved))
    with next((station.root / ".pulls").glob("*/weights.pt")).open("r+b") as file:
        file.seek(pull_folder.SAVED_EVERY_BYTES)
        file.write(bytes(SIZE - pull_folder.SAVED_EVERY_BYTES))
    web.short = 0
    station.pull(source)
    assert station.listed == ["bottle@1.0.0"]
    assert web.sent[WEIGHTS] == 2 * SIZE - 10 - pull_folder.SAVED_EVERY_BYTES < SIZE + (8 << 20)


@pytest.mark.usefixtures("large")
def test_damaged_notes_of_a_pull_count_for_nothing(station: Station, web: WebShelf) -> None:
    """Then all of it is fetched anew."""
    web.short = 10
    source = WebSource(Http(web.url))
    with pytest.raises(SourceAway):
        station.pull(source)
    (notes,) = (station.root / ".pulls").glob("*.json")
    notes.write_text("{half")
    web.short = 0
    station.pull(source)
    assert station.listed == ["bottle@1.0.0"]


@pytest.mark.usefixtures("large")
def test_a_server_without_ranges_is_read_from_the_beginning(
    station: Station, web: WebShelf
) -> None:
    """Slower, and as right."""
    web.no_ranges, web.hang_ups = True, 3
    station.pull(WebSource(Http(web.url)))
    assert station.listed == ["bottle@1.0.0"]


@pytest.mark.usefixtures("large")
def test_a_body_that_stays_short_is_left_for_later(station: Station, web: WebShelf) -> None:
    """Waits grow, and after a few tries in vain the source is left alone."""
    web.short = 10
    with pytest.raises(SourceAway, match="broke off"):
        station.pull(WebSource(Http(web.url)))
    assert station.listed == []
    waits = [each for each in station.waits if each]
    assert len(waits) == TRIES - 1
    assert waits[-1] > waits[0]


def test_the_version_moves_while_it_is_fetched(
    station: Station, large: Path, web: WebShelf
) -> None:
    """Half of one file and half of another are no bundle."""
    web.short = 3_000_000
    source = WebSource(Http(web.url))
    with pytest.raises(SourceAway):
        station.pull(source)
    web.short = 0
    (large / "weights.pt").write_bytes(noise("other", SIZE))
    with pytest.raises(BundleError, match=r"digest of weights\.pt"):
        station.pull(source)
    assert station.listed == []
    assert station.left_over == []


def test_credentials_go_to_the_source_alone(station: Station, shelf: Path, web: WebShelf) -> None:
    """Where it sends on to another server, they stay behind."""
    make_bundle(shelf, key=station.key)
    list_versions(shelf)
    web.needs = basic("line3", "secret")
    with pytest.raises(SourceAway, match="refuses the credentials"):
        station.pull(WebSource(Http(web.url)))
    with WebShelf(shelf).serving() as other:
        web.moved[WEIGHTS] = f"{other.url}/{WEIGHTS}"
        station.pull(WebSource(Http(web.url, authorization=lambda: basic("line3", "secret"))))
        assert other.headers == [None]
    assert station.listed == ["bottle@1.0.0"]


def test_redirects_end(station: Station, shelf: Path, web: WebShelf) -> None:
    """A server that sends round in a circle, or to what is no web address."""
    make_bundle(shelf, key=station.key)
    web.moved["bottle/versions.txt"] = "/bottle/versions.txt"
    with pytest.raises(SourceAway, match="more than 5 times"):
        station.pull(WebSource(Http(web.url)))
    web.moved["bottle/versions.txt"] = "file:///etc/passwd"
    with pytest.raises(SourceAway, match="no web address"):
        station.pull(WebSource(Http(web.url)))


def test_a_server_that_is_not_there(station: Station, web: WebShelf) -> None:
    """One sentence with the address."""
    with pytest.raises(SourceAway, match=r"127\.0\.0\.1:9 cannot be reached"):
        station.pull(WebSource(Http("http://127.0.0.1:9")))
    with pytest.raises(BundleError, match=r"no bottle/versions\.txt"):
        station.pull(WebSource(Http(web.url)))


def test_the_bandwidth_is_limited() -> None:
    """A megabyte at 100 kB/s waits for ten seconds, in small steps."""
    now, waits = [0.0], []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        now[0] += seconds
        return False

    pace = Pace(100, wait, lambda: now[0])
    for _ in range(1_000_000 // pace.chunk_bytes):
        pace.read(pace.chunk_bytes)
    assert sum(waits) == pytest.approx(10.0)
    assert max(waits) < 0.2


def test_a_list_that_is_none_is_not_an_empty_one(
    station: Station, shelf: Path, web: WebShelf
) -> None:
    """The page of a proxy that wants a login; a folder without a version is only empty."""
    (shelf / "bottle").mkdir()
    list_versions(shelf)
    assert station.pull(WebSource(Http(web.url))) == []
    (shelf / "bottle" / "versions.txt").write_text("<html>\nPlease log in\n")
    with pytest.raises(BundleError, match=r"no version in bottle/versions\.txt, but '<html>'"):
        station.pull(WebSource(Http(web.url)))


def test_what_is_wrong_with_tls_is_said(web: WebShelf, tmp_path: Path) -> None:
    """A server without it is no wrong certificate, and neither is a file that holds none."""
    with pytest.raises(SourceAway, match="does not speak TLS") as plain:
        Http(web.url.replace("http://", "https://")).text(web.url.replace("http://", "https://"))
    assert plain.value.hint == "Does its address begin with http://?"
    empty = tmp_path / "ca.pem"
    empty.write_text("none")
    with pytest.raises(SourceAway, match=r"The ca of https://127\.0\.0\.1:9 holds no certificate"):
        Http("https://127.0.0.1:9", ca=lambda: str(empty)).text("https://127.0.0.1:9/x")
    gone = str(tmp_path / "gone.pem")
    with pytest.raises(SourceAway, match="cannot be read: No such file"):
        Http("https://127.0.0.1:9", ca=lambda: gone).text("https://127.0.0.1:9/x")
