"""A bundle is published through a store's door, whole or not at all, and a station fetches it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.courier.torrent import read_torrent
from edge_daemon.errors import BoxError, BundleError, Code
from edge_daemon.fleet.campaign_file import load_campaign
from edge_daemon.fleet.folder_origin import FolderOrigin
from edge_daemon.fleet.publish import Published, packed
from edge_daemon.fleet.registry import CHUNK_BYTES, RegistryOrigin
from edge_daemon.models.bundle import read_manifest, vouched_reader
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust, generate_keypair
from edge_daemon.sources.fetch import PullTarget, fetch, look
from edge_daemon.sources.folder import FolderSource
from edge_daemon.sources.http import Http, basic
from edge_daemon.sources.oci import OciSource
from edge_daemon.sources.oci_login import OciLogin
from edge_daemon.sources.pace import Pace
from edge_daemon.sources.pins import Pins
from edge_daemon.sources.source import Source, SourceAway
from edge_daemon.sources.web import WebSource
from tests.sim import registry as debian
from tests.sim.bundles import make_bundle, noise
from tests.sim.command import command
from tests.sim.registry import Registry
from tests.sim.relay import FAIR, Relay, Weather
from tests.sim.token_registry import TokenRegistry
from tests.sim.web_shelf import WebShelf

needs_registry = pytest.mark.skipif(not debian.is_installed(), reason="needs docker-registry")
LARGE = noise("large", 9 << 20)
PATIENT = Pace(wait=lambda _: False)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return generate_keypair(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def trust(keys: tuple[Path, Path]) -> Trust:
    return Trust([keys[1]], required=True)


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with Registry(tmp_path_factory.mktemp("registry")).running() as running:
        yield running


def published(
    origin: FolderOrigin | RegistryOrigin,
    folder: Path,
    trust: Trust,
    stops_after: int | None = None,
) -> Published:
    """`stops_after`: the publisher is ended after so many bytes."""
    there = 0

    def tell(count: int, total: int) -> None:
        nonlocal there
        there += count
        assert there <= total
        if stops_after is not None and there >= stops_after:
            raise KeyboardInterrupt

    with packed(read_manifest(folder, placed=False), folder, trust) as package:
        return origin.put(package, tell)


def pushing(url: str, repository: str, alias: str | None = None) -> RegistryOrigin:
    http = Http(url)
    return RegistryOrigin(http, OciLogin(http, actions="pull,push"), repository, alias, PATIENT)


def fetched(source: Source, which: str, store: Path, trust: Trust) -> list[str]:
    """What a station with an empty store has, once it asked this source."""
    target = PullTarget(Store(store, store / "state", None, vouched_reader(trust)), trust, Pins())
    for offered in source.offered("bottle", which):
        fetch(source, offered, look(source, offered, "bottle", target, PATIENT), target, PATIENT)
    return [str(known.ref) for known in target.store.available()]


# --------------------------------------------------------------------------- a folder


@pytest.mark.parametrize("file", ["weights.pt", "net_openvino_model"])
def test_a_folder_serves_stations_by_web_and_by_stick(
    tmp_path: Path, keys: tuple[Path, Path], trust: Trust, file: str
) -> None:
    """The same folder, without a hand's work between; weights that are a folder are listed."""
    shelf = tmp_path / "shelf"
    made = make_bundle(tmp_path / "made", "bottle@1.4.0", file=file, key=keys[0])
    done = published(FolderOrigin(shelf), made, trust)
    assert (done.is_new, done.where) == (True, str(shelf / "bottle/1.4.0"))
    with WebShelf(shelf).serving() as web:
        by_web = fetched(WebSource(Http(web.url)), "newest", tmp_path / "a", trust)
    by_stick = fetched(FolderSource(shelf), "newest", tmp_path / "b", trust)
    assert by_web == by_stick == ["bottle@1.4.0"]
    assert published(FolderOrigin(shelf), made, trust) == Published(done.where, is_new=False)


def test_versions_are_listed_in_their_order(
    tmp_path: Path, keys: tuple[Path, Path], trust: Trust
) -> None:
    """One that somebody took out of the list stays out; its folder may stay."""
    shelf = tmp_path / "shelf"
    for version in ("1.10.0", "1.9.0", "2.0.0"):
        made = make_bundle(tmp_path / "made", f"bottle@{version}", key=keys[0])
        published(FolderOrigin(shelf), made, trust)
    listed = shelf / "bottle/versions.txt"
    assert listed.read_text().split() == ["1.9.0", "1.10.0", "2.0.0"]
    listed.write_text("1.9.0\n2.0.0\n")
    made = make_bundle(tmp_path / "made", "bottle@2.1.0", key=keys[0])
    published(FolderOrigin(shelf), made, trust)
    assert listed.read_text().split() == ["1.9.0", "2.0.0", "2.1.0"]


