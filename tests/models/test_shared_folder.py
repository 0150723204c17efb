"""Whatever others put in the place of a name in the store, nothing outside it is touched."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from edge_daemon.core.values import BundleRef
from edge_daemon.errors import BoxError, EdgeDaemonError
from edge_daemon.models.shared_folder import SharedFolder, alone_in
from edge_daemon.models.store import Store
from edge_daemon.models.trust import generate_keypair, sign
from tests.sim.bundles import make_bundle

Plant = Callable[[Path, Path], None]
Act = Callable[[Path, Path], None]

NAMES = (".incoming", ".leaving", ".lock", "bottle", ".2.0.0.model.sig.new")


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """What a writer of the store would like to have deleted, opened up or overwritten."""
    folder = tmp_path / "victim"
    (folder / "docs").mkdir(parents=True)
    (folder / "docs" / "letter").write_text("dear diary")
    (folder / "secret").write_text("0600")
    (folder / "secret").chmod(0o600)
    return folder


def fingerprint(folder: Path) -> dict[str, tuple[int, str]]:
    """Every file with its mode and the digest of its bytes."""
    found = {}
    for path in sorted([folder, *folder.rglob("*")]):
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        found[str(path.relative_to(folder.parent))] = (path.lstat().st_mode, digest)
    return found


def link_to_folder(place: Path, outside: Path) -> None:
    place.symlink_to(outside)


def link_to_file(place: Path, outside: Path) -> None:
    place.symlink_to(outside / "secret")


def fifo(place: Path, outside: Path) -> None:
    os.mkfifo(place)


def open_to_all(place: Path, outside: Path) -> None:
    """A real folder, in which others may swap what lies there."""
    place.mkdir()
    place.chmod(0o777)
    (place / "inner").symlink_to(outside)


def foreign(place: Path, outside: Path) -> None:
    """A folder of another user, where this one is root."""
    place.mkdir()
    (place / "inner").symlink_to(outside)
    if os.geteuid() == 0:
        os.chown(place, 65534, 65534)


def add(root: Path, work: Path) -> None:
    Store(root).add(make_bundle(work, "bottle@3.0.0"))


def collect(root: Path, work: Path) -> None:
    store = Store(root)
    store.collect(frozenset(), 0)
    store.sweep()


def sweep(root: Path, work: Path) -> None:
    Store(root).sweep()


def sign_one(root: Path, work: Path) -> None:
    work.mkdir()
    private, _ = generate_keypair(work)
    sign(root / "can" / "1.0.0", private)


PLANTS: tuple[Plant, ...] = (link_to_folder, link_to_file, fifo, open_to_all, foreign)
ACTS: tuple[Act, ...] = (add, collect, sweep, sign_one)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("name", NAMES)
def test_no_name_in_the_store_leads_out_of_it(
    tmp_path: Path, outside: Path, name: str, plant: Plant, act: Act
) -> None:
    """The work is done, or refused in a sentence; the tree outside stays as it is."""
    root = tmp_path / "store"
    make_bundle(root, "can@1.0.0")
    plant(root / name, outside)
    before = fingerprint(outside)
    with suppress(EdgeDaemonError):
        act(root, tmp_path / "work")
    assert fingerprint(outside) == before


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("name", [".incoming", ".leaving"])
def test_a_name_that_is_taken_costs_only_the_name(
    tmp_path: Path, outside: Path, name: str, plant: Plant
) -> None:
    """Adding and collecting go on in folders of our own, and leave none behind."""
    root = tmp_path / "store"
    make_bundle(root, "can@1.0.0")
    plant(root / name, outside)
    store = Store(root)
    ref = store.add(make_bundle(tmp_path / "work", "bottle@3.0.0"))
    assert ref in {known.ref for known in store.available()}
    assert [gone.ref.name for gone in store.collect({ref}, 0)] == ["can"]
    store.sweep()
    ours = {".incoming", ".leaving", ".lock", "bottle", "can"}
    assert {entry.name for entry in root.iterdir()} <= ours


def test_what_is_added_is_readable_by_others_and_writable_by_none(tmp_path: Path) -> None:
    """Its modes are set before it leaves the folder that nobody else can enter."""
    root = tmp_path / "store"
    root.mkdir()
    Store(root).add(make_bundle(tmp_path / "work", "bottle@3.0.0"))
    place = root / "bottle" / "3.0.0"
    modes = {stat.S_IMODE(path.stat().st_mode) for path in [place, *place.rglob("*")]}
    assert modes == {0o755, 0o644}


@pytest.fixture
def racer(tmp_path: Path, outside: Path) -> Iterator[list[int]]:
    """Somebody who puts links in the place of whatever appears in the store, as fast as it goes."""
    root, stop, swaps = tmp_path / "store", threading.Event(), [0]

    def race() -> None:
        while not stop.is_set():
            for name in (".incoming", ".leaving", "bottle"):
                with suppress(OSError):
                    os.rename(root / name, root / f".away-{swaps[0]}")
                    os.symlink(outside, root / name)
                    swaps[0] += 1
                with suppress(OSError):
                    os.unlink(root / name)

    thread = threading.Thread(target=race)
    thread.start()
    yield swaps
    stop.set()
    thread.join()


def test_who_swaps_names_meanwhile_changes_nothing_outside(
    tmp_path: Path, outside: Path, racer: list[int]
) -> None:
    """Adds and collections under a race: each works or is refused, and nothing outside changes."""
    root = tmp_path / "store"
    root.mkdir(exist_ok=True)
    before = fingerprint(outside)
    for number in range(40):
        bundle = make_bundle(tmp_path / "work", f"bottle@1.{number}.0", golden=0)
        with suppress(EdgeDaemonError, OSError):
            Store(root).add(bundle)
        with suppress(EdgeDaemonError, OSError):
            collect(root, tmp_path)
    assert racer[0] > 40
    assert fingerprint(outside) == before


@pytest.mark.parametrize("turned", ["can", "can/1.0.0"])
@pytest.mark.parametrize("within_the_store", [True, False])
def test_a_signature_goes_where_the_bundle_was_and_nowhere_else(
    tmp_path: Path, outside: Path, turned: str, within_the_store: bool
) -> None:
    """A link in the place of the bundle or of its name, put there after it was looked at."""
    root = tmp_path / "store"
    make_bundle(root, "can@1.0.0")
    (outside / "1.0.0").mkdir()
    (root / turned).rename(tmp_path / "away")
    (root / turned).symlink_to(outside)
    before = fingerprint(outside)
    private, _ = generate_keypair(tmp_path)
    with pytest.raises(EdgeDaemonError):
        sign(root / "can" / "1.0.0", private, root if within_the_store else None)
    assert fingerprint(outside) == before


def test_no_bundle_behind_a_link_of_the_store_is_signed(tmp_path: Path) -> None:
    """Another one, outside, which nobody meant."""
    root, private = tmp_path / "store", generate_keypair(tmp_path)[0]
    meant_not = make_bundle(tmp_path / "elsewhere", "can@1.0.0")
    (root / "can").mkdir(parents=True)
    (root / "can" / "1.0.0").symlink_to(meant_not)
    with pytest.raises(BoxError, match="cannot be made"):
        sign(root / "can" / "1.0.0", private, root)
    assert not (meant_not / "model.sig").exists()


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root acts for others")


def of_another(root: Path) -> Path:
    """The store belongs to a user who may reach it."""
    root.mkdir(exist_ok=True)
    os.chown(root, 65534, 65534)
    for folder in root.parents:
        if folder == Path(tempfile.gettempdir()):
            break
        folder.chmod(0o755)
    return root


@needs_root
def test_what_root_adds_belongs_to_the_owner_of_the_store(tmp_path: Path) -> None:
    """Who may then collect it; the bundle itself may be root's alone."""
    root, work = of_another(tmp_path / "store"), tmp_path / "private"
    bundle = make_bundle(work, "bottle@3.0.0")
    for path in [bundle, *bundle.rglob("*")]:
        path.chmod(0o700 if path.is_dir() else 0o600)
    assert Store(root).add(bundle) == BundleRef("bottle", "3.0.0")
    place = root / "bottle" / "3.0.0"
    assert {path.stat().st_uid for path in [place.parent, place, *place.rglob("*")]} == {65534}


