"""Tables that fit the terminal: words stay whole; the least important columns are dropped first.

`facts` is the other form: headings, each with its content beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

_GAP = 2


def facts(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """Headings, each with its content beside it; a str is shown as it is, never read as markup."""
    grid = Table.grid(padding=(0, _GAP))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for heading, content in rows:
        grid.add_row(heading, Text(content) if isinstance(content, str) else content)
    return grid


@dataclass(frozen=True)
class Column:
    """One column.

    Args:
        heading: its title; may be empty.
        rank: 0 stays at any width; of the others the highest goes first.
        whole: each cell on one line while there is room, such as a time with its date.
        free: running text. Where nothing else helps, words longer than half the terminal break.
    """

    heading: str
    rank: int = 0
    whole: bool = False
    free: bool = False


class FittedTable:
    """Rows under columns, made when the width is known."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[Sequence[Text | str]]) -> None:
        self._columns = columns
        self._rows = [[Text(c) if isinstance(c, str) else c for c in row] for row in rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        shown = list(range(len(self._columns)))
        least = {i: self._full(i) if self._columns[i].whole else self._longest(i) for i in shown}
        while _sum(least, shown) > width and any(self._columns[i].rank for i in shown):
            shown.remove(max(shown, key=lambda i: self._columns[i].rank))
        if _sum(least, shown) > width:
            least = {i: self._longest(i) for i in shown}
        if _sum(least, shown) > width:
            free = [i for i in shown if self._columns[i].free]
            least |= {i: min(least[i], width // 2) for i in free}
        table = Table(box=None, pad_edge=False, header_style="dim")
        for index, given in zip(shown, self._widths(shown, least, width), strict=True):
            heading = self._columns[index].heading
            table.add_column(heading, width=given, overflow="fold", no_wrap=False)
        for row in self._rows:
            table.add_row(*(row[index] for index in shown))
        yield table

    def _longest(self, index: int) -> int:
        """The width below which a word would be broken."""
        words = (word for text in self._texts(index) for word in text.split())
        return max(map(cell_len, words), default=0)

    def _full(self, index: int) -> int:
        lines = (line for text in self._texts(index) for line in text.splitlines())
        return max(map(cell_len, lines), default=0)

    def _texts(self, index: int) -> list[str]:
        return [self._columns[index].heading, *(row[index].plain for row in self._rows)]

    def _widths(self, shown: list[int], least: dict[int, int], width: int) -> list[int]:
        """Space beyond whole words goes to the columns that lack least, then to the next."""
        given = {i: least[i] for i in shown}
        left = width - _sum(least, shown)
        while left < 0:  # words that are longer than the terminal: the longest is broken
            widest = max(shown, key=lambda i: given[i])
            if given[widest] <= 1:
                break
            given[widest], left = given[widest] - 1, left + 1
        lacking = sorted(shown, key=lambda i: self._full(i) - given[i])
        for place, i in enumerate(lacking):
            more = min(self._full(i) - given[i], max(0, left) // (len(lacking) - place))
            if more > 0:
                given[i], left = given[i] + more, left - more
        return [given[i] for i in shown]


def _sum(widths: dict[int, int], shown: list[int]) -> int:
    return sum(widths[i] for i in shown) + _GAP * (len(shown) - 1)