def test_what_was_cut_off_goes_on_and_is_never_offered_half(
    tmp_path: Path, keys: tuple[Path, Path], trust: Trust
) -> None:
    """A second try writes the rest only; until then no station sees the version."""
    shelf = tmp_path / "shelf"
    made = make_bundle(tmp_path / "made", "bottle@1.4.0", weights=LARGE, key=keys[0])
    with pytest.raises(KeyboardInterrupt):
        published(FolderOrigin(shelf), made, trust, stops_after=6 << 20)
    assert FolderSource(shelf).offered("bottle", "all") == ()
    assert not (shelf / "bottle/versions.txt").exists()
    done = published(FolderOrigin(shelf), made, trust)
    assert done.is_new
    assert done.sent < 4 << 20
    assert fetched(FolderSource(shelf), "newest", tmp_path / "a", trust) == ["bottle@1.4.0"]
    assert [each.name for each in (shelf / "bottle").glob(".1*")] == []


def test_a_part_that_is_wrong_is_written_anew(
    tmp_path: Path, keys: tuple[Path, Path], trust: Trust
) -> None:
    """Whatever lies in what was cut off: what is there in the end is what was checked."""
    shelf = tmp_path / "shelf"
    made = make_bundle(tmp_path / "made", "bottle@1.4.0", weights=LARGE, key=keys[0])
    with pytest.raises(KeyboardInterrupt):
        published(FolderOrigin(shelf), made, trust, stops_after=6 << 20)
    (part,) = (shelf / "bottle").glob(".1*/weights.pt")
    part.write_bytes(LARGE[:3_000_000] + b"x" + LARGE[:9_000_000])
    published(FolderOrigin(shelf), made, trust)
    assert (shelf / "bottle/1.4.0/weights.pt").read_bytes() == LARGE


def test_a_version_never_changes_on_the_shelf(
    tmp_path: Path, keys: tuple[Path, Path], trust: Trust
) -> None:
    """Neither under its own text nor under another that orders alike; damage is told."""
    shelf = tmp_path / "shelf"
    published(FolderOrigin(shelf), make_bundle(tmp_path / "a", "bottle@1.4.0", key=keys[0]), trust)
    for place, ref in (("b", "bottle@1.4.0"), ("c", "bottle@1.4")):
        other = make_bundle(tmp_path / place, ref, weights=noise(place), key=keys[0])
        with pytest.raises(BundleError, match=r"has another bundle as bottle@1\.4\.0") as refused:
            published(FolderOrigin(shelf), other, trust)
        assert refused.value.code is Code.DIGEST_MISMATCH
    assert (shelf / "bottle/versions.txt").read_text() == "1.4.0\n"
    (shelf / "bottle/1.4.0/weights.pt").write_bytes(b"damaged")
    with pytest.raises(BundleError, match="not what was published"):
        published(FolderOrigin(shelf), tmp_path / "a/bottle/1.4.0", trust)


def test_what_no_store_takes_is_not_published(
    tmp_path: Path, keys: tuple[Path, Path], trust: Trust
) -> None:
    """Unsigned, damaged, or with a file too many: nothing of it is there."""
    shelf = tmp_path / "shelf"
    unsigned = make_bundle(tmp_path / "a")
    damaged = make_bundle(tmp_path / "b", key=keys[0])
    (damaged / "weights.pt").write_bytes(b"short")
    crowded = make_bundle(tmp_path / "c", key=keys[0])
    (crowded / "more.txt").write_text("x")
    for folder in (unsigned, damaged, crowded):
        with pytest.raises(BundleError):
            published(FolderOrigin(shelf), folder, trust)
    assert not shelf.exists()


def test_two_publishers_do_not_mix(tmp_path: Path, keys: tuple[Path, Path], trust: Trust) -> None:
    """The second one is told to wait."""
    shelf = tmp_path / "shelf"
    made = make_bundle(tmp_path / "made", key=keys[0])
    with packed(read_manifest(made, placed=False), made, trust) as package:

        def tell(_count: int, _total: int) -> None:
            with pytest.raises(BoxError, match="Somebody else publishes"):
                FolderOrigin(shelf).put(package, lambda *_: None)

        assert FolderOrigin(shelf).put(package, tell).is_new


# --------------------------------------------------------------------------- a registry


