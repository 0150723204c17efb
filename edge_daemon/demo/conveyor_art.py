"""How the drawn production line looks: `Painter` lays planned parts over a backdrop.

A form is cast once per frame size, as zones and shades; a part is a cast in its own colours, marked
with its defects and turned to its pose. Nothing here is left to chance.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_daemon.demo.conveyor_parts import (
    BOTTLES,
    FORMS,
    RIM,
    Colour,
    Form,
    Mark,
    Plan,
    Point,
    bottle_profile,
    bounds,
    placed,
)

Image = NDArray[np.uint8]
Plane = NDArray[np.floating[Any]]

BELT_Y: Final = 424.0  # where parts stand
_PAD: Final = 4.0
_NOISE_MIDDLE: Final = 32
_TILE: Final = 128  # pixels of the sensor's noise before it repeats
_CLEAT: Final = 64  # from one mark on the belt to the next
_SPRITES: Final = 24  # kept; more than are ever in view at 16:9


@dataclass(frozen=True)
class _Cast:
    """A form as pixels: which zone and shade each pixel has (zone * 64 + shade), and its cover."""

    tones: Image
    cover: Image


@dataclass(frozen=True)
class _Sprite:
    """A finished part: premultiplied colour and what shows through, to be laid at `corner`."""

    colour: Image
    through: Image
    corner: tuple[int, int]  # of the upper left pixel, from the foot's middle, in pixels


def _grid(form: Form, scale: float) -> tuple[Plane, Plane]:
    """The x and y, in reference pixels, of each pixel of a form's cast."""
    width = math.ceil(2 * (form.radius + _PAD) * scale)
    height = math.ceil((form.height + 2 * _PAD) * scale)
    x = (np.arange(width, dtype=np.float32) + 0.5) / scale - (form.radius + _PAD)
    y = (form.height + _PAD) - (np.arange(height, dtype=np.float32) + 0.5) / scale
    return x[None, :], y[:, None]


def _bell(u: Plane, middle: float, width: float) -> Plane:
    return np.asarray(np.exp(-(((u - middle) / width) ** 2)), np.float32)


def _arch(u: Plane) -> Plane:
    return np.asarray(np.sqrt(1 - u**2), np.float32)


def _cover(form: Form, scale: float, shape: tuple[int, int]) -> Image:
    cover = np.zeros(shape, np.uint8)
    r, h = form.radius + _PAD, form.height + _PAD
    points = np.array([((x + r) * scale - 0.5, (h - y) * scale - 0.5) for x, y in form.outline])
    fixed = np.round(points * 16).astype(np.int32)
    cv2.fillPoly(cover, [fixed], 255, cv2.LINE_AA, 4)
    return cover


def _tones(shade: Plane, zone: Image) -> Image:
    return np.asarray((np.clip(shade, 0, 1) * 63).astype(np.uint8) + zone * np.uint8(64), np.uint8)


def _bottle_cast(form: Form, scale: float, profile: tuple[float, float, float]) -> _Cast:
    x, y = _grid(form, scale)
    ys, rs = bottle_profile(*profile)
    half: Plane = np.asarray(np.interp(y, np.array(ys), np.array(rs)), np.float32)
    u: Plane = np.clip(x / half, -1, 1)
    body, neck = profile[1], profile[1] + 62 + profile[2]
    zone = np.zeros(u.shape, np.uint8)
    paper = (y > 0.30 * body) & (y < 0.74 * body)
    band = paper & ((y < 0.37 * body) | ((y > 0.62 * body) & (y < 0.66 * body)))
    zone[np.broadcast_to(paper, u.shape)] = 2
    zone[np.broadcast_to(band, u.shape)] = 3
    zone[np.broadcast_to(y > neck, u.shape)] = 1
    shine = np.where(zone == 2, 0.05, np.where(zone == 3, 0.12, 0.36)).astype(np.float32)
    round_ = _arch(u)
    shade = 0.22 + 0.40 * round_ + shine * _bell(u, -0.55, 0.13) + 0.5 * shine * _bell(u, 0.7, 0.09)
    shade += np.where((zone == 0) & (y > body + 34), 0.09, 0).astype(np.float32)  # the empty neck
    shade -= np.where((zone == 1) & (np.sin(x * 1.6) > 0.3), 0.10, 0).astype(np.float32)
    shade -= 0.10 * _bell(y, 3.0, 5.0)
    return _Cast(_tones(shade, zone), _cover(form, scale, u.shape))


