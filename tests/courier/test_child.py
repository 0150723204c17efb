"""The courier as the daemon keeps it: whatever it does, nobody waits for it and no byte is lost
from the count."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge_daemon.core.values import BundleRef
from edge_daemon.courier import child, wire
from edge_daemon.courier.child import CourierProcess
from edge_daemon.courier.site import Neighbour
from edge_daemon.courier.staging import Wanted
from edge_daemon.host import interpreter

WANTED = Wanted(BundleRef("bottle", "1.4.0"), "9f" * 32)
PREAMBLE = """
import socket, sys, time
from pathlib import Path
from edge_daemon.courier import wire

end = socket.socket(fileno=int(sys.argv[2]))
lives = Path(sys.argv[5])
life = int(lives.read_text() or 0) + 1
lives.write_text(str(life))
"""
DEAF = """
if life == 1:
    time.sleep(600)
wire.send(end, wire.Progress(phase="have"))
while wire.receive_order(end) is not None:
    pass
"""
LATE = """
while not lives.with_suffix(".go").exists():
    time.sleep(0.01)
port, phase = 0, "idle"
while (order := wire.receive_order(end)) is not None:
    if isinstance(order, wire.Neighbours) and order.places:
        port = order.places[0].port
    elif isinstance(order, wire.Want):
        phase = "fetching"
    wire.send(end, wire.Progress(phase=phase, port=port))
"""
SHORT_LIVED = """
if life == 2:
    wire.send(end, wire.Progress())
else:
    came = wire.Progress(phase="fetching", sha256="9f" * 32, origin=1000 * life, peers=life)
    wire.send(end, came)
if life < 3:
    sys.exit(1)
time.sleep(600)
"""
PATIENCE_S = 60.0
MANY = 2000


@contextmanager
def courier(program: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[CourierProcess]:
    """One whose program is this."""
    lives = folder / "lives"
    lives.write_text("")

    def command(_: str, *arguments: str) -> list[str]:
        return interpreter.code_command(PREAMBLE + program, *arguments, str(lives))

    patch.setattr(interpreter, "module_command", command)
    patch.setattr(child, "FIRST_S", 0.01)
    made = CourierProcess(wire.Setup("cam1", str(folder), (), False, ()))
    made.want(WANTED)
    made.start()
    try:
        yield made
    finally:
        made.stop()


def until(holds: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.02)):
        if holds():
            return
        pause.wait(0.02)
    raise AssertionError("it does not come to that")


def places(number: int) -> list[Neighbour]:
    return [Neighbour("cam2", "10.2.3.14", number)] * 200


def tell_much(made: CourierProcess, folder: Path) -> None:
    """More than there is room for, without waiting."""
    until(lambda: (folder / "lives").read_text() == "1")

    def tell() -> None:
        for number in range(MANY):
            made.know(places(number + 1))

    telling = threading.Thread(target=tell, daemon=True)
    telling.start()
    telling.join(PATIENCE_S)
    assert not telling.is_alive()


def test_one_that_reads_nothing_is_ended_and_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that tells it of neighbours has a line to look after."""
    monkeypatch.setattr(child, "UNREAD_S", 0.0)
    with courier(DEAF, tmp_path, monkeypatch) as made:
        tell_much(made, tmp_path)
        until(lambda: made.progress().phase == "have")
        assert made.starts > 1


def test_one_that_reads_late_hears_the_newest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with courier(LATE, tmp_path, monkeypatch) as made:
        tell_much(made, tmp_path)
        (tmp_path / "lives").with_suffix(".go").touch()

        def hears_the_newest() -> bool:
            made.know(places(MANY))
            return made.progress().port == MANY and made.progress().phase == "fetching"

        until(hears_the_newest)
        assert made.starts == 1


def test_bytes_are_counted_over_its_deaths_though_one_came_before_it_had_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with courier(SHORT_LIVED, tmp_path, monkeypatch) as made:
        until(lambda: made.starts == 3 and made.progress().phase == "fetching")
        assert (made.progress().origin, made.progress().peers) == (4000, 4)
