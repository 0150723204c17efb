"""A bundle grows beside the store and comes in through its door, or nothing of it is left."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edge_daemon.core.values import BundleRef
from edge_daemon.courier.staging import Wanted, is_there, staging_area
from edge_daemon.courier.torrent import Torrent, describe, folder_files
from edge_daemon.errors import BoxError, BundleError, Code
from edge_daemon.models.bundle import read_manifest
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust, generate_keypair
from tests.sim.bundles import make_bundle, noise
from tests.sim.small_disk import small_disk

REF = "bottle@1.4.0"
SIGNED_BY_NOBODY = Trust()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return generate_keypair(tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def bundle(keys: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(
        tmp_path_factory.mktemp("made"), REF, weights=noise("w", 700_000), key=keys[0]
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def told(bundle: Path) -> tuple[Torrent, Wanted]:
    torrent = describe(bundle.name, folder_files(bundle), b"x\n")
    manifest = read_manifest(bundle)
    return torrent, Wanted(
        manifest.ref, manifest.weights.sha256, torrent.infohash, torrent.size, manifest.sha256
    )


def pour(bundle: Path, folder: Path) -> None:
    """As the swarm fills it."""
    shutil.copytree(bundle, folder / bundle.name, dirs_exist_ok=True)


def left(store: Store) -> list[str]:
    return sorted(each.name for each in (store.root / ".swarm").iterdir())


def test_what_came_is_in_the_store_and_nowhere_else(
    store: Store, bundle: Path, keys: tuple[Path, Path]
) -> None:
    torrent, wanted = told(bundle)
    assert not is_there(store, wanted)
    with staging_area(store.root, wanted) as staging:
        staging.remember(torrent)
        staging.reserve(torrent)
        weights = staging.folder / "1.4.0" / "weights.pt"
        assert weights.stat().st_size == 700_000
        pour(bundle, staging.folder)
        staging.hand_over(store, Trust([keys[1]], required=True), torrent)
        staging.remove()
    assert is_there(store, wanted)
    assert left(store) == []


def test_what_was_begun_is_gone_on_with_and_an_older_one_is_forgotten(
    store: Store, bundle: Path
) -> None:
    torrent, wanted = told(bundle)
    with staging_area(store.root, replace(wanted, infohash="ab" * 32)) as staging:
        staging.reserve(torrent)
    with staging_area(store.root, wanted) as staging:
        assert staging.known() is None
        staging.remember(torrent)
        staging.reserve(torrent)
        pour(bundle, staging.folder)
    with staging_area(store.root, wanted) as staging:
        assert staging.known() == torrent
        staging.reserve(torrent)
        staging.hand_over(store, SIGNED_BY_NOBODY, torrent)
        staging.remove()
    assert is_there(store, wanted)
    assert left(store) == []


@pytest.mark.parametrize("file", ["weights.pt", "golden/0000.png", "model.yaml", "model.sig"])
def test_a_bundle_that_was_altered_on_this_disk_stays_out_and_is_fetched_again(
    store: Store, bundle: Path, keys: tuple[Path, Path], file: str
) -> None:
    torrent, wanted = told(bundle)
    with staging_area(store.root, wanted) as staging:
        staging.reserve(torrent)
        pour(bundle, staging.folder)
        altered = staging.folder / "1.4.0" / file
        content = altered.read_bytes()
        altered.write_bytes(content[:-2] + b"##")
        with pytest.raises(BoxError, match="gives back other bytes"):
            staging.hand_over(store, Trust([keys[1]], required=True), torrent)
    assert not is_there(store, wanted)
    assert left(store) == []


def test_what_no_trusted_key_signed_never_reaches_the_store(
    store: Store, bundle: Path, tmp_path: Path
) -> None:
    torrent, wanted = told(bundle)
    stranger = generate_keypair(tmp_path, "stranger")[1]
    with staging_area(store.root, wanted) as staging:
        staging.reserve(torrent)
        pour(bundle, staging.folder)
        with pytest.raises(BundleError) as refused:
            staging.hand_over(store, Trust([stranger], required=True), torrent)
    assert refused.value.code is Code.NOT_TRUSTED
    assert not (store.root / "bottle").exists()


def test_another_bundle_than_the_campaign_names_is_refused(store: Store, bundle: Path) -> None:
    torrent, wanted = told(bundle)
    for other in (
        replace(wanted, sha256="0" * 64),
        replace(wanted, manifest_sha256="0" * 64),
        replace(wanted, ref=BundleRef("bottle", "1.5.0")),
    ):
        with staging_area(store.root, other) as staging:
            staging.reserve(torrent)
            pour(bundle, staging.folder)
            with pytest.raises(BundleError, match="campaign"):
                staging.hand_over(store, SIGNED_BY_NOBODY, torrent)
    store.add(bundle)
    with pytest.raises(BundleError, match="campaign"):
        is_there(store, replace(wanted, sha256="0" * 64))


def test_one_courier_at_a_time_fetches_into_a_store(store: Store, bundle: Path) -> None:
    _, wanted = told(bundle)
    with (
        staging_area(store.root, wanted),
        pytest.raises(BoxError, match="Another station"),
        staging_area(store.root, wanted),
    ):
        pass


def test_a_link_in_its_place_is_not_followed(store: Store, bundle: Path, tmp_path: Path) -> None:
    torrent, wanted = told(bundle)
    victim = tmp_path / "victim"
    victim.write_bytes(b"as it was")
    with staging_area(store.root, wanted) as staging:
        (staging.folder / "1.4.0").mkdir(parents=True)
        (staging.folder / "1.4.0" / "weights.pt").symlink_to(victim)
    with pytest.raises(BoxError), staging_area(store.root, wanted) as staging:
        staging.reserve(torrent)
    assert victim.read_bytes() == b"as it was"


def test_a_disk_without_room_is_seen_before_a_byte_comes(tmp_path: Path, bundle: Path) -> None:
    torrent, wanted = told(bundle)
    with (
        small_disk(tmp_path / "disk", megabytes=65) as disk,
        pytest.raises(BoxError, match="no room"),
        staging_area(disk, wanted) as staging,
    ):
        staging.reserve(torrent)
    assert not any(path.is_file() for path in disk.rglob("weights*"))


def test_a_copy_that_is_still_under_way_is_no_other_bundle(store: Store, bundle: Path) -> None:
    torrent, wanted = told(bundle)
    (store.root / "bottle" / "1.4.0").mkdir(parents=True)
    (store.root / "bottle" / "1.4.0" / "weights.pt").write_bytes(b"half")
    assert not is_there(store, wanted)
    with staging_area(store.root, wanted) as staging:
        staging.reserve(torrent)
        pour(bundle, staging.folder)
        staging.hand_over(store, SIGNED_BY_NOBODY, torrent)
    assert is_there(store, wanted)
