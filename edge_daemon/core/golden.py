"""Golden images: what a model must find on them, and how much of it one did find.

Expectations are scored apart. An image with expected boxes counts towards recall and precision: a
box is found when a detection of its class overlaps it with an IoU of at least one half, each
detection used once, as many pairs as can be made. An image with an expected count (or with an
empty list of boxes, which is a count of none) is right or wrong as a whole. One with an expected
verdict alone counts towards neither: `core.verdicts` judges it.

Boxes are upright on both sides: of an oriented box, the one round it is compared. The class of a
whole picture is a box that is everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_daemon.core.values import Box, Detection, Size, Verdict

MIN_IOU = 0.5


@dataclass(frozen=True)
class ExpectedBox:
    """One object that must be found; box in pixels of the golden image, None: all of it."""

    label: str
    box: Box | None


@dataclass(frozen=True)
class Expectation:
    """What one golden image shows: its boxes, how many objects, or the verdict that is right.

    `causes` are the rules that a person says it breaks; () where nothing is said of them.
    """

    slice: str
    boxes: tuple[ExpectedBox, ...] | None = None
    count: int | None = None
    verdict: Verdict | None = None
    causes: tuple[str, ...] = ()

    @property
    def expected_count(self) -> int | None:
        """How many objects the image shows; None if boxes say it, or nothing does."""
        return 0 if self.boxes == () else self.count


@dataclass(frozen=True)
class Golden:
    """What the candidate, and the incumbent if there is one, found on one golden image.

    The candidate's as its engine gives them, down to where a tuning may move its recipe; the
    incumbent's as far as they count by its own. `sha256`: the digest of
    the image; None where only a signature covers it. `size`: None where it is not known.
    """

    expectation: Expectation
    candidate: tuple[Detection, ...]
    incumbent: tuple[Detection, ...] | None = None
    sha256: str | None = None
    size: Size | None = None


@dataclass(frozen=True)
class DetectionSums:
    """Sums over images: expected and found boxes, detections made, right and all count images."""

    expected: int = 0
    found: int = 0
    made: int = 0
    right: int = 0
    counted: int = 0

    def __add__(self, other: DetectionSums) -> DetectionSums:
        return DetectionSums(
            self.expected + other.expected,
            self.found + other.found,
            self.made + other.made,
            self.right + other.right,
            self.counted + other.counted,
        )

    @property
    def recall(self) -> float | None:
        """Share of expected boxes that were found; None where none was expected."""
        return self.found / self.expected if self.expected else None

    @property
    def precision(self) -> float | None:
        """Share of detections that were expected, on images with boxes; None without any."""
        return self.found / self.made if self.made else None

    @property
    def count_accuracy(self) -> float | None:
        """Share of count images with exactly the expected number; None without such images."""
        return self.right / self.counted if self.counted else None


def iou(a: Box, b: Box) -> float:
    """Intersection over union of two boxes; 0.0 when either is empty or not a number."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if not (width > 0 and height > 0):
        return 0.0
    shared = width * height
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union > 0 else 0.0


def overlap(wanted: ExpectedBox, box: Box) -> float:
    """The IoU of a detection's box with an expected one."""
    return 1.0 if wanted.box is None else iou(wanted.box, box)


def found_boxes(expected: Sequence[ExpectedBox], detections: Sequence[Detection]) -> int:
    """How many expected boxes have a detection of their own: the size of a maximum matching."""
    near = [
        [
            index
            for index, detection in enumerate(detections)
            if detection.label == wanted.label and overlap(wanted, detection.box) >= MIN_IOU
        ]
        for wanted in expected
    ]
    owner: dict[int, int] = {}  # detection -> expected box
    return sum(_augment(start, near, owner) for start in range(len(expected)))


def _augment(start: int, near: Sequence[Sequence[int]], owner: dict[int, int]) -> bool:
    """Find a detection for `start`, moving others to another one of theirs where that helps.

    An augmenting path without recursion: a crowded image must not reach the stack limit.
    """
    taker: dict[int, tuple[int, int | None]] = {}  # detection -> expected box, and what that leaves
    waiting: list[tuple[int, int | None]] = [(start, None)]
    while waiting:
        wanted, own = waiting.pop()
        for index in near[wanted]:
            if index in taker:
                continue
            taker[index] = wanted, own
            if index in owner:
                waiting.append((owner[index], index))
                continue
            free: int | None = index
            while free is not None:  # walk back: each box takes the next detection, leaves its own
                owner[free], free = taker[free]
            return True
    return False


def score(expectation: Expectation, detections: Sequence[Detection]) -> DetectionSums:
    """One image's tally over all classes."""
    count = expectation.expected_count
    if count is not None:
        return DetectionSums(right=int(len(detections) == count), counted=1)
    boxes = expectation.boxes
    if boxes is None:
        return DetectionSums()
    return DetectionSums(len(boxes), found_boxes(boxes, detections), len(detections))


def score_class(
    label: str, expectation: Expectation, detections: Sequence[Detection]
) -> DetectionSums:
    """One image's tally of one class; images without boxes have no classes."""
    if not expectation.boxes:
        return DetectionSums()
    boxes = tuple(wanted for wanted in expectation.boxes or () if wanted.label == label)
    made = tuple(detection for detection in detections if detection.label == label)
    return DetectionSums(len(boxes), found_boxes(boxes, made), len(made))


def expected_labels(images: Sequence[Golden]) -> tuple[str, ...]:
    """The classes that are expected at least once, sorted."""
    return tuple(
        sorted({wanted.label for image in images for wanted in image.expectation.boxes or ()})
    )


def slices(images: Sequence[Golden]) -> tuple[str, ...]:
    """The slices of the images, sorted."""
    return tuple(sorted({image.expectation.slice for image in images}))
