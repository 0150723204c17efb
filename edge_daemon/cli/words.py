"""Figures and receipts in readable form: durations, ages, receipts, failed checks."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from rich.text import Text

from edge_daemon.cli.output import BARS, fitting
from edge_daemon.cli.tables import Column, FittedTable
from edge_daemon.core.wording import duration
from edge_daemon.messaging.times import parse_iso

PASSED, WARNED, FAILED = "√", "‼", "×"  # noqa: RUF001 - meant as signs
NOTHING = "–"  # noqa: RUF001 - a dash


def milliseconds(value: Any) -> str:
    """`0.4 ms`, `12 ms`, `1.25 s`; a dash where nothing was measured."""
    if not isinstance(value, (int, float)):
        return NOTHING
    if value < 10:
        return f"{value:.2g} ms" if value >= 1 else f"{value:.2f} ms"
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.2f} s"


def moment(iso: Any, now_utc: float | None = None, *, ago: bool = True) -> str:
    """A time of a message in this machine's zone, and how long ago it was."""
    local = local_time(iso)
    if local is None:
        return NOTHING
    now = time.time() if now_utc is None else now_utc
    same_day = local.date() == datetime.fromtimestamp(now).date()
    shown = local.strftime("%H:%M:%S" if same_day else "%Y-%m-%d %H:%M")
    age_s = now - local.timestamp()
    return f"{shown} ({duration(age_s)} ago)" if ago and age_s >= 0 else shown


def local_time(iso: Any) -> datetime | None:
    """A time of a message in this machine's zone; None where it is none, or has no local form."""
    utc = parse_iso(iso) if isinstance(iso, str) else None
    if utc is not None:
        with suppress(ValueError, OverflowError, OSError):  # the year 1, west of Greenwich
            return datetime.fromtimestamp(utc).astimezone()
    return None


def sparkline(values: Sequence[float]) -> str:
    """One bar a value, from zero to the largest."""
    top = max(values, default=0.0)
    if top <= 0:
        return BARS[0] * len(values)
    return "".join(BARS[min(7, int(value / top * 7.999))] for value in values)


def size(count_bytes: float) -> str:
    """`512 B`, `6.5 MB`, `1.2 GB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count_bytes < 1000:
            return f"{count_bytes:.0f} {unit}" if unit == "B" else f"{count_bytes:.3g} {unit}"
        count_bytes /= 1000
    return f"{count_bytes:.3g} TB"


_DIGEST = re.compile(r"\b[0-9a-f]{64}\b")


def with_short_digests(text: str) -> str:
    """For people: enough of a digest to tell it from another."""
    return _DIGEST.sub(lambda found: f"{found[0][:12]}…", text)


def receipt_lines(receipt: Mapping[str, Any]) -> Iterator[str]:
    """A receipt in words."""
    left, to = receipt.get("from"), receipt.get("to")
    frame = receipt.get("cutover_frame")
    if frame is None:
        yield f"{to} passed its checks and is ready."
    else:
        came = f"{left} → {to}" if left else f"{to}"
        pause = milliseconds(receipt.get("pause_ms"))
        yield f"{came} from frame {frame} on; the line paused for {pause}."
    stages = {k: v for k, v in (receipt.get("stages_ms") or {}).items() if v is not None}
    if stages:
        yield "Stages: " + ", ".join(f"{k} {milliseconds(v)}" for k, v in stages.items()) + "."
    frames = receipt.get("frames") or {}
    if frames.get("captured"):
        yield (
            f"Meanwhile {frames['captured']} frames: {frames.get('inspected', 0)} inspected, "
            f"{frames.get('dropped', 0)} dropped, {frames.get('uninspected', 0)} uninspected."
        )
    latency = receipt.get("latency_ms") or {}
    if latency.get("during_p99") is not None:
        after = f", {milliseconds(latency['after_p99'])} after" if latency.get("after_p99") else ""
        yield (
            f"p99 latency: {milliseconds(latency.get('before_p99'))} before, "
            f"{milliseconds(latency['during_p99'])} during{after}."
        )
    checks = receipt.get("checks") or []
    if checks:
        passed = sum(bool(check.get("passed")) for check in checks)
        yield f"{passed} of {len(checks)} checks passed. Swap {receipt.get('swap_id')}."
    if gate := receipt.get("gate"):
        yield f"It passed the gate on this box before, at {gate['at']}: this was a spot proof."
    if receipt.get("accepted"):
        yield f"Accepted although they failed: {', '.join(receipt['accepted'])}."


def checks_table(
    checks: Sequence[Mapping[str, Any]], *, only_failed: bool = True
) -> FittedTable | None:
    """The gate's checks as a table; None where there is nothing to show."""
    shown = [check for check in checks if not (only_failed and check.get("passed"))]
    if not shown:
        return None
    columns = (
        *(Column(""), Column("check"), Column("measured", 1), Column("limit", 2)),
        Column("", free=True),
    )
    return FittedTable(columns, [_check_cells(check) for check in shown])


def _check_cells(check: Mapping[str, Any]) -> tuple[Text | str, ...]:
    good, taken = bool(check.get("passed")), bool(check.get("accepted"))
    style = "green" if good else "yellow" if taken else "red"
    return (
        Text(fitting(PASSED if good else FAILED), style=style),
        f"{check.get('name', '')}{' (accepted)' if taken else ''}",
        _figure(check.get("measured")),
        _figure(check.get("limit")),
        Text(str(check.get("note", "")), style="dim"),
    )


def _figure(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
