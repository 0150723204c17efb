"""A bundle from a source comes in whole and vouched for, or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge_daemon.errors import BoxError, BundleError, Code
from edge_daemon.models.trust import generate_keypair
from edge_daemon.sources.fetch import fetch, look
from edge_daemon.sources.folder import FolderSource
from edge_daemon.sources.source import Source, SourceAway
from tests.sim.bundles import make_bundle, noise
from tests.sim.web_shelf import WebShelf
from tests.sources.conftest import Station, list_versions


def test_the_newest_version_comes_into_the_store(
    station: Station, shelf: Path, source: Source
) -> None:
    """Whole, with its images; nothing is left over; the second time it is there already."""
    for ref in ("bottle@1.9.0", "bottle@1.10.0"):
        make_bundle(shelf, ref, key=station.key)
    list_versions(shelf)
    (offered,) = source.offered("bottle", "newest")
    assert (offered.origin.url, offered.origin.version) == (source.where, "1.10.0")
    (fetched,) = station.pull(source)
    assert (str(fetched.ref), fetched.is_new) == ("bottle@1.10.0", True)
    assert station.listed == ["bottle@1.10.0"]
    assert station.left_over == []
    came = station.came
    assert fetched.size_bytes == came
    (again,) = station.pull(source)
    assert not again.is_new
    assert station.came == came, "not a byte of weights is fetched again"


def test_all_versions_or_one(station: Station, shelf: Path, source: Source) -> None:
    """What the settings ask for, oldest first."""
    for ref in ("bottle@1.10.0", "bottle@1.9.0", "can@1.0.0"):
        make_bundle(shelf, ref, key=station.key)
    list_versions(shelf)
    station.pull(source, "1.9.0")
    assert station.listed == ["bottle@1.9.0"]
    station.pull(source, "all")
    assert station.listed == ["bottle@1.9.0", "bottle@1.10.0"]


def test_an_openvino_folder_comes_whole(station: Station, shelf: Path, source: Source) -> None:
    """A folder of weights is listed by the folder itself, or by files.txt."""
    folder = make_bundle(shelf, file="net_openvino_model", key=station.key)
    list_versions(shelf)
    if "http" in source.where:
        with pytest.raises(BundleError, match=r"files\.txt|which files"):
            station.pull(source)
        paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        (folder / "files.txt").write_text("".join(f"./{path}\n" for path in paths))
    station.pull(source)
    assert station.listed == ["bottle@1.0.0"]


def _flip(folder: Path) -> None:
    content = bytearray((folder / "weights.pt").read_bytes())
    content[1000] ^= 1
    (folder / "weights.pt").write_bytes(content)


def _flip_image(folder: Path) -> None:
    content = bytearray((folder / "golden/0000.png").read_bytes())
    content[-20] ^= 1
    (folder / "golden/0000.png").write_bytes(content)


def _shorten(folder: Path) -> None:
    (folder / "weights.pt").write_bytes((folder / "weights.pt").read_bytes()[:-1])


def _lengthen(folder: Path) -> None:
    with (folder / "weights.pt").open("ab") as file:
        file.write(b"x")


def _unsign(folder: Path) -> None:
    (folder / "model.sig").unlink()


def _edit(folder: Path) -> None:
    with (folder / "model.yaml").open("a") as file:
        file.write("products: [X]\n")


def _lose_image(folder: Path) -> None:
    (folder / "golden/0001.png").unlink()


def _lose_manifest(folder: Path) -> None:
    (folder / "model.yaml").unlink()


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (_flip, Code.DIGEST_MISMATCH),
        (_flip_image, Code.DIGEST_MISMATCH),
        (_shorten, Code.DIGEST_MISMATCH),
        (_lengthen, Code.DIGEST_MISMATCH),
        (_unsign, Code.NOT_TRUSTED),
        (_edit, Code.NOT_TRUSTED),
        (_lose_image, Code.INVALID_BUNDLE),
    ],
)
def test_what_is_spoilt_is_refused_before_the_store_lists_it(
    station: Station, shelf: Path, source: Source, spoil: object, code: Code
) -> None:
    """Each with its reason, and nothing of it stays."""
    folder = make_bundle(shelf, key=station.key)
    list_versions(shelf)
    assert callable(spoil)
    spoil(folder)
    with pytest.raises((BundleError, SourceAway)) as refused:
        station.pull(source)
    if isinstance(refused.value, BundleError):
        assert refused.value.code is code
        assert station.left_over == []
    else:  # the server is asked for bytes that it does not have, and never has them
        assert spoil is _shorten
    assert station.listed == []
    assert station.store.offer().problems == ()


def test_no_weights_are_fetched_that_nobody_vouches_for(
    station: Station, shelf: Path, web: WebShelf, source: Source, tmp_path: Path
) -> None:
    """A signature of another key ends it after model.yaml and model.sig."""
    stranger, _ = generate_keypair(tmp_path, "stranger")
    make_bundle(shelf, key=stranger)
    list_versions(shelf)
    with pytest.raises(BundleError) as refused:
        station.pull(source)
    assert refused.value.code is Code.NOT_TRUSTED
    assert station.came == 0
    assert not any(path.endswith("weights.pt") for path, _ in web.asked)


def test_a_bundle_under_another_version_is_refused(
    station: Station, shelf: Path, source: Source
) -> None:
    """The folder says 1.1.0, the bundle 1.0.0."""
    make_bundle(shelf, "bottle@1.0.0", key=station.key).rename(shelf / "bottle/1.1.0")
    list_versions(shelf)
    with pytest.raises(BundleError, match=r"calls itself bottle@1\.0\.0") as refused:
        station.pull(source)
    assert refused.value.code is Code.INVALID_BUNDLE
    assert station.listed == []


def test_a_version_that_changed_at_the_source_is_refused(
    station: Station, shelf: Path, source: Source
) -> None:
    """Whether the store still has the first one, or it was taken out since."""
    make_bundle(shelf, key=station.key).rename(shelf / "first")
    (shelf / "first").rename(shelf / "bottle/1.0.0")
    list_versions(shelf)
    station.pull(source)
    (shelf / "bottle/1.0.0").rename(shelf / ".old")
    make_bundle(shelf, weights=noise("another"), key=station.key)
    came = station.came
    with pytest.raises(BundleError, match=r"another bottle@1\.0\.0") as refused:
        station.pull(source)
    assert refused.value.code is Code.INVALID_BUNDLE
    station.store.collect(frozenset(), 0)
    station.store.sweep()
    assert station.listed == []
    with pytest.raises(BundleError, match="had under this version before"):
        station.pull(source)
    assert station.came == came


def test_one_pull_at_a_time(station: Station, shelf: Path, source: Source) -> None:
    """The daemon and a technician at the command line are not in each other's way."""
    from edge_daemon.sources.pull_folder import pull_folder  # noqa: PLC0415

    make_bundle(shelf, key=station.key)
    list_versions(shelf)
    with pull_folder(station.root), pytest.raises(BoxError, match="Another pull is running"):
        station.pull(source)
    station.pull(source)
    assert station.listed == ["bottle@1.0.0"]


