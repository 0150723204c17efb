"""The station on a terminal: a few quiet lines, colour only where something needs a person."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from edge_daemon.cli.station import Glance
from edge_daemon.cli.words import duration, milliseconds, moment
from edge_daemon.core.roles import Role


def summary(device: str, seen: Glance, extra: tuple[tuple[str, RenderableType], ...] = ()) -> Group:
    """Everything once; `extra` rows come below, as (heading, content)."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for heading, content in (*_rows(seen), *extra):
        grid.add_row(heading, content)
    return Group(_title(device, seen), Text(), grid)


def _title(device: str, seen: Glance) -> Text:
    title = Text(device, style="bold")
    state = str(seen.part("status").get("state") or "online")
    if seen.via == "socket":
        title.append("  running", style="green")
        title.append("  (asked through the control socket)", style="dim")
    else:
        title.append(f"  {state}", style="green" if state == "online" else "red")
        if since := seen.part("status").get("since"):
            title.append(f"  since {moment(since)}", style="dim")
    info = seen.part("info")
    if info:
        title.append(f"  version {info.get('version')}, {info.get('hardware')}", style="dim")
    return title


def _rows(seen: Glance) -> Iterator[tuple[str, RenderableType]]:
    state = seen.part("model/state")
    for role in Role:
        yield role.value, _model(role, state.get(role.value))
    yield "product", _product(state)
    yield "camera", _camera(seen.part("camera/status"))
    yield from _health(seen.part("health"))
    if held := _quarantined(seen.part("model/available")):
        yield "quarantined", held


def _model(role: Role, model: Any) -> Text:
    if not isinstance(model, Mapping):
        return Text("none", style="red" if role is Role.ACTIVE else "dim")
    line = Text(str(model.get("model")), style="bold" if role is Role.ACTIVE else "")
    slot = model.get("slot")
    line.append(f"  slot {slot}" if slot else "  not resident", style="dim")
    if model.get("since"):
        line.append(f"  since {moment(model['since'])}", style="dim")
    if model.get("trial"):
        line.append("  on trial", style="yellow")
    return line


def _product(state: Mapping[str, Any]) -> Text:
    product, order = state.get("product"), state.get("job_order")
    line = Text(str(product) if product else "none", style="" if product else "dim")
    if order:
        line.append(f"  order {order}")
    if state.get("held"):
        line.append("  held: orders change nothing", style="yellow")
    return line


def _camera(camera: Mapping[str, Any]) -> Text:
    state = str(camera.get("state") or "unknown")
    line = Text(state, style="" if state == "online" else "red")
    if camera.get("width"):
        line.append(f"  {camera['width']} x {camera['height']}")
    line.append(f"  {camera.get('source', '')}", style="dim")
    if camera.get("error"):
        line.append(f"  {camera['error']}", style="red")
    return line


def _health(health: Mapping[str, Any]) -> Iterator[tuple[str, RenderableType]]:
    if not health:
        return
    frames = health.get("frames") or {}
    line = Text(f"{frames.get('inspected', 0)} inspected of {frames.get('captured', 0)}")
    for word in ("dropped", "uninspected"):
        count = frames.get(word, 0)
        line.append(f"  {count} {word}", style="yellow" if count else "dim")
    yield "frames", line
    latency = health.get("latency_ms")
    if isinstance(latency, Mapping):
        spread = f"p50 {milliseconds(latency.get('p50'))}  p99 {milliseconds(latency.get('p99'))}"
        yield "latency", Text(f"{spread}  max {milliseconds(latency.get('max'))}")
    if lost := health.get("results_lost"):
        yield "results", Text(f"{lost} not delivered to the broker", style="yellow")
    yield "up", Text(duration(float(health.get("uptime_s") or 0.0)), style="dim")
    for problem in health.get("problems") or ():
        yield "problem", Text(str(problem), style="red")


def _quarantined(available: Mapping[str, Any]) -> Text | None:
    lines = [
        f"{line.get('model')}: {line['quarantined']}"
        for line in available.get("models") or ()
        if line.get("quarantined")
    ]
    return Text("\n".join(lines), style="yellow") if lines else None