@needs_root
def test_root_adds_beside_what_others_and_itself_left_there(tmp_path: Path) -> None:
    """A lock and a name that are root's, a name that is an operator's: none is in the way."""
    root = tmp_path / "store"
    Store(root).add(make_bundle(tmp_path / "work", "bottle@1.0.0"))
    make_bundle(root, "can@1.0.0")
    os.chown(root / "can", 12345, 12345)
    of_another(root)
    Store(root).add(make_bundle(tmp_path / "work", "bottle@2.0.0"))
    Store(root).add(make_bundle(tmp_path / "work", "can@2.0.0"))
    assert len(Store(root).available()) == 4


def test_a_lock_that_the_disk_does_not_take_is_no_intruder(tmp_path: Path) -> None:
    """A full or read-only disk says why itself: nobody is told to remove anything."""
    with SharedFolder(tmp_path) as shared:
        with pytest.raises(OSError, match="File name too long"):
            shared.lock_file("x" * 300)
        (tmp_path / ".lock").symlink_to("elsewhere")
        with pytest.raises(BoxError, match="is not what edge-daemon puts there"):
            shared.lock_file(".lock")
    entering = alone_in(tmp_path, "x" * 300, BoxError("Another one is in it."))
    with pytest.raises(BoxError, match="cannot be written: File name too long") as said, entering:
        pass
    assert said.value.hint.startswith("Free space there")


@needs_root
def test_a_lock_of_another_user_is_a_lock(tmp_path: Path) -> None:
    """Reading is enough to lock it, for whoever may write the store."""
    root = of_another(tmp_path / "store")
    lock = root / ".lock"
    lock.touch(mode=0o644)
    child = os.fork()
    if child == 0:
        try:
            os.setuid(65534)
            with SharedFolder(root) as shared:
                os.close(shared.lock_file(".lock"))
            os._exit(0)
        finally:
            os._exit(1)  # whatever was raised: this is no second test run
    assert os.waitpid(child, 0)[1] == 0


def test_what_a_crash_left_is_removed_under_whichever_name(tmp_path: Path) -> None:
    """The name was taken when it crashed; the next writer, alone by the lock, tidies up."""
    root = tmp_path / "store"
    (root / ".incoming-0123456789abcdef" / "half").mkdir(parents=True)
    (root / ".incoming-0123456789abcdef").chmod(0o700)
    Store(root).add(make_bundle(tmp_path / "work", "bottle@3.0.0"))
    assert {path.name for path in root.iterdir()} == {".incoming", ".lock", "bottle"}