def test_a_link_in_the_place_of_the_workplace_is_not_followed(
    station: Station, shelf: Path, source: Source, tmp_path: Path
) -> None:
    """Somebody who may write in the store cannot send a pull elsewhere."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    station.root.mkdir()
    (station.root / ".pulls").symlink_to(elsewhere)
    make_bundle(shelf, key=station.key)
    list_versions(shelf)
    station.pull(source)
    assert station.listed == ["bottle@1.0.0"]
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("mount_point", ["goes", "stays"])
def test_a_stick_is_pulled_out_in_the_middle(
    station: Station, shelf: Path, mount_point: str
) -> None:
    """It is away, and no bundle is at fault: what came is kept, and the rest follows."""
    make_bundle(shelf, weights=noise("large", 6_000_000), golden=2, key=station.key)
    source, away = FolderSource(shelf), shelf.parent / "pulled out"
    (offered,) = source.offered("bottle", "newest")
    manifest = look(source, offered, "bottle", station.target, station.pace)
    tell = station.target.tell

    def pull_out(chunk: int, total: int) -> None:
        tell(chunk, total)
        if station.came > 5_000_000 and not away.exists():
            shelf.rename(away)
            if mount_point == "stays":
                shelf.mkdir()

    with pytest.raises(SourceAway, match=r"no bottle@1\.0\.0 any more\. Was it pulled out"):
        fetch(source, offered, manifest, replace(station.target, tell=pull_out), station.pace)
    assert station.left_over
    assert station.listed == []
    if mount_point == "stays":
        shelf.rmdir()
    away.rename(shelf)
    before = station.came
    (fetched,) = station.pull(source)
    assert (fetched.is_new, fetched.again_bytes) == (True, 0)
    assert station.came - before < 1_000_000, "the weights do not come again"
    assert station.listed == ["bottle@1.0.0"]
