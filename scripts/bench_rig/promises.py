"""The daemon's own figures, each against what it promises."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from rich.table import Table

from bench_rig.story import FAULTS, Told
from edge_daemon.cli.drill_run import quantile


@dataclass(frozen=True)
class Row:
    """One promise; `holds` is None where nothing was measured."""

    promise: str
    limit: str
    measured: str
    n: int
    holds: bool | None

    def plain(self) -> dict[str, object]:
        return vars(self)


def rows(lines: Iterable[Told], cores: int) -> list[Row]:
    """From the lines of the daemon with process slots, at all rates."""
    told = [line for line in lines if line.pattern == "process"]
    if not told:
        return []
    return [
        *_losses(told),
        _pause(told),
        _during(told, cores),
        _first(told),
        _accepted(told),
        _beyond(told),
        _rollback(told),
        *_memory(told),
        _bad(told),
    ]


def _losses(told: list[Told]) -> list[Row]:
    swaps = [each for line in told for each in line.swapped]
    asked = [each for line in told for each in line.changes if each.kind not in FAULTS]
    refused = [each for each in asked if each.outcome != "active"]
    lost = sum(each.lost for each in swaps)
    frames = sum(len(line.run.seen) for line in told)
    return [
        Row("frames lost over all swaps", "0", f"{lost} of {frames}", len(swaps), lost == 0),
        Row("swaps that were asked for and made", "all", f"{len(asked) - len(refused)}",
            len(asked), not refused),
    ]  # fmt: skip


def _row(promise: str, limit: str, values: list[float], most: float, share: float) -> Row:
    if not values:
        return Row(promise, limit, "-", 0, None)
    found = quantile(values, share) or 0.0
    words = f"{found:.2f} (median {median(values):.2f}, worst {max(values):.2f})"
    return Row(promise, limit, words, len(values), found <= most)


def _pause(told: list[Told]) -> Row:
    pauses = [each.told_pause_ms for line in told for each in line.swapped
              if each.told_pause_ms is not None]  # fmt: skip
    return _row("pause at a cutover, ms", "p99 < 1", pauses, 1.0, 0.99)


def _during(told: list[Told], cores: int) -> Row:
    lowest = min(told, key=lambda line: line.fps)
    before = lowest.before_ms()
    during = [ms for each in lowest.of("same") for ms in each.during]
    name = f"live p99 while the next model loads, ms ({cores} cores)"
    if not before or not during:
        return Row(name, "≤ 1.10 times and + 5", "-", 0, None)
    was, now = quantile(before, 0.99) or 0.0, quantile(during, 0.99) or 0.0
    holds = now <= 1.10 * was and now <= was + 5.0
    words = f"{now:.1f} after {was:.1f}: {now / was:.2f} times"
    limit = "≤ 1.10 times and + 5" + ("" if cores > 2 else ", with a core to spare")
    return Row(name, limit, words, len(during), holds)


def _first(told: list[Told]) -> Row:
    ratios = [each.first_ratio for line in told for each in line.swapped]
    return _row("first inference over the steady median", "≤ 1.2 (median)", ratios, 1.2, 0.5)


def _accepted(told: list[Told]) -> Row:
    taken = [ms for line in told for ms in line.accepted_ms]
    return _row("request → accepted, ms", "p99 ≤ 20", taken, 20.0, 0.99)


def _beyond(told: list[Told]) -> Row:
    beyond = [each.beyond_ms for line in told for each in line.changes
              if each.kind in ("same", "large") and each.beyond_ms is not None]  # fmt: skip
    return _row("request → active beyond load, warm-up and gate, ms", "≤ 300", beyond, 300.0, 1.0)


def _rollback(told: list[Told]) -> Row:
    waited = [float(each.frames_waited) for line in told for each in line.swapped
              if each.kind in ("back", "rollback")]  # fmt: skip
    return _row("back to a resident version, frames after the request", "≤ 1", waited, 1.0, 0.99)


def _memory(told: list[Told]) -> list[Row]:
    swaps = sum(len(line.swapped) for line in told)
    measured = (
        ("memory after all swaps, MiB", 16, [line.grown_bytes for line in told]),
        ("GPU memory after all swaps, MiB", 1, [line.device_grown_bytes for line in told]),
    )
    found = []
    for name, limit, sizes in measured:
        grown = [size / (1 << 20) for size in sizes if size is not None]
        if grown:
            words = ", ".join(f"{each:+.1f}" for each in grown)
            found.append(Row(name, f"≤ {limit}", words, swaps, max(grown) <= limit))
    return found


def _bad(told: list[Told]) -> Row:
    faults = [each for line in told for each in line.faults]
    name = "frames lost to a corrupt, a failing and a hanging model"
    if not faults:
        return Row(name, "0", "-", 0, None)
    lost = sum(each.lost for each in faults)
    words = f"{lost}; refused: {', '.join(each.answer for each in faults)}"
    refused = all(each.answer != "active" for each in faults)
    return Row(name, "0", words, len(faults), lost == 0 and refused)


def table(found: list[Row]) -> Table:
    made = Table(title="\nWhat edge-daemon promises", title_justify="left", box=None,
                 header_style="dim", pad_edge=False)  # fmt: skip
    for heading in ("promise", "limit", "measured", "n", "holds"):
        made.add_column(heading)
    words = {True: "[green]yes[/]", False: "[red]no[/]", None: "not measured"}
    for row in found:
        made.add_row(row.promise, row.limit, row.measured, str(row.n), words[row.holds])
    return made
