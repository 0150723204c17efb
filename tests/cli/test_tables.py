"""Every table at 60, 80 and 120 columns: no line is longer, and no word is broken."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from io import StringIO

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType
from typer.testing import CliRunner

from edge_daemon.cli import audit, history, models, words
from edge_daemon.cli.drill import show_report
from edge_daemon.cli.drill_ledger import Tally
from edge_daemon.cli.drill_run import Report
from edge_daemon.cli.main import app
from edge_daemon.cli.tables import Column, FittedTable
from tests.sim.device import Device, wait_until

WIDTHS = (60, 80, 120)
B1, B2 = "bottle@1.0.0", "bottle@1.1.0"
LONG = "bottle-front-inspection@2026.11.28"

RECEIPT = {
    "swap_id": "4347ad35da0c-10",
    "cutover_at": "2026-11-02T10:00:00Z",
    "from": "bottle-front-inspection@2026.11.1",
    "to": LONG,
    "cutover_frame": 12_345_678,
    "pause_ms": 12.0,
    "by": "edge-daemon (desired state)",
    "trial": "confirmed",
}
REFUSAL = {
    "swap_id": "4347ad35da0c-10",
    "time": "2026-11-02T10:00:00Z",
    "model": LONG,
    "code": "digest_mismatch",
    "message": "The weights of the bundle are not what its model.yaml says of them, byte 12345.",
    "checks": [
        {
            "name": "recall.scratch_straight",
            "passed": False,
            "measured": 0.8125,
            "limit": "at least 0.95 of the 16",
            "note": "3 of 16 golden images of scratch_straight were seen by nobody",
        },
        {"name": "integrity", "passed": True, "measured": 1.0, "limit": 1, "note": ""},
    ],
}
AUDIT = {
    "seq": 1234,
    "time": "2026-11-02T10:00:00Z",
    "kind": "unquarantine",
    "body": {
        "model": "bottle-front@2026.11.28",
        "sha256": "a3" * 32,
        "by": "kim",
        "reason": "the new scratch type that the night shift has seen",
        "checks": [{"passed": True}],
    },
}
LINE = {
    "model": LONG,
    "size": 6_543_210,
    "classes": ["bottle", "scratch_straight", "scratch_curved", "dent", "label"],
    "products": ["BTL-500", "BTL-750", "BTL-1000"],
    "roles": ["active", "selected", "below the floor"],
    "quarantined": None,
}

TALLY = Tally(12_345, {B1: 12_000, LONG: 345}, {}, 20, (0.1, 0.5, 12.25))

MADE: dict[str, Callable[[], RenderableType | None]] = {
    "receipts": lambda: history.history_table([RECEIPT, {**RECEIPT, "by": None}]),
    "refusals": lambda: history.refusal_table([REFUSAL]),
    "audit": lambda: audit.audit_table([AUDIT]),
    "models": lambda: models.models_table([LINE]),
    "checks": lambda: words.checks_table(REFUSAL["checks"], only_failed=False),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", MADE)
def test_words_stay_whole_and_lines_short(name: str, width: int) -> None:
    """Of what is usual on a line: long names, times with their date, sentences."""
    made = MADE[name]()
    assert made is not None
    fits(rendered(made, width), rendered(made, 1000), width)


@pytest.mark.parametrize("width", WIDTHS)
def test_what_matters_most_is_there_at_every_width(width: int) -> None:
    """When and to which model; why something was refused; what a check is called."""
    receipts = rendered(MADE["receipts"](), width)
    assert "2026-11-02" in receipts
    assert LONG in receipts
    refusals = rendered(MADE["refusals"](), width)
    assert LONG in refusals
    assert "model.yaml" in refusals
    assert "recall.scratch_straight" in rendered(MADE["checks"](), width)


def test_a_wide_terminal_and_a_pipe_see_every_column() -> None:
    """Nothing is left out where there is room."""
    heading = rendered(MADE["receipts"](), 200).splitlines()[0].split()
    assert heading == ["when", "swap", "from", "to", "frame", "pause", "by", "trial"]


def test_a_word_that_is_longer_than_the_terminal_is_broken_and_the_table_keeps_to_it() -> None:
    """Nothing else can be done; the other columns are whole."""
    table = FittedTable((Column("a"), Column("b")), [("x" * 100, "whole")])
    shown = rendered(table, 40)
    assert max(map(cell_len, shown.splitlines())) <= 40
    assert "whole" in shown
    assert shown.count("x") == 100


SHOWN = (
    ("status",),
    ("models", "list"),
    ("models", "show", B2),
    ("models", "history"),
    ("models", "history", "--refused"),
    ("audit",),
    ("orders", "test", "{folder}/order.json", "--topic", "mes/orders"),
)


@pytest.fixture(scope="module")
def device() -> Iterator[Device]:
    with Device(B1, B2) as device:
        device.await_active(B1)
        body = {"workOrder": "WO-2026-11-28-001", "productCode": "BTL", "status": "running"}
        (device.folder / "order.json").write_text(json.dumps(body))
        run(device, 80, "swap", B2, "--local", "--by", "night-shift", "--reason", "new scratches")
        run(device, 80, "swap", "bottle@9.9.9", "--local")
        wait_until(lambda: "on trial" not in run(device, 1000, "status"), "the end of the trial")
        yield device


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("command", SHOWN, ids=" ".join)
def test_commands_keep_to_the_terminal(
    device: Device, command: tuple[str, ...], width: int
) -> None:
    """As they are typed, on a station that runs."""
    fits(run(device, width, *command), run(device, 1000, *command), width)


@pytest.mark.parametrize("width", WIDTHS)
def test_the_report_of_a_drill_keeps_to_the_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Headings beside what was counted."""
    report = Report(
        pair=(B1, LONG),
        tally=TALLY,
        asked=20,
        outcomes=Counter(succeeded=20),
        accepted_ms=[1.0],
        active_ms=[2.0],
        rollback_frames=[3],
        planted=Counter(killed=2),
        seconds=9.0,
    )
    monkeypatch.setenv("COLUMNS", "1000")
    show_report(report)
    wide = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", str(width))
    show_report(report)
    fits(capsys.readouterr().out, wide, width)


def rendered(made: RenderableType | None, width: int) -> str:
    assert made is not None
    out = StringIO()
    Console(file=out, width=width).print(made)
    return out.getvalue()


def run(device: Device, width: int, *command: str) -> str:
    command = tuple(word.format(folder=device.folder) for word in command)
    result = CliRunner(env={"COLUMNS": str(width)}).invoke(
        app, [*command, "--config", str(device.config)]
    )
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.stdout


def fits(shown: str, wide: str, width: int) -> None:
    assert max(map(cell_len, shown.splitlines())) <= width, shown
    whole = set(wide.split())
    too_long = "".join(word for word in whole if len(word) > 48)  # a digest in full
    broken = {
        word
        for word in set(shown.split()) - whole
        if word not in too_long and not word.strip("():.%").isdigit()  # what counts on meanwhile
    }
    assert not broken, f"{broken}\n{shown}"
