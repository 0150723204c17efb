"""Progress of long work on a bundle: a bar on a terminal, nothing elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from edge_daemon.cli.output import console


@contextmanager
def reading(folder: Path, words: str) -> Iterator[Callable[[int], None]]:
    """Call it with the number of bytes read; shown on stderr, so that pipes stay clean.

    After the last byte the text stays until the work is done, for example while a signature is
    checked.
    """
    total = sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())
    with _bar(DownloadColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task(words, total=total)
        yield lambda count: bar.advance(task, count)


@contextmanager
def counting(total: int, words: str) -> Iterator[Callable[[int], None]]:
    """Call it with the number of finished pieces out of a total."""
    with _bar(MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task(words, total=total)
        yield lambda count: bar.advance(task, count)


@contextmanager
def fetching(words: str) -> Iterator[Callable[[int, int], None]]:
    """Call it with the bytes of each chunk that came, and with those of the whole."""
    with _bar(DownloadColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task(words, total=None)
        yield lambda count, total: bar.update(task, advance=count, total=total)


@contextmanager
def waiting(words: str) -> Iterator[None]:
    """For work without known progress."""
    with _bar() as bar:
        bar.add_task(words, total=None)
        yield


def _bar(*columns: ProgressColumn) -> Progress:
    out = console(stderr=True)
    usual = (TextColumn("{task.description}"), BarColumn())
    return Progress(*usual, *columns, console=out, transient=True, disable=not out.is_terminal)