def _can_cast(form: Form, scale: float) -> _Cast:
    x, y = _grid(form, scale)
    u: Plane = np.broadcast_to(np.clip(x / form.radius, -1, 1), (y.size, x.size))
    round_ = _arch(u)
    along = y - form.top * (1 - round_)  # height above the curved foot
    zone = np.zeros(u.shape, np.uint8)
    tall = form.height - 2 * form.top
    zone[(along > 0.30 * tall) & (along < 0.68 * tall)] = 2
    zone[(along > 0.36 * tall) & (along < 0.40 * tall)] = 3
    zone[(along > 0.58 * tall) & (along < 0.62 * tall)] = 3
    zone[(along < 9) | (along > tall - 7)] = 1
    shade = 0.24 + 0.42 * round_ + 0.26 * _bell(u, -0.5, 0.14) + 0.12 * _bell(u, 0.68, 0.10)
    lid_x, lid_y = x / (0.94 * form.radius), (y - form.lid[1]) / form.top
    ring = np.hypot(lid_x, lid_y)
    lid = ring < 1
    zone[lid] = 1
    brushed = 0.58 + 0.10 * lid_x - 0.10 * lid_y + 0.22 * _bell(ring, 0.93, 0.06)
    shade = np.where(lid, brushed - 0.24 * _bell(ring, 0.82, 0.06), shade).astype(np.float32)
    return _Cast(_tones(shade, zone), _cover(form, scale, u.shape))


def _palette(plan: Plan) -> Image:
    """The colour of every tone: a zone's own colour up to 0.7, then toward white."""
    t = np.arange(64, dtype=np.float32)[:, None] / 63
    lit, gloss = np.minimum(t / 0.62, 1.12), np.maximum(t - 0.7, 0) / 0.3
    zones = [np.asarray(colour, np.float32) * plan.gain for colour in plan.colours]
    table = [c * lit + (255 - c) * gloss * 0.9 for c in zones]
    return np.clip(np.concatenate(table), 0, 255).astype(np.uint8).reshape(256, 1, 3)


def _stroke(
    image: Image, points: Sequence[Point], colour: tuple[int, int, int], width: float
) -> None:
    fixed = np.round(np.array(points) * 16).astype(np.int32)
    cv2.polylines(image, [fixed], False, colour, max(1, round(width)), cv2.LINE_AA, 4)


def _press(image: Image, points: Sequence[Point]) -> None:
    """A dent: dark toward the light, bright on the far wall, within its rim."""
    grid = np.array(points)
    (x1, y1), (x2, y2) = np.floor(grid.min(axis=0)), np.ceil(grid.max(axis=0))
    left, top, right, bottom = max(0, int(x1)), max(0, int(y1)), int(x2), int(y2)
    view = image[top:bottom, left:right]
    x = np.arange(left, left + view.shape[1], dtype=np.float32) + 0.5
    y = np.arange(top, top + view.shape[0], dtype=np.float32) + 0.5
    u, v = (x - (x1 + x2) / 2) / ((x2 - x1) / 2), (y - (y1 + y2) / 2) / ((y2 - y1) / 2)
    ring = np.sqrt(u[None, :] ** 2 + v[:, None] ** 2)
    lean = 0.75 * u[None, :] + 0.65 * v[:, None]
    bowl = np.clip((1 - ring) / 0.18, 0, 1)
    change = bowl * (115 * lean * (0.35 + ring) - 34)
    view[:] = np.clip(view + change[:, :, None], 0, 255).astype(np.uint8)


def _lid(image: Image, form: Form, tab: bool, scale: float) -> None:
    """The middle of a can's lid: the tab on its rivet, or the hole that it tore open."""

    def at(x: float, y: float) -> tuple[int, int]:
        r, h = form.radius + _PAD, form.height + _PAD
        cx, cy = form.lid
        return round((cx + x + r) * scale * 16), round((h - cy - y) * scale * 16)

    def oval(x: float, y: float, w: float, h: float, grey: int) -> None:
        axes = (round(w * scale * 16), round(h * scale * 16))
        tone = (grey, grey, max(0, grey - 4))
        cv2.ellipse(image, at(x, y), axes, 0, 0, 360, tone, -1, cv2.LINE_AA, 4)

    w, h = form.radius, form.top
    if tab:
        oval(0.02 * w, -0.06 * h, 0.46 * w, 0.40 * h, 92)
        oval(0.0, 0.0, 0.46 * w, 0.40 * h, 246)
        oval(0.21 * w, 0.0, 0.16 * w, 0.20 * h, 120)
        oval(-0.24 * w, 0.0, 0.07 * w, 0.10 * h, 172)
    else:
        oval(-0.02 * w, 0.0, 0.54 * w, 0.68 * h, 112)
        oval(-0.04 * w, -0.02 * h, 0.46 * w, 0.56 * h, 26)
        oval(0.30 * w, 0.10 * h, 0.10 * w, 0.20 * h, 226)


