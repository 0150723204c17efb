"""A mounted ConfigMap flips, and the station does what it says: once, by the usual door."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_daemon.control.desired_state import MEMORY_FILE, DesiredContext, DesiredState, Pace
from edge_daemon.control.reporter import stock
from edge_daemon.core.events import LinksChanged
from edge_daemon.core.values import BundleRef
from edge_daemon.errors import BundleError, Code
from tests.sim.bundles import make_bundle
from tests.sim.station import Plan, Station

NAME = "line3-cam1.yaml"
EVENTS_ONLY = Pace(quiet_s=0.02, poll_s=0.02, rescan_s=3600.0)
Flip = Callable[[str], None]


@pytest.fixture
def mount(tmp_path: Path) -> Path:
    folder = tmp_path / "desired"
    folder.mkdir()
    return folder


@pytest.fixture
def flip(mount: Path) -> Flip:
    """As the kubelet does it: a folder of the new content, then one rename of a link."""
    generation = 0

    def _flip(text: str) -> None:
        nonlocal generation
        generation += 1
        inside = mount / f"..2026_{generation}"
        inside.mkdir()
        (inside / NAME).write_text(text)
        (mount / "..data_tmp").symlink_to(inside.name)
        os.replace(mount / "..data_tmp", mount / "..data")
        if not (mount / NAME).is_symlink():
            (mount / NAME).symlink_to(f"..data/{NAME}")

    return _flip


@contextmanager
def following(station: Station, mount: Path, pace: Pace = EVENTS_ONLY) -> Iterator[DesiredState]:
    context = DesiredContext(
        station.clock,
        lambda: station.driver.state,
        station.journal.find_request,
        station.mailbox.put_request,
    )
    following = DesiredState(mount / NAME, station.folder / "state", context, pace)
    following.start()
    station.mailbox.call(following.begin)
    try:
        yield following
    finally:
        following.stop()


def asked(station: Station) -> list[str]:
    """Who asked for what, as the audit trail has it."""
    rows = [link.row for link in station.journal.audit_rows()]
    return [row.body.decode() for row in rows if row.kind == "request"]


def test_a_flip_is_a_swap_with_gate_receipt_and_audit(
    tmp_path: Path, mount: Path, flip: Flip
) -> None:
    """The content changes while frames are judged; the receipt says who wanted it, and why."""
    flip("models: {bottle: bottle@1.0.0}")
    with Station(tmp_path) as station:
        station.run()
        with following(station, mount):
            flip("models: {BTL: bottle@2.0.0}\nreason: rollout 7")
            station.until_active("bottle@2.0.0")
        told = station.until_event("swapped", model="bottle@2.0.0")
        assert told["receipt"]["by"] == "desired-state"
        assert told["receipt"]["reason"] == "rollout 7"
        assert told["receipt"]["checks"]
        assert len(asked(station)) == 1
        assert '"by": "desired-state"' in asked(station)[0]
        assert station.has_lost_nothing


def test_nothing_is_asked_before_it_can_be_remembered(
    tmp_path: Path, mount: Path, flip: Flip
) -> None:
    """After a restart it would be asked again; health says why nothing happens."""
    flip("models: {bottle: bottle@2.0.0}")
    with Station(tmp_path) as station:
        station.run()
        (station.folder / "state" / MEMORY_FILE).mkdir()
        with following(station, mount) as desired:
            station.until(lambda: bool(desired.remarks()))
            assert "the desired state cannot be followed" in desired.remarks()[0]
            assert asked(station) == []
            (station.folder / "state" / MEMORY_FILE).rmdir()
            station.until_active("bottle@2.0.0")


def test_a_repeat_or_a_restart_asks_nothing_twice(tmp_path: Path, mount: Path, flip: Flip) -> None:
    """The same words flip in again, and the daemon restarts: one request stays one."""
    flip("models: {bottle: bottle@2.0.0}")
    with Station(tmp_path) as station:
        station.run()
        with following(station, mount) as desired:
            station.until_active("bottle@2.0.0")
            station.until(lambda: not desired.remarks())
            flip("# again\nmodels: {bottle: bottle@2.0.0}")
            station.until_event("confirmed")
        next_one = station.restarted()
    with next_one as station:
        station.run("bottle@2.0.0")
        with following(station, mount):
            flip("models: {bottle: bottle@2.0.0}\nhold: true")
            station.until_event("held")
        verbs = [body for body in asked(station) if "desired" in body]
        assert len(verbs) == 2, verbs  # the swap, and the hold of the other content


def test_a_restart_amid_the_load_does_not_forget_the_wish(
    tmp_path: Path, mount: Path, flip: Flip
) -> None:
    """What the restart interrupted is asked again, under an id of its own."""
    flip("models: {bottle: bottle@2.0.0}")
    with Station(tmp_path) as station:
        station.run()
        station.script.hold_loads()
        with following(station, mount):
            station.until(lambda: bool(asked(station)))
        next_one = station.restarted()
    with next_one as station:
        station.start()
        with following(station, mount):
            station.until_active("bottle@2.0.0")


def test_another_products_model_comes_with_its_order(
    tmp_path: Path, mount: Path, flip: Flip
) -> None:
    """The bottles go on; the first can is judged by the version that was desired."""
    plan = Plan(bundles=("bottle@1.0.0", "can@1.0.0", "can@2.0.0"), slots=3)
    with Station(tmp_path, plan) as station:
        station.run()
        station.order("CAN")
        station.until_active("can@2.0.0")  # the newest, unasked
        station.ask("swap", model="can@1.0.0")
        station.order("BTL", order="WO-2")
        station.until_active("bottle@1.0.0")
        flip("models: {can: can@2.0.0}")
        with following(station, mount):
            station.until(lambda: station.driver.state.parked is not None)
            station.order("CAN", order="WO-3")
            station.until_active("can@2.0.0")
        assert station.models()[-2:] == ["bottle@1.0.0", "can@2.0.0"]
        station.until(lambda: station.model_state["selected"]["can"] == "2.0.0")


def test_a_bad_file_changes_nothing_and_is_told(tmp_path: Path, mount: Path, flip: Flip) -> None:
    """File, line and key stand in health; the next good content counts."""
    flip("models: {bottle: bottle@1.0.0}")
    with Station(tmp_path) as station:
        station.run()
        with following(station, mount) as desired:
            flip("models:\n  bottle: bottle@2.0.0\nhodl: true")
            station.until(lambda: bool(desired.remarks()))
            assert f"{NAME}:3: hodl: is no known key. Did you mean hold?" in desired.remarks()[0]
            assert asked(station) == []
            flip("models:\n  bottle: bottle@2.0.0")
            station.until_active("bottle@2.0.0")


def test_a_model_that_the_gate_refuses_stays_out(tmp_path: Path, mount: Path, flip: Flip) -> None:
    """The same gate as for everybody; the refusal stands in health until the file changes."""
    flip("models: {bottle: bottle@2.0.0}")
    with Station(tmp_path) as station:
        station.run()
        station.script.fail_load(
            BundleRef("bottle", "2.0.0"), BundleError("It is no network.", code=Code.LOAD_FAILED)
        )
        with following(station, mount) as desired:
            station.until(lambda: any("rejected" in each for each in desired.remarks()))
        assert station.models() == ["bottle@1.0.0"]
        assert len(asked(station)) == 1


def test_new_links_count_for_the_file_too(tmp_path: Path, mount: Path, flip: Flip) -> None:
    """A reload links a product; the file that names it is right from then on."""
    flip("models: {BTL-2: bottle@2.0.0}")
    with Station(tmp_path) as station:
        station.run()
        with following(station, mount) as desired:
            station.until(lambda: any("BTL-2" in each for each in desired.remarks()))
            station.mailbox.put(LinksChanged((*station.plan.links, ("BTL-2", "bottle"))))
            station.until(lambda: ("BTL-2", "bottle") in station.driver.state.links)
            flip("models: {BTL-2: bottle@2.0.0}\nreason: linked now")
            station.until_active("bottle@2.0.0")


def test_a_model_may_come_after_the_file(tmp_path: Path, mount: Path, flip: Flip) -> None:
    """The wish waits until the store has what it names."""
    flip("models: {bottle: bottle@3.0.0}")
    with Station(tmp_path) as station:
        station.run()
        with following(station, mount) as desired:
            station.until(lambda: any("not in the store" in each for each in desired.remarks()))
            make_bundle(tmp_path / "store", "bottle@3.0.0", golden=1)
            station.mailbox.put(stock(station.store.offer()))
            station.until_active("bottle@3.0.0")


@pytest.mark.parametrize("restless", ["a log beside it", "the file itself"])
def test_a_change_is_followed_whatever_goes_on(tmp_path: Path, restless: str) -> None:
    """Fifty writes a second beside the file, or of the file itself, keep nobody from reading it."""
    mount, ended = tmp_path / "desired", threading.Event()
    mount.mkdir()
    file, log = mount / NAME, mount / "other.log"
    file.write_text("models: {bottle: bottle@1.0.0}")

    def stir() -> None:
        while not ended.wait(0.02):
            log.touch() if restless == "a log beside it" else file.touch()

    with Station(tmp_path) as station:
        station.run()
        writer = threading.Thread(target=stir)
        with following(station, mount, Pace(quiet_s=0.2, poll_s=0.02, rescan_s=3600.0)):
            writer.start()
            station.until((station.folder / "state" / "desired.json").exists)  # the first look
            (mount / ".new").write_text("models: {BTL: bottle@2.0.0}")
            (mount / ".new").rename(file)
            station.until_active("bottle@2.0.0")
            ended.set()
            writer.join()
