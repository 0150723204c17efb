"""Collected pictures as a station leaves them: of two models, some labelled by people."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from msgspec.structs import replace as changed

from edge_daemon.collecting.catalogue import Catalogue, Truth
from edge_daemon.collecting.pixels import encoded
from edge_daemon.collecting.record import (
    FoundObject,
    ModelResult,
    PartResult,
    Record,
    ShownPart,
    name_of,
)
from edge_daemon.collecting.store import CollectionStore, RetentionLimits
from edge_daemon.core.collecting.alike import PictureDescriptor
from edge_daemon.core.collecting.quota import shares
from edge_daemon.core.collecting.reasons import Why
from edge_daemon.core.golden import ExpectedBox
from edge_daemon.core.values import Verdict
from tests.frames.test_part_pictures import UTC

SIZE = (160, 120)
CLASSES = ("bottle", "scratch", "dent")
TRUE_BOX = (12.3, 20.7, 60.1, 88.9)


def record(frame: int, boot: str = "b1", part: int | None = None) -> Record:
    """A part with a bottle; each third has a scratch, which the second model does not see."""
    utc = UTC + 30.0 * frame
    number = frame if part is None else part
    bottle = FoundObject("bottle", 0.9, (10.0 + frame % 40, 10.0, 150.0, 110.5))
    scratch = FoundObject("scratch", 0.71, (20.25, 30.5, 61.75, 80.0))
    faint = FoundObject("dent", 0.12, (1.0, 1.0, 5.0, 5.0), counts=False)
    is_ng = frame % 3 == 0
    old = ModelResult(
        "bottle@1.4.0",
        "aa",
        "r1",
        "ng" if is_ng else "ok",
        (),
        (bottle, scratch, faint) if is_ng else (bottle, faint),
    )
    new = ModelResult("bottle@1.5.0", "bb", "r2", "ok", (), (changed(bottle, confidence=0.8),))
    why = Why.DISAGREEMENT if is_ng else Why.AUDIT
    told = PartResult(number, f"T-{number}", None, old.verdict)
    return Record(
        name=name_of(boot, frame, utc),
        boot=boot,
        frame=frame,
        utc=utc,
        leading=why,
        verdict=old.verdict,
        size=SIZE,
        parts=(
            ShownPart(
                str(number),
                0.001,
                1.0 if is_ng else 0.02,
                tuple(dict.fromkeys((why, Why.AUDIT))),
                True,
                told,
            ),
        ),
        opinions=(old, new),
    )


def album(folder: Path, count: int = 30, labelled: int = 0) -> Catalogue:
    """`count` pictures; of the first `labelled` people say what they show."""
    store = CollectionStore(
        folder, RetentionLimits(10**9, shares(Why, 0.5), alike_bits=None), "b1", lambda: UTC
    )
    store.tend()
    for frame in range(count):
        pixels = np.full((120, 160, 3), frame, np.uint8)
        store.keep(record(frame), encoded(pixels, ".jpg"), PictureDescriptor(0, (), ()))
    catalogue = Catalogue(folder)
    for each in list(catalogue)[:labelled]:
        boxes = (ExpectedBox("scratch", TRUE_BOX),) if each.record.frame % 2 else ()
        verdict = Verdict.NG if boxes else Verdict.OK
        catalogue.note(each, Truth(verdict, boxes, "kim", UTC))
    return catalogue