def _tinted(grey: Plane, tint: Colour) -> Image:
    coloured = grey[:, :, None] * np.array(tint)
    return np.asarray(np.clip(coloured, 0, 255), np.uint8)


def _backdrop(width: int, height: int, scale: float) -> Image:
    """What stands still: the wall, its light panel, the guide rail and the conveyor's side."""
    y = (np.arange(height, dtype=np.float32) / scale)[:, None]
    x = (np.arange(width, dtype=np.float32) / scale)[None, :]
    middle = width / scale / 2
    away = ((x - middle) / (0.62 * middle)) ** 2 + ((y - 190) / 150) ** 2
    grey = 58 + 0.06 * y + 58 * np.exp(-away)
    grey -= 16 * (np.abs((x - middle + 80) % 160 - 80) < 1.2)
    rail = (y > 262) & (y < 276)
    grey = np.where(rail, 150 - 7 * np.abs(y - 267), grey)
    side = y > BELT_Y + 34
    grey = np.where(side, 128 - 1.1 * (y - BELT_Y - 34), grey)
    grey = np.where(np.abs(y - BELT_Y - 34) < 1.5, 40, grey)
    image = _tinted(grey, (1.06, 1.0, 0.93))
    stripe = (y > BELT_Y + 44) & (y < BELT_Y + 50)
    image[np.broadcast_to(stripe, grey.shape)] = (48, 168, 214)
    return image


def _belt(width: int, scale: float) -> Image:
    """The belt's top over the frame's width and one cleat more, to be cut at its travel."""
    rows = round((BELT_Y + 33) * scale) - round((BELT_Y - 22) * scale)
    y = (np.arange(rows, dtype=np.float32) / scale)[:, None]
    x = (np.arange(width + round(_CLEAT * scale), dtype=np.float32) / scale)[None, :]
    cleat = (x + 0.55 * y) % (round(_CLEAT * scale) / scale)
    grey = 44 + 0.5 * y - 14 * (cleat < 3) + 16 * ((cleat >= 3) & (cleat < 5)) + 0 * x
    return _tinted(grey, (1.0, 1.02, 0.92))