@needs_registry
def test_a_registry_serves_stations_by_tag(
    tmp_path: Path, keys: tuple[Path, Path], trust: Trust, registry: Registry
) -> None:
    """By its version and by a tag that moves; what is there is not sent again."""
    first, second = (
        make_bundle(tmp_path / "made", f"bottle@{version}", key=keys[0])
        for version in ("1.4.0+line3", "1.5.0")
    )
    origin = pushing(registry.url, "line3/bottle", "stable")
    assert published(origin, first, trust).where.endswith("/line3/bottle:1.4.0_line3")
    again = published(origin, first, trust)
    assert (again.is_new, again.sent) == (False, 0)
    source = OciSource(registry.url)
    assert fetched(source, "line3/bottle:stable", tmp_path / "a", trust) == ["bottle@1.4.0+line3"]
    published(origin, second, trust)
    assert fetched(source, "line3/bottle:stable", tmp_path / "b", trust) == ["bottle@1.5.0"]
    tag = "line3/bottle:1.4.0_line3"
    assert fetched(source, tag, tmp_path / "c", trust) == ["bottle@1.4.0+line3"]


@needs_registry
def test_a_version_never_changes_in_a_registry(
    tmp_path: Path, keys: tuple[Path, Path], trust: Trust, registry: Registry
) -> None:
    """The tag of the first one stays."""
    origin = pushing(registry.url, "fixed/bottle")
    published(origin, make_bundle(tmp_path / "a", key=keys[0]), trust)
    other = make_bundle(tmp_path / "b", weights=noise("b"), key=keys[0])
    with pytest.raises(BundleError, match="has another bundle as bottle@1"):
        published(origin, other, trust)


@needs_registry
def test_a_torn_push_is_mended_by_itself(
    tmp_path: Path, keys: tuple[Path, Path], trust: Trust, registry: Registry
) -> None:
    """Debian's registry forgets an upload whose chunk broke off: that file begins anew."""
    made = make_bundle(tmp_path / "made", weights=LARGE, key=keys[0])
    relay = Relay("127.0.0.1", registry.port)
    relay.cut_after(6 << 20)
    try:
        assert published(pushing(f"http://127.0.0.1:{relay.port}", "torn/bottle"), made, trust)
    finally:
        relay.close()
    source = OciSource(registry.url)
    assert fetched(source, "torn/bottle:1.0.0", tmp_path / "a", trust) == ["bottle@1.0.0"]


@needs_registry
def test_an_outage_between_two_chunks_costs_nothing(
    tmp_path: Path, keys: tuple[Path, Path], trust: Trust, registry: Registry
) -> None:
    """The registry says how far it is, and the push goes on from there."""
    made = make_bundle(tmp_path / "made", weights=LARGE, key=keys[0])
    relay = Relay("127.0.0.1", registry.port)
    waits: list[float] = []

    def back_again(seconds: float) -> bool:
        waits.append(seconds)
        relay.set(FAIR)
        return False

    http = Http(f"http://127.0.0.1:{relay.port}")
    login = OciLogin(http, actions="pull,push")
    origin = RegistryOrigin(http, login, "outage/bottle", None, Pace(wait=back_again))

    def away(count: int, _total: int) -> None:
        if count == CHUNK_BYTES and not waits:
            relay.set(Weather(refuses=True))

    try:
        with packed(read_manifest(made, placed=False), made, trust) as package:
            done = origin.put(package, away)
    finally:
        relay.close()
    assert len(waits) == 1
    assert done.sent == package.size


