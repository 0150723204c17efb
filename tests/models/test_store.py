"""The store offers what is complete and unchanged, and says why of everything else."""

from __future__ import annotations

import fcntl
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edge_daemon.core.values import BundleRef
from edge_daemon.errors import BoxError, BundleError, Code, SenderError, StateError
from edge_daemon.models import shared_folder
from edge_daemon.models.bundle import Manifest, read_manifest
from edge_daemon.models.store import Store
from edge_daemon.models.trust import Trust
from tests.sim.bundles import make_bundle
from tests.sim.folders import lent_folder, nobody

ONE = BundleRef("bottle", "1.0.0")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def store(root: Path, tmp_path: Path) -> Store:
    return Store(root, tmp_path / "state")


def versions(store: Store) -> list[str]:
    return [str(known.ref) for known in store.available()]


def test_versions_are_offered_from_oldest_to_newest(store: Store, root: Path) -> None:
    """1.10 is newer than 1.9; names are apart."""
    for ref in ("bottle@1.10.0", "can@2.0", "bottle@1.9.0", "bottle@1.9.0-line3"):
        make_bundle(root, ref, golden=0)
    assert versions(store) == ["bottle@1.9.0-line3", "bottle@1.9.0", "bottle@1.10.0", "can@2.0"]


def test_an_empty_or_missing_store_offers_nothing(store: Store, root: Path) -> None:
    """A store that is not there yet is no error."""
    assert store.available() == ()
    (root / "bottle").mkdir(parents=True)
    assert store.offer().problems == ()


def _no_manifest(folder: Path) -> None:
    (folder / "model.yaml").unlink()


def _half_weights(folder: Path) -> None:
    (folder / "weights.pt").write_bytes(b"half")


def _rsync_name(folder: Path) -> None:
    (folder / "weights.pt").rename(folder / ".weights.pt.x8Hq2B")


@pytest.mark.parametrize("break_it", [_no_manifest, _half_weights, _rsync_name])
def test_what_is_half_copied_is_not_offered(
    store: Store, root: Path, break_it: Callable[[Path], None]
) -> None:
    """Until the last file stands at its full size there is a problem instead of a bundle."""
    folder = make_bundle(root)
    break_it(folder)
    offer = store.offer()
    assert offer.known == ()
    assert [problem.folder for problem in offer.problems] == [folder]
    with pytest.raises(BundleError):
        store.find(ONE)


def test_a_request_cannot_lead_out_of_the_store(store: Store, root: Path) -> None:
    """Refs with path parts in them are unknown models, whatever lies there."""
    make_bundle(root.parent / "outside", "secret@1.0.0")
    (root / "bottle").mkdir(parents=True)
    for ref in (
        BundleRef("..", "outside"),
        BundleRef("../outside/secret", "1.0.0"),
        BundleRef("bottle", "../../outside/secret/1.0.0"),
        BundleRef("bottle", "."),
        BundleRef("", ""),
    ):
        with pytest.raises(SenderError) as caught:
            store.find(ref)
        assert caught.value.code is Code.UNKNOWN_MODEL


def test_an_unknown_version_names_those_that_are_there(store: Store, root: Path) -> None:
    """The next step of a refused request can be read from it."""
    make_bundle(root)
    with pytest.raises(SenderError, match=r"1\.0\.0") as caught:
        store.manifest(BundleRef("bottle", "9.0"))
    assert caught.value.code is Code.UNKNOWN_MODEL


def test_a_link_out_of_the_store_is_not_followed(store: Store, root: Path) -> None:
    """Links within the store are how volumes are mounted; one that leads out is a problem."""
    outside = make_bundle(root.parent / "outside")
    (root / "bottle").mkdir(parents=True)
    (root / "bottle" / "1.0.0").symlink_to(outside)
    assert versions(store) == []
    assert "leads out" in store.offer().problems[0].error.message


def test_a_flipped_link_changes_the_whole_offer_at_once(store: Store, root: Path) -> None:
    """A mounted volume shows new bundles by turning one link; its own folders stay hidden."""
    make_bundle(root / "..2026_1")
    make_bundle(root / "..2026_2", "bottle@1.1.0")
    (root / "..data").symlink_to("..2026_1")
    (root / "bottle").symlink_to("..data/bottle")
    assert versions(store) == ["bottle@1.0.0"]
    (root / "..new").symlink_to("..2026_2")
    (root / "..new").rename(root / "..data")
    assert versions(store) == ["bottle@1.1.0"]


