"""The station on a terminal: a few lines, coloured only where somebody must act."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.text import Text

from edge_daemon.cli.station import RetainedStatus
from edge_daemon.cli.tables import facts
from edge_daemon.cli.words import milliseconds, moment
from edge_daemon.core.roles import Role
from edge_daemon.core.wording import duration
from edge_daemon.messaging.payloads import ActiveModel, CameraStatus, Health, ModelState, RoleModel


def summary(
    device: str, seen: RetainedStatus, extra: tuple[tuple[str, RenderableType], ...] = ()
) -> Group:
    """Everything once; `extra` rows come below, as (heading, content)."""
    return Group(_title(device, seen), Text(), facts((*_rows(seen), *extra)))


def _title(device: str, seen: RetainedStatus) -> Text:
    title = Text(device, style="bold")
    status, info = seen.status, seen.info
    if seen.via == "socket":
        title.append("  running", style="green")
        title.append("  (asked through the control socket)", style="dim")
    else:
        state = status.state if status is not None else "online"
        title.append(f"  {state}", style="green" if state == "online" else "red")
        if status is not None and status.since:
            title.append(f"  since {moment(status.since)}", style="dim")
    if info is not None:
        title.append(f"  version {info.version}, {info.hardware}", style="dim")
    return title


def _rows(seen: RetainedStatus) -> Iterator[tuple[str, RenderableType]]:
    state = seen.model
    for role in Role:
        yield role.value, _model(role, state.of(role))
    yield "product", _product(state)
    yield "camera", _camera(seen.camera)
    if seen.health is not None:
        yield from _health(seen.health)
    if held := seen.quarantined:
        lines = [f"{model}: {why}" for model, why in held.items()]
        yield "quarantined", Text("\n".join(lines), style="yellow")


def _model(role: Role, bundle: RoleModel | None) -> Text:
    if bundle is None:
        return Text("none", style="red" if role is Role.ACTIVE else "dim")
    line = Text(bundle.model, style="bold" if role is Role.ACTIVE else "")
    line.append(f"  slot {bundle.slot}" if bundle.slot else "  not resident", style="dim")
    if bundle.since:
        line.append(f"  since {moment(bundle.since)}", style="dim")
    if isinstance(bundle, ActiveModel) and bundle.trial:
        line.append("  on trial", style="yellow")
    return line


def _product(state: ModelState) -> Text:
    line = Text(state.product or "none", style="" if state.product else "dim")
    if state.job_order:
        line.append(f"  order {state.job_order}")
    if state.held:
        line.append("  held: orders change nothing", style="yellow")
    return line


def _camera(camera: CameraStatus | None) -> Text:
    if camera is None:
        return Text("unknown", style="red")
    line = Text(camera.state, style="" if camera.state == "online" else "red")
    if camera.width:
        line.append(f"  {camera.width} x {camera.height}")
    line.append(f"  {camera.source}", style="dim")
    if camera.error:
        line.append(f"  {camera.error}", style="red")
    return line


def _health(health: Health) -> Iterator[tuple[str, RenderableType]]:
    frames = health.frames
    line = Text(f"{frames.inspected} inspected of {frames.captured}")
    for word, count in (("dropped", frames.dropped), ("uninspected", frames.uninspected)):
        line.append(f"  {count} {word}", style="yellow" if count else "dim")
    yield "frames", line
    if (latency := health.latency_ms) is not None:
        spread = f"p50 {milliseconds(latency.p50)}  p99 {milliseconds(latency.p99)}"
        yield "latency", Text(f"{spread}  max {milliseconds(latency.max)}")
    if health.results_lost:
        yield "results", Text(f"{health.results_lost} not delivered to the broker", style="yellow")
    yield "up", Text(duration(health.uptime_s), style="dim")
    for problem in health.problems:
        yield "problem", Text(problem, style="red")
