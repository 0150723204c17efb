"""Judges every picture of a folder with a model and its recipe, and compares it with its label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_daemon.core.golden import MIN_IOU, Expectation, overlap, score_class
from edge_daemon.core.recipe import judge
from edge_daemon.core.values import Detection, Recipe, Size, Verdict
from edge_daemon.core.verdicts import expected_verdict
from edge_daemon.errors import BundleError
from edge_daemon.host.box import usual_threads
from edge_daemon.models.bundle import Verified
from edge_daemon.models.picture_size import picture_size
from edge_daemon.packing.labels import Labelled
from edge_daemon.slots.child import WorkerSpec
from edge_daemon.slots.process import ENGINE
from edge_daemon.slots.single_slot import single_slot
from edge_daemon.slots.slot import LoadOrder, Slot

LOAD_TIMEOUT_S = 120.0
INFER_TIMEOUT_S = 60.0
LEAST_CONFIDENCE = 0.05
"""Detections down to it are taken, so that a sweep shows what a lower threshold would find."""
THRESHOLDS = tuple(step / 20 for step in range(1, 20))

MISSED, EXTRA = "(missed)", "(extra)"


@dataclass(frozen=True)
class Seen:
    """One picture: what was found on it, at any confidence, and what its label says."""

    picture: Labelled
    detections: tuple[Detection, ...]
    size: Size | None = None

    @property
    def expectation(self) -> Expectation | None:
        """What the label says; None of a picture without one."""
        picture = self.picture
        if picture.boxes is None and picture.verdict is None:
            return None
        return Expectation(picture.slice, picture.boxes, None, picture.verdict)

    def verdict(self, recipe: Recipe) -> Verdict:
        return judge(self.detections, recipe, self.size)

    def expected(self, recipe: Recipe) -> Verdict | None:
        """By the person who labelled it, or by its labelled boxes; None where nobody said."""
        expectation = self.expectation
        return None if expectation is None else expected_verdict(expectation, recipe, self.size)

    def counted(self, recipe: Recipe) -> tuple[Detection, ...]:
        """The detections that the recipe's own confidence lets count."""
        return tuple(each for each in self.detections if each.confidence >= recipe.confidence)


@dataclass(frozen=True)
class Unread:
    """A picture that could not be judged, and why."""

    picture: Labelled
    why: str


@dataclass(frozen=True)
class Score:
    """Verdicts of many pictures against their labels."""

    ng: int = 0
    escaped: int = 0
    ok: int = 0
    rejected: int = 0
    unlabelled: int = 0

    @property
    def escapes(self) -> float | None:
        """Share of the pictures labelled ng that came out otherwise; None without any."""
        return self.escaped / self.ng if self.ng else None

    @property
    def false_rejects(self) -> float | None:
        """Share of the pictures labelled ok that came out ng; None without any."""
        return self.rejected / self.ok if self.ok else None


def look(
    verified: Verified,
    pictures: Sequence[Labelled],
    folder: Path,
    device: str = "cpu",
    *,
    engine: str = ENGINE,
) -> Iterator[Seen | Unread]:
    """Let the model judge every picture of `folder`, in a caged worker.

    Raises BundleError for a model that cannot be loaded, BoxError for this box.
    """
    options = {"threads": usual_threads(), "device": device}
    readable = (str(verified.folder), str(folder.resolve()))
    order = replace(LoadOrder.of(verified, device), confidence=LEAST_CONFIDENCE)
    with single_slot(WorkerSpec(engine, options, readable=readable)) as slot:
        slot.load(order, LOAD_TIMEOUT_S)
        slot.promote()
        for picture in pictures:
            yield _judged(slot, picture)


def _judged(slot: Slot, picture: Labelled) -> Seen | Unread:
    try:
        found = slot.infer_file(picture.path.resolve(), INFER_TIMEOUT_S)
    except BundleError as error:
        return Unread(picture, error.message)
    return Seen(picture, found.detections, picture_size(picture.path))


# --------------------------------------------------------------------------- verdicts


def score(seen: Sequence[Seen], recipe: Recipe, truth: Recipe | None = None) -> Score:
    """`truth`: the recipe by which labelled boxes are judged; the same one unless it is swept."""
    counts: Counter[tuple[Verdict | None, Verdict]] = Counter(
        (each.expected(truth or recipe), each.verdict(recipe)) for each in seen
    )
    ng, ok, unlabelled = (
        sum(count for (label, _), count in counts.items() if label in labels)
        for labels in ((Verdict.NG,), (Verdict.OK, Verdict.EMPTY), (None,))
    )
    return Score(
        ng=ng,
        escaped=ng - counts[Verdict.NG, Verdict.NG],
        ok=ok,
        rejected=counts[Verdict.OK, Verdict.NG] + counts[Verdict.EMPTY, Verdict.NG],
        unlabelled=unlabelled,
    )


def sweep(seen: Sequence[Seen], recipe: Recipe) -> dict[str, tuple[tuple[float, Score], ...]]:
    """For each rule, the score at each threshold of it while the other rules stay as they are."""

    def at(rule_id: str, threshold: float) -> Recipe:
        rules = tuple(
            replace(rule, confidence=threshold) if rule.id == rule_id else rule
            for rule in recipe.rules
        )
        return replace(recipe, rules=rules)

    return {
        rule.id: tuple((t, score(seen, at(rule.id, t), recipe)) for t in THRESHOLDS)
        for rule in recipe.rules
    }


# --------------------------------------------------------------------------- boxes


@dataclass(frozen=True)
class ClassScore:
    """Boxes of one class over all pictures with labelled boxes."""

    label: str
    expected: int
    found: int
    made: int


def score_classes(
    seen: Sequence[Seen], recipe: Recipe, classes: Sequence[str]
) -> tuple[ClassScore, ...]:
    """Recall and precision of each class that was labelled or found, at an IoU of one half."""
    found = []
    for label in classes:
        tallies = [
            score_class(label, each.expectation, each.counted(recipe))
            for each in seen
            if each.expectation is not None
        ]
        made = sum(tally.made for tally in tallies)
        expected = sum(tally.expected for tally in tallies)
        if made or expected:
            found.append(ClassScore(label, expected, sum(t.found for t in tallies), made))
    return tuple(found)


def confusion(seen: Sequence[Seen], recipe: Recipe) -> Counter[tuple[str, str]]:
    """(labelled, found) -> boxes; the surest detections are paired first, at an IoU of one half."""
    counts: Counter[tuple[str, str]] = Counter()
    for each in seen:
        if each.picture.boxes is None:
            continue
        left = list(each.picture.boxes)
        for detection in sorted(each.counted(recipe), key=lambda d: -d.confidence):
            best = max(left, key=lambda box: overlap(box, detection.box), default=None)
            if best is not None and overlap(best, detection.box) >= MIN_IOU:
                left.remove(best)
                counts[best.label, detection.label] += 1
            else:
                counts[EXTRA, detection.label] += 1
        counts.update((box.label, MISSED) for box in left)
    return counts


def wrong(seen: Sequence[Seen], recipe: Recipe) -> tuple[Seen, ...]:
    """The pictures whose verdict is not the one expected."""
    return tuple(
        each
        for each in seen
        if each.expected(recipe) is not None and each.verdict(recipe) != each.expected(recipe)
    )
