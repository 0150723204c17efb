"""What was seen, for people: boxes on a picture, and the sweep of thresholds as a plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edge_daemon.core.values import Detection
from edge_daemon.errors import BoxError
from edge_daemon.models.decoding import decode_image
from edge_daemon.packing.judging import Score, Seen

_LABELLED, _FOUND = (80, 200, 80), (60, 60, 230)  # BGR
_FONT_SCALE = 0.5


def draw_picture(seen: Seen, detections: Sequence[Detection], destination: Path) -> None:
    """Write the picture with labelled boxes in green, found ones in red.

    Raises BundleError where it cannot be read, BoxError where the drawing cannot be written.
    """
    import cv2  # noqa: PLC0415 - half a second that the other commands need not pay

    picture = decode_image(seen.picture.path)
    height, width = picture.shape[:2]
    whole = (0.0, 0.0, float(width), float(height - 18))  # the words stand below it
    boxes = [(box.label, box.box or whole, _LABELLED) for box in seen.picture.boxes or ()]
    boxes += [(f"{each.label} {each.confidence:.2f}", each.box, _FOUND) for each in detections]
    for words, box, colour in boxes:
        x1, y1, x2, y2 = (round(value) for value in box)
        cv2.rectangle(picture, (x1, y1), (x2, y2), colour, 2)
        below = y2 + 14 if colour == _LABELLED else max(12, y1 - 4)
        cv2.putText(picture, words, (x1, below), cv2.FONT_HERSHEY_SIMPLEX, _FONT_SCALE, colour, 1)
    if not cv2.imwrite(str(destination), picture):
        raise BoxError(f"{destination} cannot be written.", hint="Is there room on the disk?")


def draw_sweep(
    curves: Mapping[str, Sequence[tuple[float, Score]]],
    chosen: Mapping[str, float],
    destination: Path,
) -> None:
    """Write escapes and false rejects against the threshold of each rule, as a PNG.

    `chosen`: the threshold that the recipe has now, by rule.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - a second
    from matplotlib.figure import Figure  # noqa: PLC0415

    figure = Figure(figsize=(6, 2.6 * len(curves)), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (rule, points) in enumerate(curves.items(), start=1):
        axes = figure.add_subplot(len(curves), 1, place)
        at = [threshold for threshold, _ in points]
        for name, values in (
            ("escapes (ng called ok)", [each.escapes for _, each in points]),
            ("false rejects (ok called ng)", [each.false_rejects for _, each in points]),
        ):
            axes.plot(at, [float("nan") if v is None else 100 * v for v in values], label=name)
        axes.axvline(chosen[rule], color="grey", linestyle=":", label="the recipe now")
        axes.set_title(rule)
        axes.set_xlabel("confidence from which a detection counts")
        axes.set_ylabel("% of pictures")
        axes.set_ylim(-2, 102)
        axes.legend(fontsize="small")
    figure.savefig(destination, dpi=120)
