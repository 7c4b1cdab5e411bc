"""Where the commands print: results on standard output, progress on standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

PIPE_WIDTH = 120
"""Columns of a table that goes into a file or a pipe, so that it is the same wherever it is made."""


def make_console(*, quiet: bool = False, stderr: bool = False) -> Console:
    """Return a console that prints text as it is: no markup, since formulas and paths hold square brackets."""
    console = Console(quiet=quiet, stderr=stderr, markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


def make_progress(*, quiet: bool = False) -> Progress:
    """Return a progress bar with the time left, shown on a terminal only and gone when it is done.

    Examples
    --------
    >>> with make_progress(quiet=quiet) as progress:
    ...     for crystal in progress.track(crystals, description="generating", total=64): ...
    """
    console = make_console(quiet=quiet, stderr=True)
    shown = console.is_terminal and not quiet
    console.quiet = not shown  # some versions of rich end a bar that is off with an empty line
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not shown)


def make_table(headers: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """Return a plain table without a frame; every cell is written as `str` writes it."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, overflow="fold")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    return table
