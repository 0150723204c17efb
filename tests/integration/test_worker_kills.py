"""SIGKILL of workers under the whole daemon: no frame is lost, and with a standby none waits."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from edge_daemon.app.daemon import Daemon
from edge_daemon.slots.process import ProcessSlot
from edge_daemon.slots.standby import StandbySlot
from tests.sim.device import wait_until
from tests.sim.line import RunningDaemon
from tests.sim.mosquitto import Mosquitto
from tests.sim.proctree import fork_servers

pytestmark = pytest.mark.broker

B1, B2 = "bottle@1.0.0", "bottle@2.0.0"
KILLS = int(os.environ.get("EDGE_TEST_KILLS", "10"))


def judging(daemon: Daemon) -> StandbySlot | ProcessSlot:
    slot = daemon.frames.active_slot.pointer.slot
    assert isinstance(slot, (StandbySlot, ProcessSlot))
    return slot


def kill(slot: StandbySlot | ProcessSlot) -> None:
    assert slot.pid is not None
    os.kill(slot.pid, signal.SIGKILL)


def events(mill: RunningDaemon, kind: str) -> int:
    return sum(body.get("type") == kind for _, body in mill.ear.heard)


def slot_of_previous(daemon: Daemon) -> str | None:
    previous = daemon.control.reporter.model_state.previous
    assert previous is not None
    return previous.slot


def until_frames(mill: RunningDaemon, count: int) -> None:
    goal = len(mill.ear.results) + count
    mill.ear.until(lambda: len(mill.ear.results) >= goal)


def check_and_print(mill: RunningDaemon, kills: int) -> None:
    """Every frame inspected, by the one model; says how long the longest waited."""
    mill.stop()
    mill.until_settled()
    mill.check_books()
    tally = mill.ear.books.tally()
    assert tally.frames == tally.inspected
    assert tally.by_model == {B1: tally.frames}
    waited = max(result["latency_ms"]["queue"] for result in mill.ear.results)
    told = f"{kills} kills, {tally.frames} frames, 0 lost; longest wait {waited:.0f} ms"
    sys.stdout.write(f"\n{told}\n")


def test_with_a_twin_no_frame_waits_for_a_load(tmp_path: Path, broker: Mosquitto) -> None:
    """Each kill of the judging worker is met by its standby; nothing is lost, no slot restored."""
    camera = {"source": "conveyor:?size=160x120&fps=30", "buffer_frames": 256}
    with RunningDaemon(tmp_path, broker, camera=camera, slots={"count": 2, "spare": "hot"}) as mill:
        slot = judging(mill.start())
        assert isinstance(slot, StandbySlot)
        for count in range(1, KILLS + 1):
            wait_until(lambda: slot.has_twin, "a standby")
            kill(slot)
            mill.ear.until(lambda n=count: events(mill, "stood_in") == n)
        until_frames(mill, 20)
        assert not events(mill, "restored")
        check_and_print(mill, KILLS)


def test_without_a_twin_the_frames_wait(tmp_path: Path, broker: Mosquitto) -> None:
    """The frame in hand and those behind it are judged by the worker that takes over."""
    camera = {"source": "conveyor:?size=160x120&fps=60", "buffer_frames": 2048}
    with RunningDaemon(tmp_path, broker, camera=camera) as mill:
        daemon = mill.start()
        for count in (1, 2):
            kill(judging(daemon))
            mill.ear.until(lambda n=count: events(mill, "restored") == n)
            until_frames(mill, 5)
        check_and_print(mill, 2)


def test_the_fork_server_may_die_at_any_time(tmp_path: Path, broker: Mosquitto) -> None:
    """Alone, nobody at the line sees it; together with the judging worker, the frames wait for the
    next server, and none is lost."""
    camera = {"source": "conveyor:?size=160x120&fps=60", "buffer_frames": 2048}
    slots = {"count": 2, "spare": "off"}
    with RunningDaemon(
        tmp_path, broker, camera=camera, slots=slots, workers={"start": "fork"}
    ) as mill:
        daemon = mill.start()
        for count in range(2):
            (server,) = fork_servers(os.getpid())
            os.kill(server, signal.SIGKILL)
            if count:
                kill(judging(daemon))
                mill.ear.until(lambda: events(mill, "restored") == 1)
            until_frames(mill, 20)
            wait_until(lambda old=server: fork_servers(os.getpid()) not in ([old], []), "a server")
        check_and_print(mill, 3)


def test_what_finds_no_room_while_nobody_judges_is_counted(
    tmp_path: Path, broker: Mosquitto
) -> None:
    """Eight frames wait; each of the others is told of with its reason, and none is missing."""
    camera = {"source": "conveyor:?size=160x120&fps=60", "buffer_frames": 8}
    kills = 2  # each later restart waits longer
    with RunningDaemon(tmp_path, broker, camera=camera) as mill:
        daemon = mill.start()
        for count in range(1, kills + 1):
            kill(judging(daemon))
            mill.ear.until(lambda n=count: events(mill, "restored") == n)
            until_frames(mill, 20)
        mill.stop()
        mill.until_settled()
        mill.check_books()
    tally = mill.ear.books.tally()
    left_out = {"worker_lost": tally.uninspected, "dropped_overflow": tally.dropped}
    assert tally.uninspected > 0
    assert tally.by_reason == {reason: count for reason, count in left_out.items() if count}
    assert tally.frames == tally.inspected + sum(left_out.values())
    sys.stdout.write(f"\n{kills} kills, {tally.frames} frames, without a judge: {left_out}\n")


def test_a_dead_previous_model_is_not_offered(tmp_path: Path, broker: Mosquitto) -> None:
    """`previous` in model/state names a slot that a rollback could point to at once, or nothing."""
    with RunningDaemon(tmp_path, broker) as mill:
        daemon = mill.start()
        previous = judging(daemon)
        assert mill.ask("swap", model=B2)["status"] == "succeeded"
        mill.until_event("confirmed", model=B2)
        kill(previous)
        mill.until_event("slot_lost", model=B1)
        wait_until(lambda: slot_of_previous(daemon) is None, "a previous model without a slot")
        assert mill.ask("rollback")["status"] == "succeeded"
        mill.until_judged_by(B1)