# --------------------------------------------------------------------------- immutable


def test_a_version_that_changed_is_no_longer_offered(
    store: Store, root: Path, tmp_path: Path
) -> None:
    """Another bundle under a version already seen is refused, also by the next process."""
    make_bundle(root)
    assert versions(store) == ["bottle@1.0.0"]
    shutil.rmtree(root / "bottle")
    make_bundle(root, weights=b"other weights")
    for each in (store, Store(root, tmp_path / "state")):
        assert versions(each) == []
        with pytest.raises(BundleError) as caught:
            each.find(ONE)
        assert caught.value.code is Code.DIGEST_MISMATCH


def test_the_same_bundle_may_come_back(store: Store, root: Path) -> None:
    """Removed and copied again byte for byte, it is the version it was."""
    make_bundle(root)
    assert versions(store) == ["bottle@1.0.0"]
    shutil.rmtree(root / "bottle")
    assert versions(store) == []
    make_bundle(root)
    assert versions(store) == ["bottle@1.0.0"]


def test_a_memory_that_cannot_be_read_is_not_forgotten(root: Path, tmp_path: Path) -> None:
    """A damaged file of digests is told; whether all begins anew is not the store's to say."""
    (tmp_path / "bundles.json").write_text("{")
    with pytest.raises(StateError):
        Store(root, tmp_path)


# --------------------------------------------------------------------------- add


def test_an_added_bundle_is_there_whole(store: Store, root: Path, tmp_path: Path) -> None:
    """From a folder of any name; afterwards nothing of the work is left in the store."""
    draft = make_bundle(tmp_path / "draft").rename(tmp_path / "any name")
    assert store.add(draft) == ONE
    assert store.manifest(ONE).ref == ONE
    assert (store.find(ONE) / "weights.pt").stat().st_mode & 0o777 == 0o644
    assert list((root / ".incoming").iterdir()) == []
    assert store.add(draft) == ONE


def test_another_bundle_of_the_same_version_is_refused(store: Store, tmp_path: Path) -> None:
    """What is in the store stays as it is."""
    store.add(make_bundle(tmp_path / "a"))
    before = store.manifest(ONE)
    with pytest.raises(BundleError) as caught:
        store.add(make_bundle(tmp_path / "b", weights=b"other"))
    assert caught.value.code is Code.DIGEST_MISMATCH
    assert store.manifest(ONE) == before


def test_a_bad_bundle_is_not_added_and_may_be_corrected(
    store: Store, root: Path, tmp_path: Path
) -> None:
    """A refused draft leaves nothing behind, and does not use its version up."""

    def mistake(manifest: dict[str, Any]) -> None:
        manifest["golden"][0]["sha256"] = "0" * 64

    with pytest.raises(BundleError):
        store.add(make_bundle(tmp_path / "wrong", edit=mistake))
    assert versions(store) == []
    assert not (root / "bottle").exists()
    assert store.add(make_bundle(tmp_path / "right")) == ONE


def test_an_untrusted_bundle_is_not_added(store: Store, tmp_path: Path, line_keys: Any) -> None:
    """Where signatures are required, the store takes in only what is signed."""
    with pytest.raises(BundleError) as caught:
        store.add(make_bundle(tmp_path / "a"), line_keys.trust)
    assert caught.value.code is Code.NOT_TRUSTED
    store.add(make_bundle(tmp_path / "b", key=line_keys.private), line_keys.trust)


def test_the_remains_of_a_cut_off_copy_are_replaced(
    store: Store, root: Path, tmp_path: Path
) -> None:
    """A folder without model.yaml is nobody's bundle and does not stand in the way."""
    (root / "bottle" / "1.0.0").mkdir(parents=True)
    (root / "bottle" / "1.0.0" / "weights.pt").write_bytes(b"half")
    assert store.add(make_bundle(tmp_path / "draft"), Trust()) == ONE


# --------------------------------------------------------------------------- quota