@needs_registry
def test_a_push_that_was_ended_sends_the_rest_only(
    tmp_path: Path, keys: tuple[Path, Path], trust: Trust, registry: Registry
) -> None:
    """Files that are there are not sent again; until the end there is no tag."""
    made = make_bundle(tmp_path / "made", golden=4, key=keys[0])
    size = sum(file.stat().st_size for file in made.rglob("*") if file.is_file())
    with pytest.raises(KeyboardInterrupt):
        published(pushing(registry.url, "ended/bottle"), made, trust, stops_after=size // 2)
    with pytest.raises(BundleError, match="has no ended/bottle"):
        OciSource(registry.url).offered("bottle", "ended/bottle:1.0.0")
    done = published(pushing(registry.url, "ended/bottle"), made, trust)
    assert done.is_new
    assert 0 < done.sent < size


def test_a_registry_that_is_away_says_so(
    tmp_path: Path, keys: tuple[Path, Path], trust: Trust
) -> None:
    """In one sentence with the next step, and nothing is left here."""
    made = make_bundle(tmp_path / "made", key=keys[0])
    with pytest.raises(SourceAway, match="cannot be reached"):
        published(pushing("http://127.0.0.1:1", "line3/bottle"), made, trust)


def test_a_token_is_asked_for_with_the_right_to_push(tmp_path: Path) -> None:
    """A token to pull alone would be refused in the middle."""
    user = basic("line3", "secret")
    with TokenRegistry(make_bundle(tmp_path), user).serving() as serving:
        login = OciLogin(Http(serving.url), basic=lambda: user, actions="pull,push")
        login.renew("line3/bottle")
        assert login.headers("line3/bottle")["Authorization"].startswith("Bearer ")
        assert serving.scopes == {"repository:line3/bottle:pull,push"}


# --------------------------------------------------------------------------- as it is typed


def settings(folder: Path, key: Path, more: str = "") -> Path:
    folder.mkdir()
    (folder / "store").mkdir()
    file = folder / "station.yaml"
    file.write_text(
        f"device: d\ncamera: {{source: 'conveyor:'}}\nstate_dir: {folder}/state\n"
        f"models: {{store: store, trust: {{public_keys: [{key}]}}}}\n{more}"
    )
    return file


@needs_registry
def test_from_the_publishers_desk_to_a_stations_store(
    tmp_path: Path, keys: tuple[Path, Path], registry: Registry
) -> None:
    """`fleet publish` twice, `sources pull` once: both ways, as people type them."""
    desk = settings(tmp_path / "desk", keys[1])
    shelf = tmp_path / "shelf"
    made = make_bundle(tmp_path / "made", "bottle@1.4.0", key=keys[0])
    can = make_bundle(tmp_path / "made", "can@2.0.0", key=keys[0])
    code, text = command("fleet", "publish", str(made), "--to", str(shelf), config=desk)
    assert (code, "bottle@1.4.0 is published" in text) == (0, True), text
    to = f"oci:{registry.url}/desk/can"
    code, text = command("fleet", "publish", str(can), "--to", to, "--json", config=desk)
    assert code == 0, text
    told = json.loads(text)
    assert (told["new"], told["signer"], told["model"]) == (True, keys[1].name, "can@2.0.0")
    with WebShelf(shelf).serving() as web:
        sources = (
            f"sources:\n- {{http: '{web.url}', models: {{bottle: newest}}}}\n"
            f"- {{oci: '{registry.url}', models: {{can: 'desk/can:2.0.0'}}}}\n"
        )
        station = settings(tmp_path / "station", keys[1], sources)
        code, text = command("sources", "pull", "--json", config=station)
    told = json.loads(text[text.index("[\n") :])  # a station that never ran says so first
    assert [line["state"] for line in told] == ["pulled", "pulled"], text
    assert (tmp_path / "station/store/bottle/1.4.0/model.sig").exists()


def test_a_campaign_names_the_swarm_that_was_published(
    tmp_path: Path, keys: tuple[Path, Path]
) -> None:
    """Publisher and campaign's author compute it on their own, from their own copies."""
    ca = tmp_path / "ca.pem"
    ca.write_bytes(b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")
    desk, shelf = settings(tmp_path / "desk", keys[1]), tmp_path / "shelf"
    made = make_bundle(tmp_path / "made", "bottle@1.4.0", key=keys[0])
    words = ("fleet", "publish", str(made), "--to", str(shelf), "--json")
    code, text = command(*words, "--swarm-ca", str(ca), config=desk)
    assert code == 0, text
    told = json.loads(text)
    description = (shelf / "bottle" / "1.4.0.torrent").read_bytes()
    assert read_torrent(description, told["infohash"]).size == told["bytes"]
    assert json.loads(command(*words, config=desk)[1])["infohash"] is None

    assert command("models", "add", str(made), config=desk)[0] == 0
    out = tmp_path / "campaign.yaml"
    words = ("fleet", "campaign", "bottle@1.4.0", "--id", "c1", "--serial", "1", "--out", str(out))
    code, text = command(*words, "--swarm-ca", str(ca), "--with-wave", config=desk)
    assert "Made without --swarm-ca" not in text
    assert code == 0, text
    campaign, _ = load_campaign(out)
    assert (campaign.infohash, campaign.size) == (told["infohash"], told["bytes"])
    assert campaign.manifest_sha256 == told["manifest_sha256"]
    assert not campaign.fetches_early
    assert command(*words, config=desk)[0] == 0
    assert load_campaign(out)[0].infohash is None


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("https://models.plant.example/", "cannot be written to"),
        ("oci:registry", "names no registry"),
        ("oci:host/Repo With Space", "names no registry"),
    ],
)
def test_an_origin_that_is_none_is_refused_before_anything_is_read(
    tmp_path: Path, keys: tuple[Path, Path], to: str, said: str
) -> None:
    """With the form that is right."""
    desk = settings(tmp_path / "desk", keys[1])
    made = make_bundle(tmp_path / "made", key=keys[0])
    code, text = command("fleet", "publish", str(made), "--to", to, config=desk)
    assert (code, said in text) == (2, True), text