def _grain(width: int, height: int) -> Image:
    chance = np.random.RandomState(20261122)
    tile = np.clip(chance.normal(_NOISE_MIDDLE, 3.2, (_TILE, _TILE, 3)), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(np.tile(tile, (height // _TILE + 2, width // _TILE + 2, 1)))


class Painter:
    """Paints frames of one size. Keeps the sprites of recent parts: one thread at a time."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height, self.scale = width, height, height / 480
        self._fine = max(2.0, self.scale)  # sprites are painted finer than shown, for smooth edges
        self._wall = _backdrop(width, height, self.scale)
        self._belt = _belt(width, self.scale)
        self._grain = _grain(width, height)
        self._casts = {
            "bottle": [
                _bottle_cast(form, self._fine, profile)
                for form, profile in zip(FORMS["bottle"], BOTTLES, strict=True)
            ],
            "can": [_can_cast(form, self._fine) for form in FORMS["can"]],
        }
        self._shadow = _shadow(self.scale)
        self._sprites: OrderedDict[tuple[str, int], _Sprite] = OrderedDict()
        self._kept = max(_SPRITES, width // height * _SPRITES)

    def backdrop(self, out: Image, travel: float) -> None:
        """The line without parts, its belt moved on by `travel` reference pixels."""
        np.copyto(out, self._wall)
        top = round((BELT_Y - 22) * self.scale)
        period = self._belt.shape[1] - self.width
        start = -round(travel * self.scale) % period
        strip = out[top : top + self._belt.shape[0]]
        np.copyto(strip, self._belt[: strip.shape[0], start : start + self.width])

    def part(self, out: Image, number: int, plan: Plan, foot: tuple[int, int]) -> None:
        """One part and its shadow; `number` names the part for good."""
        key = (plan.scene, number)
        sprite = self._sprites.get(key)
        if sprite is None:
            sprite = self._sprites[key] = self._make(plan)
            if len(self._sprites) > self._kept:
                self._sprites.popitem(last=False)
        _lay(out, self._shadow, foot)
        _lay(out, sprite, foot)

    def expose(self, out: Image, gain: float, noise: float, spin: int) -> None:
        """Lays the light and the sensor's noise over a finished frame."""
        y, x = divmod(spin % (_TILE * _TILE), _TILE)
        grain = self._grain[y : y + self.height, x : x + self.width]
        cv2.addWeighted(out, gain, grain, noise, -noise * _NOISE_MIDDLE, dst=out)

    def _make(self, plan: Plan) -> _Sprite:
        """Colours a cast, marks it with its defects, and turns it to its pose."""
        form, cast = FORMS[plan.scene][plan.shape], self._casts[plan.scene][plan.shape]
        image = np.asarray(cv2.applyColorMap(cast.tones, _palette(plan)), np.uint8)
        if plan.scene == "can":
            _lid(image, form, all(mark.kind != "tab_missing" for mark in plan.marks), self._fine)
        for mark in plan.marks:
            _scar(image, form, mark, self._fine)
        x1, y1, x2, y2 = bounds(placed(form.outline, plan, self.scale), 2.0)
        corner = (math.floor(x1), math.floor(y1))
        size = (math.ceil(x2) - corner[0], math.ceil(y2) - corner[1])
        shrink = plan.scale * self.scale / self._fine
        c, s = math.cos(plan.tilt) * shrink, math.sin(plan.tilt) * shrink
        x, y = (form.radius + _PAD) * self._fine - 0.5, (form.height + _PAD) * self._fine - 0.5
        right, down = -c * x + s * y - corner[0] - 0.5, -s * x - c * y - corner[1] - 0.5
        move = np.array([[c, -s, right], [s, c, down]])
        colour = cv2.warpAffine(image, move, size, borderMode=cv2.BORDER_REPLICATE)
        cover = cv2.warpAffine(cast.cover, move, size)
        cover3 = np.asarray(cv2.merge((cover, cover, cover)), np.uint8)
        laid = np.asarray(cv2.multiply(colour, cover3, scale=1 / 255), np.uint8)
        return _Sprite(laid, 255 - cover3, corner)


def _scar(image: Image, form: Form, mark: Mark, scale: float) -> None:
    r, h = form.radius + _PAD, form.height + _PAD
    points = [((x + r) * scale - 0.5, (h - y) * scale - 0.5) for x, y in mark.points]
    if mark.kind == "dent":
        _press(image, points)
    elif mark.kind != "tab_missing":
        edge, core = (34, 34, 34), (250, 252, 252)
        if mark.kind == "scratch_curved":
            edge, core = (208, 216, 222), (26, 22, 40)
        _stroke(image, points, edge, (mark.thickness + 2 * RIM) * scale)
        _stroke(image, points, core, mark.thickness * scale)


def _shadow(scale: float) -> _Sprite:
    w, h = round(82 * scale), round(20 * scale)
    y, x = np.mgrid[-h:h, -w:w].astype(np.float32)
    deep = np.clip(1.25 - np.sqrt((x / w) ** 2 + (y / h) ** 2), 0, 1) * 0.7
    clear = (255 * (1 - np.clip(deep - 0.17, 0, 1))).astype(np.uint8)
    through = np.repeat(clear[:, :, None], 3, 2)
    return _Sprite(np.zeros_like(through), through, (-w, -h))


def _lay(out: Image, sprite: _Sprite, foot: tuple[int, int]) -> None:
    """Lays a sprite over the frame, as much of it as is in view."""
    x, y = foot[0] + sprite.corner[0], foot[1] + sprite.corner[1]
    x1, y1 = max(0, x), max(0, y)
    height, width = sprite.colour.shape[:2]
    x2, y2 = min(out.shape[1], x + width), min(out.shape[0], y + height)
    if x1 >= x2 or y1 >= y2:
        return
    cut = np.s_[y1 - y : y2 - y, x1 - x : x2 - x]
    view = out[y1:y2, x1:x2]
    cv2.multiply(view, sprite.through[cut], dst=view, scale=1 / 255)
    cv2.add(view, sprite.colour[cut], dst=view)
