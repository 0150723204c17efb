"""The table in the terminal, and the plots."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from bench_rig.lines import FAULTS_S
from bench_rig.records import Swapped
from bench_rig.story import Told
from edge_daemon.cli.drill_run import quantile

NAMES = {
    "restart": "restart the process",
    "in_loop": "stop, load in the loop, resume",
    "locked": "load in a thread, swap under a lock",
    "lock_free": "load in a thread, free later",
    "process": "edge-daemon, process slots",
    "thread": "edge-daemon, thread slots",
}
_COLOURS = ("#b03a2e", "#ca6f1e", "#b7950b", "#7d6608", "#1e8449", "#2471a3")


def number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def mib(value: int | None) -> str:
    return "-" if value is None else f"{value / (1 << 20):+.0f}"


def _worst(values: list[float]) -> float | None:
    return max(values, default=None)


def _middle(values: list[float]) -> float | None:
    return median(values) if values else None


def swaps_table(told: list[Told], kind: str, title: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, header_style="dim", pad_edge=False)
    table.add_column("pattern", no_wrap=True)
    for heading in (
        "swaps", "lost frames", "longest gap ms", "pause ms", "ms p50 p99 p99.9 before",
        "… while loading", "… after", "first ÷ steady", "request → active ms", "back ms",
        "MiB grown",
    ):  # fmt: skip
        table.add_column(heading, justify="right")
    for line in told:
        swaps = line.of(kind)
        if not swaps:
            table.add_row(NAMES[line.pattern], "0")
            continue
        back = [each.active_ms for each in line.of("back")]
        table.add_row(
            NAMES[line.pattern],
            str(len(swaps)),
            str(sum(each.lost for each in swaps)),
            number(_worst([each.gap_ms for each in swaps])),
            _two([each.pause_ms for each in swaps]),
            _three(line.before_ms()),
            _three([ms for each in swaps for ms in each.during]),
            _three([ms for each in swaps for ms in each.after]),
            _two([each.first_ratio for each in swaps], 2),
            number(_middle([each.active_ms for each in swaps]), 0),
            number(_middle(back), 0),
            mib(line.grown_bytes),
        )
    return table


def _two(values: list[float], digits: int = 1) -> str:
    return f"{number(_middle(values), digits)} (≤ {number(_worst(values), digits)})"


def _three(values: list[float]) -> str:
    return " ".join(number(quantile(values, share), 0) for share in (0.5, 0.99, 0.999))


def faults_table(told: list[Told]) -> Table:
    seconds = ", ".join(f"{each:g}" for each in FAULTS_S.values())
    title = f"Bad models: frames without a verdict in the {seconds} s after the request"
    table = Table(title=title, title_justify="left", box=None, header_style="dim", pad_edge=False)
    table.add_column("pattern", no_wrap=True)
    for heading in ("corrupt file", "fails at its first inference", "loader hangs"):
        table.add_column(heading, justify="right")
    for line in told:
        if line.faults:
            cells = [
                f"{fault.lost} of {fault.frames}, {fault.answer}"
                + (", restarted by hand" if fault.needed_restart else "")
                for fault in line.faults
            ]
            table.add_row(NAMES[line.pattern], *cells)
    return table


def show(console: Console, told: list[Told]) -> None:
    for fps in sorted({line.fps for line in told}):
        lines = [line for line in told if line.fps == fps]
        for kind, words in (("same", "the same size"), ("large", "four times as large")):
            if any(line.of(kind) for line in lines):
                title = f"\n{fps:g} frames a second, the next model {words}"
                console.print(swaps_table(lines, kind, title))
    if any(line.faults for line in told):
        console.print()
        console.print(faults_table(told))


# --------------------------------------------------------------------------- for BENCHMARKS.md

_HEADS = (
    "", "swaps", "frames lost", "of it larger model", "longest gap, ms", "p99 before, ms",
    "p99 while loading, ms", "first inference ÷ steady", "request → active, ms", "back, ms",
    "lost to bad models",
)  # fmt: skip


def markdown(told: list[Told]) -> str:
    """The lowest rate's table, both sizes of the next model together."""
    lowest = min(line.fps for line in told)
    lines = [line for line in told if line.fps == lowest]
    made = ["| " + " | ".join(_HEADS) + " |", "|---" * len(_HEADS) + "|"]
    for line in lines:
        forth = [*line.of("same"), *line.of("large")]
        back = [*line.of("back"), *line.of("rollback")]
        cells = (
            NAMES[line.pattern],
            str(len(forth) + len(back)),
            str(sum(each.lost for each in [*forth, *back])),
            str(sum(each.lost for each in line.of("large"))),
            number(_worst([each.gap_ms for each in forth]), 0),
            number(quantile(line.before_ms(), 0.99), 0),
            number(quantile([ms for each in forth for ms in each.during], 0.99), 0),
            number(_middle([each.first_ratio for each in forth]), 2),
            number(_middle([each.active_ms for each in forth]), 0),
            number(_middle([each.active_ms for each in back]), 0),
            " ".join(str(fault.lost) for fault in line.faults) or "-",
        )
        made.append("| " + " | ".join(cells) + " |")
    return "\n".join(made)


