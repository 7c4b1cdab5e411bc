"""Where the commands print: results on standard output, progress on standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from materium.heartbeat import Heartbeat
from materium.progress import Bars

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PIPE_WIDTH = 120
"""Columns of a table that goes into a file or a pipe, so that it is the same wherever it is made."""


class Speaking(Console):
    """A console before whose first words `working` goes away."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as `Console` does."""
        if self.stderr:
            Heartbeat.erase()  # a note or a bar: it goes on
        else:
            Heartbeat.clear()
        super().print(*objects, **options)


def make_console(*, quiet: bool = False, stderr: bool = False) -> Console:
    """Return a console that prints text as it is: no markup, since formulas and paths hold square brackets."""
    console = Speaking(quiet=quiet, stderr=stderr, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def make_progress(*, quiet: bool = False) -> Bars:
    """Return progress bars with the time left, gone when all is done; without a terminal there are lines instead.

    Examples
    --------
    >>> with make_progress(quiet=quiet) as progress:
    ...     for crystal in progress.track(crystals, description="generating", total=64): ...
    """
    return Bars(make_console(quiet=quiet, stderr=True), quiet=quiet)


def count_rows(sources: Iterable[Path]) -> int | None:
    """Return how many rows these files, folders and tables have, or None where one does not say."""
    from materium.data.readers import open_source

    totals = [open_source(source).total for source in sources]
    return None if None in totals else sum(total for total in totals if total is not None)


def make_table(headers: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """Return a plain table without a frame; every cell is written as `str` writes it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    return table
