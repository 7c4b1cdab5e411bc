"""`materium evaluate`: what structures are worth, whoever made them."""

import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from materium.cli.console import make_console, make_progress, make_table
from materium.cli.options import FiguresOption, OutOption, QuietOption
from materium.evaluate.pipeline import STAGES, Settings
from materium.evaluate.reference import DEFAULT

if TYPE_CHECKING:
    from rich.console import Console

    from materium.evaluate.pipeline import Evaluation
    from materium.evaluate.stages import Progress

_STAGES = ", ".join(STAGES)


def evaluate(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A folder, file, table or run of structures.")],
    out: OutOption,
    potential: Annotated[
        str, typer.Option(help="chgnet, sevennet, … or an ASE calculator as package.module:Factory.")
    ] = DEFAULT,
    fmax: Annotated[float, typer.Option(help="eV/Å; bound of forces and stress when relaxed.")] = Settings.fmax,
    max_steps: Annotated[int, typer.Option(help="Step cap; 0 takes energies as made.")] = Settings.max_steps,
    reference: Annotated[
        str | None, typer.Option(help="Name or file of the reference; by default the potential's.")
    ] = None,
    known: Annotated[Path | None, typer.Option(help="Table to match novelty against, instead of fingerprints.")] = None,
    n_asked: Annotated[int | None, typer.Option(help="Structures asked for, if more than arrived.", min=1)] = None,
    skip: Annotated[str, typer.Option(help=f"Stages to leave out, by commas: {_STAGES}.")] = "",
    only: Annotated[str, typer.Option(help=f"Stages to run, by commas: check, {_STAGES}.")] = "",
    bond_valence: Annotated[
        bool, typer.Option("--bond-valence", help="Also check bond valences, which takes up to seconds each.")
    ] = False,
    processes: Annotated[int, typer.Option("--processes", "-j", help="Worker processes.", min=1)] = 1,
    figures: FiguresOption = False,
    quiet: QuietOption = False,
) -> None:
    """Judge structures: validity, uniqueness, novelty, relaxation, energy above hull; rows, metrics and a report.

    Example:

        materium evaluate runs/first --out runs/first-judged

        materium evaluate cifs/ --out judged --skip relax,hull --processes 4
    """
    from materium.evaluate.pipeline import evaluate as judge
    from materium.io.lock import hold_folder

    console = make_console(quiet=quiet)
    settings = Settings(
        potential=potential,
        fmax=fmax,
        max_steps=max_steps,
        reference=reference,
        known=None if known is None else str(known),
        n_asked=n_asked,
        skip=_skipped(skip, only),
        bond_valence=bond_valence,
    )
    command = shlex.join(["materium", *sys.argv[1:]])
    with hold_folder(out):
        with _bars(quiet=quiet) as progress:
            found = judge(source, out, settings, processes=processes, command=command, progress=progress)
        if found.reused:
            console.print(f"{out} is finished already; nothing was written")
        _report(out, f"Evaluation of {source.name}", found, console, figures=figures)
    _print(found.metrics, console)


def _skipped(skip: str, only: str) -> frozenset[str]:
    from materium.evaluate.pipeline import without_all_but

    skipped = frozenset(_names(skip))
    return skipped | without_all_but(_names(only)) if only else skipped


def _names(text: str) -> list[str]:
    return [name for part in text.split(",") if (name := part.strip())]


@contextmanager
def _bars(*, quiet: bool) -> "Iterator[Progress]":
    """A bar for each stage."""
    with make_progress(quiet=quiet) as progress:
        tasks: dict[str, Any] = {}

        def show(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = progress.add_task(stage, total=total)
            progress.update(tasks[stage], completed=done)

        yield show


def _report(out: Path, title: str, found: "Evaluation", console: "Console", *, figures: bool) -> None:
    """The page, unless it is there: it comes from the rows, so that the same command makes up for a lost one."""
    from materium.report.evaluation import write_evaluation
    from materium.report.section import NO_PLOTS

    page, folder = out / "report.html", out / "figures" if figures else None
    if (figures or not page.exists()) and not write_evaluation(page, title, found.rows, found.metrics, folder):
        console.print(f"report.html: {NO_PLOTS}")


def _print(metrics: Mapping[str, Any], console: "Console") -> None:
    from materium.report.evaluation import cells

    for name in ("potential", "reference"):
        if metrics.get(name):
            console.print(f"{name}: {', '.join(str(value) for value in metrics[name].values())}")
    if metrics["left_out"]:
        console.print(f"{len(metrics['left_out'])} files of no known kind were not read")
    body = [(name, *cells(one)) for name, one in metrics["metrics"].items()]
    console.print(make_table(("", "value", "count", "95 % interval"), body))
