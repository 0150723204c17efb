"""The watch tells of every change of the offer, however it was made, and of nothing else."""

from __future__ import annotations

import queue
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge_daemon.models.store import Offer, Store
from edge_daemon.models.watch import StoreWatch
from tests.sim.bundles import make_bundle

DEADLINE_S = 20.0


class Listener:
    """Keeps the offers that it was told of, and waits for the one that is expected."""

    def __init__(self) -> None:
        self.told: queue.Queue[Offer] = queue.Queue()

    def until(self, *refs: str) -> Offer:
        while True:
            offer = self.told.get(timeout=DEADLINE_S)
            if [str(known.ref) for known in offer.known] == list(refs):
                return offer


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def watched(tmp_path: Path, listener: Listener) -> Iterator[Path]:
    """A store under watch by events alone: the slow look would come after an hour."""
    root = tmp_path / "store"
    with StoreWatch(Store(root), listener.told.put, quiet_s=0.05, rescan_s=3600):
        listener.until()
        yield root


def test_a_copied_bundle_is_offered_once_complete(
    watched: Path, listener: Listener, tmp_path: Path
) -> None:
    """Files that come one by one, under passing names, are one change: when the last one stands."""
    draft = make_bundle(tmp_path / "draft")
    place = watched / "bottle" / "1.0.0"
    (place / "golden").mkdir(parents=True)
    for image in (draft / "golden").iterdir():
        shutil.copy(image, place / "golden")
    (place / ".weights.pt.tmp").write_bytes((draft / "weights.pt").read_bytes())
    (place / ".weights.pt.tmp").rename(place / "weights.pt")
    shutil.copy(draft / "model.yaml", place / ".model.yaml.tmp")
    (place / ".model.yaml.tmp").rename(place / "model.yaml")
    assert listener.until("bottle@1.0.0").problems == ()


def test_a_bundle_moved_in_whole_is_offered(
    watched: Path, listener: Listener, tmp_path: Path
) -> None:
    """A folder renamed into the store gives one event above its files; it is seen all the same."""
    draft = make_bundle(tmp_path / "draft")
    draft.parent.rename(watched / "bottle")
    listener.until("bottle@1.0.0")


def test_a_flipped_link_is_seen(watched: Path, listener: Listener) -> None:
    """A mounted volume that turns its link changes the offer at once."""
    make_bundle(watched / "..1")
    make_bundle(watched / "..2", "bottle@2.0.0")
    (watched / "..data").symlink_to("..1")
    (watched / "bottle").symlink_to("..data/bottle")
    listener.until("bottle@1.0.0")
    (watched / "..new").symlink_to("..2")
    (watched / "..new").rename(watched / "..data")
    listener.until("bottle@2.0.0")


def test_a_removed_bundle_is_no_longer_offered(watched: Path, listener: Listener) -> None:
    """What is gone is told as well."""
    folder = make_bundle(watched)
    listener.until("bottle@1.0.0")
    shutil.rmtree(folder)
    listener.until()


def test_a_store_that_is_never_still_is_looked_at(
    watched: Path, listener: Listener, tmp_path: Path
) -> None:
    """Somebody writes into it all the time; the wait for quiet has an end."""
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(0.01):
            (watched / "rsync.log").touch()

    writer = threading.Thread(target=write)
    writer.start()
    make_bundle(tmp_path / "draft").parent.rename(watched / "bottle")
    listener.until("bottle@1.0.0")
    ended.set()
    writer.join()


def test_looking_causes_no_further_looks(tmp_path: Path) -> None:
    """Our own reading of the store is no event: after the first look there is silence."""
    looks: queue.Queue[None] = queue.Queue()

    class Counted(Store):
        def offer(self) -> Offer:
            looks.put(None)
            return super().offer()

    make_bundle(tmp_path / "store")
    told: queue.Queue[Offer] = queue.Queue()
    with StoreWatch(Counted(tmp_path / "store"), told.put, quiet_s=0.01, rescan_s=3600):
        told.get(timeout=DEADLINE_S)
        looks.get(timeout=DEADLINE_S)
        with pytest.raises(queue.Empty):
            looks.get(timeout=0.3)
        assert told.empty()


def test_a_listener_that_fails_is_told_again(tmp_path: Path) -> None:
    """An error in the listener is logged, and the offer is brought again at the next look."""
    make_bundle(tmp_path / "store")
    told: queue.Queue[Offer] = queue.Queue()

    failures = iter([RuntimeError("not ready")])

    def fail_once(offer: Offer) -> None:
        told.put(offer)
        if error := next(failures, None):
            raise error

    with StoreWatch(Store(tmp_path / "store"), fail_once, quiet_s=0.01, rescan_s=0.05):
        first = told.get(timeout=DEADLINE_S)
        assert told.get(timeout=DEADLINE_S) == first


def test_the_slow_look_finds_what_events_missed(tmp_path: Path, listener: Listener) -> None:
    """A change that gives no event (behind a link out of sight) is found in time."""
    root = tmp_path / "store"
    make_bundle(tmp_path / "volumes" / "1")
    make_bundle(tmp_path / "volumes" / "2", "bottle@2.0.0")
    root.symlink_to("volumes/1")
    with StoreWatch(Store(root), listener.told.put, quiet_s=0.01, rescan_s=0.05):
        listener.until("bottle@1.0.0")
        (tmp_path / "turned").symlink_to("volumes/2")
        (tmp_path / "turned").rename(root)
        listener.until("bottle@2.0.0")


def test_a_store_that_goes_away_and_comes_back_is_told(tmp_path: Path, listener: Listener) -> None:
    """The offer is empty either way; why is told with it. The slow look finds it."""
    root = tmp_path / "store"
    make_bundle(root, "bottle@1.0.0")
    with StoreWatch(Store(root), listener.told.put, quiet_s=0.05, rescan_s=0.1):
        listener.until("bottle@1.0.0")
        away = root.rename(tmp_path / "away")
        assert listener.until().trouble == "is not there"
        away.rename(root)
        assert listener.until("bottle@1.0.0").trouble == ""
