"""What all formats are written from, and what each is read into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge_daemon.collecting.record import Record
from edge_daemon.core.golden import ExpectedBox
from edge_daemon.core.values import Box, Verdict
from edge_daemon.documents import MALFORMED, DocumentError
from edge_daemon.errors import SenderError

MOST_LABEL_BYTES = 512 << 20

MARKER = "edge-daemon collect export"
"""Stands in every file that this program wrote: nobody has looked at it yet."""


@dataclass(frozen=True)
class Boxed:
    """A box in pixels. `confidence`: of the model that found it; None: a person drew it."""

    label: str
    box: Box
    confidence: float | None = None


@dataclass(frozen=True)
class Opinion:
    """What one model found, as far as it counts by its recipe."""

    model: str
    verdict: str
    boxes: tuple[Boxed, ...]


@dataclass(frozen=True)
class Item:
    """One picture of an export.

    `truth`: what people drew; None where nobody did. `verdict`: what they say of the part.
    """

    path: Path
    record: Record
    split: str
    opinions: tuple[Opinion, ...]
    truth: tuple[Boxed, ...] | None = None
    verdict: str | None = None

    @property
    def name(self) -> str:
        """The picture's file name."""
        return self.path.name

    @property
    def boxes(self) -> tuple[Boxed, ...]:
        """What is shown as its labels: people's, else what the judging model found."""
        if self.truth is not None:
            return self.truth
        return self.opinions[0].boxes if self.opinions else ()

    @property
    def by(self) -> str:
        """Whose labels these are: `person`, or a model."""
        if self.truth is not None or not self.opinions:
            return "person"
        return self.opinions[0].model


@dataclass(frozen=True)
class Dataset:
    """Pictures with their labels; `classes` in the model's own order."""

    items: Sequence[Item]
    classes: Sequence[str]

    @property
    def index(self) -> Mapping[str, int]:
        """Number of each class, from 0."""
        return {name: number for number, name in enumerate(self.classes)}

    def of_split(self, split: str) -> list[Item]:
        """Its pictures, the oldest first."""
        return [item for item in self.items if item.split == split]


@dataclass(frozen=True)
class Label:
    """What a file says of one picture. `boxes` None: only the verdict is said."""

    name: str
    boxes: tuple[ExpectedBox, ...] | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Labels:
    """What a file says. `is_ours`: this program wrote it, and nobody may have looked at it yet."""

    labels: Sequence[Label]
    is_ours: bool = False


def clipped(box: Box, size: tuple[int, int]) -> Box | None:
    """Within the picture; None where nothing is left."""
    x1, y1 = max(0.0, box[0]), max(0.0, box[1])
    x2, y2 = min(float(size[0]), box[2]), min(float(size[1]), box[3])
    return (x1, y1, x2, y2) if x2 > x1 and y2 > y1 else None


@contextmanager
def reading(file: Path, what: str) -> Iterator[None]:
    """Around the reading of a file of labels: whatever is wrong with it is a SenderError."""
    try:
        yield
    except DocumentError as error:
        raise SenderError(f"{file} {error.message}.", hint=error.hint or _AS_EXPORTED) from error
    except (*MALFORMED, OSError, SyntaxError) as error:  # the last is XML's
        raise _unreadable(file, what, error) from error


def _unreadable(file: Path, what: str, error: Exception) -> SenderError:
    """A file that is not of this format."""
    why = str(error)
    if isinstance(error, KeyError):
        why = f"{error} is missing"
    elif not isinstance(error, (ValueError, SyntaxError, OSError)):
        why = "something in it is of another kind than it should be"
    return SenderError(
        f"{file} holds no labels that can be read as {what}: {why}.", hint=_AS_EXPORTED
    )


_AS_EXPORTED = "Take the file as the labelling tool exports it."