# --------------------------------------------------------------------------- plots


def plot(told: list[Told], folder: Path) -> list[Path]:
    """One picture a rate: the latency of each frame round a typical swap; and one of the gaps."""
    import matplotlib as mpl

    mpl.use("Agg")
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for fps in sorted({line.fps for line in told}):
        lines = [line for line in told if line.fps == fps and line.of("same")]
        if lines:
            made.append(_plot_swaps(lines, folder / f"swaps-{fps:g}fps.png"))
    return made


def _plot_swaps(lines: list[Told], path: Path) -> Path:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(
        len(lines), 1, sharex=True, sharey=True, figsize=(8, 1.05 * len(lines) + 0.9)
    )
    for row, line in zip(axes if len(lines) > 1 else [axes], lines, strict=True):
        colour = _COLOURS[list(NAMES).index(line.pattern)]
        change = _typical(line)
        run = line.run
        window = run.numbers(change.asked_at - 1.0, change.asked_at + 7.0)
        judged = [f for f in run.seen if f.number in window]
        here = {frame.number for frame in judged}
        times = [run.due_at(f.number) - change.asked_at for f in judged]
        row.scatter(times, [run.latency_ms(f) for f in judged], s=3, color=colour)
        lost = [run.due_at(n) - change.asked_at for n in window if n not in here]
        row.vlines(lost, 5, 8, color="#c0392b", linewidth=0.8)
        first = run.first_of(change.model, change.asked_at)
        if first is not None:
            row.axvline(first.done_at - change.asked_at, color="#555555", linewidth=0.7)
        row.axvline(0.0, color="#bbbbbb", linewidth=0.7)
        row.set_yscale("log")
        words = NAMES[line.pattern] + (f" · {len(lost)} frames lost" if lost else "")
        row.set_title(words, loc="left", fontsize=8, pad=2)
        row.tick_params(labelsize=7)
        for side in ("top", "right"):
            row.spines[side].set_visible(False)
    figure.supylabel("ms from a frame being due to its verdict", fontsize=8)
    figure.supxlabel(
        f"seconds from the request (dark line: the new model judges); {lines[0].fps:g} frames a"
        " second; red: frames without a verdict", fontsize=8,
    )  # fmt: skip
    figure.tight_layout(h_pad=0.4)
    figure.savefig(path, dpi=90)
    plt.close(figure)
    return path


def _typical(line: Told):  # type: ignore[no-untyped-def]
    """The swap whose request → active is the median."""
    changes = [c for c in line.changes if c.kind == "same" and c.outcome == "active"]
    swaps: list[Swapped] = line.of("same")
    order = sorted(range(len(swaps)), key=lambda at: swaps[at].active_ms)
    return changes[min(order[len(order) // 2], len(changes) - 1)]
