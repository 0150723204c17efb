"""`edge-daemon camera …`: what the camera offers, what is set, and a picture without a model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from edge_daemon.cli.exits import WrongUsage
from edge_daemon.cli.look import CameraSample, look_through
from edge_daemon.cli.options import AsJson, ConfigFile, read_settings
from edge_daemon.cli.output import busy, show, tell, tell_json
from edge_daemon.cli.station import Station
from edge_daemon.cli.tables import Column, FittedTable
from edge_daemon.cli.words import NOTHING
from edge_daemon.config import CameraSettings, Settings, kind_of
from edge_daemon.errors import BoxError
from edge_daemon.frames.images import encode_as
from edge_daemon.frames.sources import offered
from edge_daemon.frames.v4l2 import Control, Mode, Offer, PixelFormat

LOOK_S = 2.0
"""How long the camera may find its exposure before the picture is taken."""
_FRAMING = ("roi", "rotate", "mirror", "mask", "mono")

app = typer.Typer(no_args_is_help=True, add_completion=False)


@app.command("show")
def show_camera(file: ConfigFile = None, as_json: AsJson = False) -> None:
    """What the device offers and what is set, also while the daemon reads it.

    A source that cannot be queried is opened, and its size and rate are shown.
    """
    settings = read_settings(file)
    source = kind_of(settings.camera.source).public(settings.camera.source)
    try:
        offer = offered(settings.camera.source)
    except OSError as error:
        raise BoxError(
            f"{source} is no V4L2 camera: {error.strerror}.",
            hint="`v4l2-ctl --list-devices` names the nodes of each camera.",
        ) from error
    if offer is not None:
        _show_offer(source, offer, settings.camera, as_json=as_json)
    else:
        _show_look(source, _looked(settings.camera), as_json=as_json)


def _show_offer(source: str, offer: Offer, settings: CameraSettings, *, as_json: bool) -> None:
    if as_json:
        tell_json({"source": source, **_plain(offer)}, indent=2)
        return
    tell(f"{offer.card} at {source}: {_mode(offer.mode)}.")
    columns = [Column("Format"), Column("Size", whole=True), Column("Frames a second", free=True)]
    rows = [row for one in offer.formats for row in _sizes(one)]
    show("", FittedTable(columns, rows))
    columns = [
        Column("Control", whole=True),
        Column("Now"),
        Column("Takes", free=True),
        Column("Default", rank=2),
        Column("", rank=1),
    ]
    show("", FittedTable(columns, [_control(one, settings) for one in offer.controls]))


def _mode(mode: Mode) -> str:
    rate = f", {mode.fps:g} frames a second" if mode.fps else ""
    return f"{mode.width}x{mode.height} {mode.fourcc}{rate}"


def _sizes(one: PixelFormat) -> list[list[str]]:
    return [
        [one.fourcc, str(size), ", ".join(f"{fps:g}" for fps in size.fps) or NOTHING]
        for size in one.sizes
    ]


def _control(control: Control, settings: CameraSettings) -> list[str]:
    state = "automatic" if control.is_inactive else "" if control.is_settable else "read only"
    if control.name in settings.controls:
        state = f"settings: {settings.controls[control.name]}"
    now = NOTHING if control.value is None else str(control.value)
    return [control.name, now, control.range, str(control.default), state]


def _plain(offer: Offer) -> dict[str, Any]:
    """The offer for a program; what is counted in the kernel's own numbers is left out."""
    controls = [
        {
            "name": one.name,
            "value": one.value,
            "minimum": one.minimum,
            "maximum": one.maximum,
            "step": one.step,
            "default": one.default,
            "menu": one.menu,
            "settable": one.is_settable,
            "inactive": one.is_inactive,
        }
        for one in offer.controls
    ]
    formats = [asdict(one) for one in offer.formats]
    return {
        "card": offer.card,
        "mode": asdict(offer.mode),
        "formats": formats,
        "controls": controls,
    }


def _show_look(source: str, look: CameraSample, *, as_json: bool) -> None:
    assert look.shape is not None
    width, height = look.shape.width, look.shape.height
    if as_json:
        mode = {"width": width, "height": height, "fps": round(look.fps, 2)}
        tell_json({"source": source, "mode": mode}, indent=2)
        return
    tell(f"{source.rstrip(':')}: {width}x{height}, {look.fps:.1f} frames a second.")
    tell("It cannot be asked what else it offers; that is set at the camera itself.")


@app.command()
def preview(
    picture: Annotated[Path, typer.Argument(metavar="FILE", help="The .jpg or .png to write.")],
    file: ConfigFile = None,
    whole: Annotated[
        bool,
        typer.Option("--whole", help="The whole picture: without roi, rotate, mirror, mask, mono."),
    ] = False,
) -> None:
    """Take one picture as it would be judged, without a model and without the daemon.

    `--whole` shows the full picture of the source, for example to choose a region in it.
    """
    if not picture.parent.is_dir():
        raise WrongUsage(f"The folder {picture.parent} is not there.", hint="Give another FILE.")
    settings = read_settings(file)
    _refuse_busy(settings)
    camera = settings.camera
    if whole:
        usual = {key: type(camera).model_fields[key].default for key in _FRAMING}
        camera = camera.model_copy(update=usual)
    look = _looked(camera)
    if look.picture is None:
        raise BoxError(
            f"{look.source} opens, but no frame comes.", hint="Check the path in camera.source."
        )
    try:
        coded = encode_as(picture.suffix, look.picture)
    except ValueError as error:
        raise WrongUsage(f"{picture}: {error}.", hint="Name it .jpg or .png.") from error
    picture.write_bytes(coded)
    height, width = look.picture.shape[:2]
    tell(f"{picture}: {width}x{height}, {len(coded)} bytes.")
    for remark in look.remarks:
        tell(f"Not as set: {remark}.", err=True)


def _refuse_busy(settings: Settings) -> None:
    """A device that the daemon reads cannot be opened twice."""
    if not kind_of(settings.camera.source).is_exclusive:
        return
    seen = Station(settings).seen()
    if seen is not None and seen.is_online:
        raise BoxError(
            f"The daemon of {settings.device} runs and reads this camera.",
            hint="edge-daemon snapshot -o FILE gives its picture; "
            f"or systemctl stop edge-daemon@{settings.device} first.",
        )


def _looked(camera: CameraSettings) -> CameraSample:
    """A short look through the camera; raises what went wrong."""
    with busy("Looking through the camera"):
        look = look_through(camera, LOOK_S)
    if look.fault is not None:
        raise look.fault
    return look
