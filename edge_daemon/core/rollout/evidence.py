"""What the pairs of a rollout show, as counts: a fold over pairs and labels.

For each slice, and for all parts together, there is a table of outcome by true verdict in each
block of parts (`betting.BLOCKS`). All that the rule looks at is computed from these tables, so

- a restart gives the very same decision: whole numbers are written and read,
- a label may come late, in any order, and be revised: it moves one part within its own block,
- the size is bounded: 33 blocks of 12 numbers a slice.

`Evidence.add` tells the place of a pair. The caller keeps it beside the pair in the journal, in the
same transaction, and gives it back with the label.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from edge_daemon.core.rollout.betting import BLOCKS, block_of
from edge_daemon.core.rollout.plan import OVERALL
from edge_daemon.core.rollout.values import Outcome, Pair
from edge_daemon.core.values import Verdict

RULE_VERSION = 1
"""Of the tables, the statistics and the rule; it stands in the receipt."""

_OUTCOMES = tuple(Outcome)
_TRUTHS = (None, Verdict.OK, Verdict.NG)
_CELLS = len(_OUTCOMES) * len(_TRUTHS)


@dataclass(frozen=True)
class Place:
    """Where one pair stands in the evidence. `blocks`: by slice, all parts first."""

    outcome: Outcome
    blocks: tuple[tuple[str, int], ...]
    truth: Verdict | None = None

    def as_mapping(self) -> dict[str, Any]:
        """Plain values for the journal; `read_place` reads them."""
        truth = None if self.truth is None else self.truth.value
        return {"outcome": self.outcome.value, "blocks": dict(self.blocks), "truth": truth}


def read_place(values: Mapping[str, Any]) -> Place:
    """The place that was written; raises ValueError, KeyError or TypeError if it is none."""
    truth = values["truth"]
    return Place(
        Outcome(values["outcome"]),
        tuple((str(name), int(block)) for name, block in values["blocks"].items()),
        None if truth is None else Verdict(truth),
    )


class Table:
    """Outcome by true verdict of the parts of one block."""

    def __init__(self, cells: Iterable[int] = (0,) * _CELLS) -> None:
        self.cells = list(cells)

    def swapped(self) -> Table:
        """With who alone rejected the parts swapped."""
        made = Table(self.cells)
        for truth in _TRUTHS:
            one, other = (
                _cell(each, truth) for each in (Outcome.ONLY_INCUMBENT, Outcome.ONLY_CANDIDATE)
            )
            made.cells[one], made.cells[other] = self.cells[other], self.cells[one]
        return made

    def move(self, outcome: Outcome, truth: Verdict | None, by: int) -> None:
        self.cells[_cell(outcome, truth)] += by

    def unknown(self, outcome: Outcome) -> int:
        """Parts without a label."""
        return self.cells[_cell(outcome, None)]

    def ok(self, outcome: Outcome) -> int:
        """Parts that are truly good."""
        return self.cells[_cell(outcome, Verdict.OK)]

    def ng(self, outcome: Outcome) -> int:
        """Parts that are truly bad."""
        return self.cells[_cell(outcome, Verdict.NG)]

    def all(self, outcome: Outcome) -> int:
        return self.unknown(outcome) + self.ok(outcome) + self.ng(outcome)

    def labelled(self, outcome: Outcome) -> int:
        return self.ok(outcome) + self.ng(outcome)


def _cell(outcome: Outcome, truth: Verdict | None) -> int:
    return _OUTCOMES.index(outcome) * len(_TRUTHS) + _TRUTHS.index(truth)


class SliceCounts:
    """The blocks of one slice. `lost`: parts that were to be judged by both and were not."""

    def __init__(self) -> None:
        self.blocks: list[Table] = []
        self.rejected = 0
        self.lost = 0

    def add(self, outcome: Outcome) -> int:
        """Count one pair; its block is decided by what came before it, as a bet must be."""
        block = block_of(self.rejected)
        self._table(block).move(outcome, None, 1)
        self.rejected += outcome is not Outcome.NEITHER
        return block

    def move(self, place: Place, block: int, truth: Verdict | None) -> None:
        table = self._table(block)
        table.move(place.outcome, place.truth, -1)
        table.move(place.outcome, truth, 1)

    def whole(self) -> Table:
        """All blocks together."""
        whole = Table()
        for block in self.blocks:
            whole.cells = [one + other for one, other in zip(whole.cells, block.cells, strict=True)]
        return whole

    def _table(self, block: int) -> Table:
        while len(self.blocks) <= block:
            self.blocks.append(Table())
        return self.blocks[block]


class Evidence:
    """All counts of one rollout. `slices`: the names that the plan gives; others are ignored."""

    def __init__(self, slices: Iterable[str] = ()) -> None:
        self.slices: dict[str, SliceCounts] = {name: SliceCounts() for name in (OVERALL, *slices)}
        self.arms: dict[float, tuple[int, int]] = {}
        """By declared share: units that were drawn, with a pair or without, and the candidate's."""
        self.misassigned = 0
        """Units whose arm is not the one of their draw."""

    def add(self, pair: Pair) -> Place:
        """Count one pair, once."""
        blocks = tuple(
            (name, self.slices[name].add(pair.outcome)) for name in self._of(pair.slices)
        )
        return Place(pair.outcome, blocks)

    def label(self, place: Place, truth: Verdict | None) -> Place:
        """The part at this place is truly ok or ng; None takes a label back.

        The place that is returned replaces the one that was given: a later label revises it.
        """
        for name, block in place.blocks:
            self.slices[name].move(place, block, truth)
        return replace(place, truth=truth)

    def lose(self, slices: Iterable[str] = ()) -> None:
        """A part that was drawn to be judged by both models and was not: coverage falls.

        Parts that a draw left out beforehand are no loss: they are left out at random.
        """
        for name in self._of(slices):
            self.slices[name].lost += 1

    def count_arms(self, share: float, units: int, candidates: int) -> None:
        """So many units more were drawn by this share, and so many of them for the candidate."""
        before = self.arms.get(share, (0, 0))
        self.arms[share] = (before[0] + units, before[1] + candidates)

    def _of(self, slices: Iterable[str]) -> Iterator[str]:
        yield OVERALL
        for name in dict.fromkeys(slices):
            if name in self.slices and name != OVERALL:
                yield name

    # ----------------------------------------------------------------------- written and read

    def as_mapping(self) -> dict[str, Any]:
        """Plain values for the journal: whole numbers, and shares as hexadecimal fractions."""
        return {
            "rule": RULE_VERSION,
            "slices": {
                name: {
                    "rejected": counts.rejected,
                    "lost": counts.lost,
                    "blocks": [list(block.cells) for block in counts.blocks],
                }
                for name, counts in self.slices.items()
            },
            "arms": {share.hex(): list(counts) for share, counts in self.arms.items()},
            "last_draw": None,  # earlier versions read it
            "misassigned": self.misassigned,
        }


def read_evidence(values: Mapping[str, Any]) -> Evidence:
    """The evidence that was written; raises ValueError if it is none, or of another rule."""
    try:
        return _evidence(values)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is no evidence of a rollout: {error!r}") from error


def _evidence(values: Mapping[str, Any]) -> Evidence:
    if values["rule"] != RULE_VERSION:
        raise ValueError(f"evidence of rule {values['rule']!r}, this is rule {RULE_VERSION}")
    evidence = Evidence(name for name in values["slices"] if name != OVERALL)
    for name, written in values["slices"].items():
        counts = evidence.slices[name]
        counts.rejected = _count(written["rejected"])
        counts.lost = _count(written["lost"])
        counts.blocks = [Table(map(_count, cells)) for cells in written["blocks"]]
        if len(counts.blocks) > len(BLOCKS) + 1 or any(
            len(block.cells) != _CELLS for block in counts.blocks
        ):
            raise ValueError(f"the tables of slice {name!r} have another form")
    for share, (parts, candidates) in values["arms"].items():
        evidence.arms[float.fromhex(share)] = (_count(parts), _count(candidates))
    evidence.misassigned = _count(values["misassigned"])
    return evidence


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value