def test_the_quota_takes_the_oldest_arrivals_first_and_never_the_kept(
    store: Store, root: Path
) -> None:
    """Bundles to keep stay whatever the quota says; the others go in order of arrival."""
    refs = []
    for version in ("3.0", "2.0", "1.0"):
        make_bundle(root, f"bottle@{version}", golden=0)
        refs.append(BundleRef("bottle", version))
    each = store.size_bytes() // 3
    gone = store.collect({refs[0]}, quota_bytes=2 * each + 100)
    assert [bundle.ref for bundle in gone] == [refs[1]]
    assert gone[0].size_bytes >= 4096
    assert [bundle.ref for bundle in store.collect({refs[0]}, quota_bytes=0)] == [refs[2]]
    assert versions(store) == ["bottle@3.0"]
    store.sweep()
    assert list((root / ".leaving").iterdir()) == []


def test_nothing_goes_while_somebody_adds(root: Path, store: Store) -> None:
    """The other process holds the store's lock: the next look tries again."""
    make_bundle(root, "bottle@1.0.0", golden=0)
    with (root / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert store.collect(set(), quota_bytes=0) == ()
    assert len(store.collect(set(), quota_bytes=0)) == 1


def test_whoever_holds_the_store_is_not_waited_for_for_ever(
    root: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few seconds, then a sentence; nothing was changed, and the next try succeeds."""
    monkeypatch.setattr(shared_folder, "LOCK_PATIENCE_S", 0.2)
    folder = make_bundle(tmp_path / "incoming", "bottle@3.0.0")
    root.mkdir(exist_ok=True)
    with (root / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_SH)
        with pytest.raises(BoxError, match="Another program has held the store"):
            store.add(folder, Trust())
    assert str(store.add(folder, Trust())) == "bottle@3.0.0"


@pytest.mark.parametrize(
    ("floor", "older"),
    [("1.4.0", ["1.4.0rc1", "1.3.9"]), ("1.4", ["1.4.0rc1", "1.3.9"]), ("9", ["1.4.0"])],
)
def test_what_is_older_than_its_floor_is_told(root: Path, floor: str, older: list[str]) -> None:
    """It is offered all the same: who may still use it is for others to say."""
    for version in ("1.3.9", "1.4.0rc1", "1.4.0"):
        make_bundle(root, f"bottle@{version}", golden=0)
        make_bundle(root, f"can@{version}", golden=0)
    offer = Store(root, floor={"bottle": floor}).offer()
    below = {str(ref): by for ref, by in offer.below}
    assert set(below.values()) == {floor}
    assert {f"bottle@{version}" for version in older} <= set(below)
    assert ("bottle@1.4.0" in below) == ("1.4.0" in older)
    assert len(offer.known) == 6


def test_a_store_that_went_away_is_in_trouble(root: Path, tmp_path: Path) -> None:
    """An unmounted volume leaves no folder, or an empty one; a new store has simply nothing yet."""
    root.mkdir(exist_ok=True)
    store = Store(root, tmp_path / "state")
    assert store.offer().trouble == ""
    make_bundle(root, "bottle@1.0.0", golden=0)
    assert store.offer().trouble == ""
    away = root.rename(tmp_path / "away")
    assert store.offer().trouble == "is not there"
    root.touch()
    assert store.offer().trouble == "cannot be read: Not a directory"
    root.unlink()
    root.mkdir()
    again = Store(root, tmp_path / "state")  # the next start remembers, too
    for one in (store, again):
        assert one.offer().trouble == "is empty, and 1 bundles were seen in it"
    root.rmdir()
    away.rename(root)
    assert [one.offer().trouble for one in (store, again)] == ["", ""]


@pytest.mark.parametrize("mode", [0o000, 0o744])
def test_a_folder_that_may_not_be_read_keeps_no_other_away(mode: int) -> None:
    """As after a copy by root; it is told, and asked for by name it is not there."""
    root = lent_folder("store")
    make_bundle(root, "closed@1.0.0", golden=0)
    make_bundle(root, "bottle@1.0.0", golden=0)
    (root / "closed").chmod(mode)
    with nobody():
        store = Store(root)
        assert versions(store) == ["bottle@1.0.0"]
        (problem,) = store.offer().problems
        assert (problem.place, problem.error.message) == ("closed", "closed cannot be read.")
        with pytest.raises(SenderError, match="has no bundle closed"):
            store.manifest(BundleRef("closed", "1.0.0"))


# --------------------------------------------------------------------------- reading


def test_others_ask_while_a_folder_is_read(root: Path) -> None:
    """A manifest that takes long to read keeps nobody from those that are known."""
    make_bundle(root)
    make_bundle(root, "slow@1.0.0", golden=0)
    begun, may_end = threading.Event(), threading.Event()

    def read(folder: Path) -> Manifest:
        if folder.parent.name == "slow":
            begun.set()
            assert may_end.wait(60.0)
        return read_manifest(folder)

    store = Store(root, read=read)
    look = threading.Thread(target=store.offer)
    look.start()
    assert begun.wait(60.0)
    assert store.manifest(ONE).ref == ONE
    may_end.set()
    look.join()
    assert versions(store) == ["bottle@1.0.0", "slow@1.0.0"]


def test_a_folder_is_read_once_until_it_changes(root: Path) -> None:
    """Good or bad, the next look costs a few `stat` calls; a change is read again."""
    make_bundle(root)
    bad = make_bundle(root, "can@1.0.0", golden=0) / "model.yaml"
    bad.write_text("schema: [")
    reads: list[str] = []

    def read(folder: Path) -> Manifest:
        reads.append(folder.parent.name)
        return read_manifest(folder)

    store = Store(root, read=read)
    for _ in range(3):
        assert versions(store) == ["bottle@1.0.0"]
    assert sorted(reads) == ["bottle", "can"]
    bad.write_text("schema: {")
    assert versions(store) == ["bottle@1.0.0"]
    assert sorted(reads) == ["bottle", "can", "can"]


def test_whatever_is_not_taken_is_named_with_the_rule_that_it_breaks(tmp_path: Path) -> None:
    """Nothing that somebody put into the store is passed over in silence."""
    root = tmp_path / "store"
    make_bundle(root, "bottle@1.0.0")
    for ref in ("\u74f6\u5b50@1.0", "bottle A@1.0", "_a@1.0", "can@latest"):
        make_bundle(root, ref)
    make_bundle(root, "cap@1.0", file="best (1).pt")
    (root / "loose.pt").write_bytes(b"x")
    (root / "bottle" / "notes.txt").write_text("x")
    (root / "flat").mkdir()
    (root / "flat" / "model.yaml").write_text("schema: 1")
    (root / "lost+found").mkdir()
    offer = Store(root).offer()
    assert [str(known.ref) for known in offer.known] == ["bottle@1.0.0"]
    told = {problem.place: problem.error.message for problem in offer.problems}
    assert set(told) == {
        *("\u74f6\u5b50/1.0", "bottle A/1.0", "_a/1.0", "can/latest", "cap/1.0"),
        *("loose.pt", "bottle/notes.txt", "flat"),
    }
    assert "must begin with a letter (A to Z) or digit" in told["_a/1.0"]
    assert "no spaces" in told["cap/1.0"]


def test_of_equal_versions_one_counts_and_the_others_are_refused(tmp_path: Path) -> None:
    """`1.2`, `v1.2` and `1.2.0` are one version, and nobody should have to guess which is meant."""
    root = tmp_path / "store"
    for version in ("v1.2", "1.2.0", "1.2"):
        make_bundle(root, f"eq@{version}")
    store = Store(root)
    offer = store.offer()
    assert [str(known.ref) for known in offer.known] == ["eq@1.2"]
    assert len(offer.problems) == 2
    for problem in offer.problems:
        assert "is the same version as eq@1.2" in problem.error.message
    with pytest.raises(BundleError, match="is the same version as"):
        store.manifest(BundleRef("eq", "v1.2"))


def test_a_version_that_was_offered_is_not_displaced_by_an_equal_one(tmp_path: Path) -> None:
    """What comes later is refused, also after a restart, and by `add` before it is copied."""
    root, state = tmp_path / "store", tmp_path / "state"
    make_bundle(root, "eq@v1.2")
    assert len(Store(root, state).available()) == 1
    make_bundle(root, "eq@1.2")
    assert [str(known.ref) for known in Store(root, state).available()] == ["eq@v1.2"]
    other = make_bundle(tmp_path / "elsewhere", "eq@1.2.0")
    with pytest.raises(BundleError, match=r"is the same version as eq@v1\.2"):
        Store(root, state).add(other)
    assert not (root / "eq" / "1.2.0").exists()


def test_an_equal_version_that_is_broken_is_in_nobodys_way(tmp_path: Path) -> None:
    """Only a bundle that is complete and valid can be the one that counts."""
    make_bundle(tmp_path, "eq@1.2.0")
    (make_bundle(tmp_path, "eq@1.2") / "weights.pt").unlink()
    assert [str(known.ref) for known in Store(tmp_path).available()] == ["eq@1.2.0"]
