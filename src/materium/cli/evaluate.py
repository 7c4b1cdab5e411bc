"""`materium evaluate`: what structures are worth, whoever made them."""

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from materium.cli.console import make_console, make_progress, make_table
from materium.cli.options import FiguresOption, OutOption, QuietOption
from materium.cli.threads import with_threads
from materium.evaluate.pipeline import STAGES, Settings
from materium.evaluate.reference import DEFAULT

if TYPE_CHECKING:
    from rich.console import Console

    from materium.evaluate.pipeline import Evaluation
    from materium.evaluate.stages import Progress

_STAGES = ", ".join(STAGES)
FIGURES = {
    "valid": "no two atoms too close, a plausible volume",
    "unique": "equals no earlier structure",
    "novel": "equals no structure of the reference",
    "converged": "relaxed to the bounds",
    "unsupported": "the reference lacks what it competes with: no verdict",
    "stable": "on the hull or below it",
    "metastable": "at most 0.1 eV/atom above the hull",
    "sun": "stable, unique and novel",
    "msun": "metastable, unique and novel",
    "energy_above_hull": "eV/atom, mean",
    "rmsd": "Å between structures as generated and relaxed, mean",
    "num_sites": "atoms in the primitive cell, mean",
}
"""The figures that are printed, in few words; the page has all of them with their definitions."""
COLUMNS = {
    "id": "the best",
    "formula": "formula",
    "energy_above_hull": "eV/atom above hull",
    "space_group_relaxed": "space group, relaxed",
}
SHOWN = 10
"""Crystals that are printed at most."""


@with_threads
def evaluate(
    source: Annotated[Path, typer.Argument(metavar="INPUT", help="A folder, file, table or run of structures.")],
    out: OutOption,
    potential: Annotated[
        str, typer.Option(help="chgnet, sevennet, … or an ASE calculator as package.module:Factory.")
    ] = DEFAULT,
    fmax: Annotated[float, typer.Option(help="eV/Å; bound of forces and stress when relaxed.")] = Settings.fmax,
    max_steps: Annotated[
        int, typer.Option(help="Most relaxation steps; 0 takes energies of the crystals as generated.")
    ] = Settings.max_steps,
    reference: Annotated[
        str | None, typer.Option(help="Name or file of the reference; by default the potential's.")
    ] = None,
    known: Annotated[Path | None, typer.Option(help="Table to match novelty against, instead of fingerprints.")] = None,
    n_asked: Annotated[
        int | None, typer.Option(help="Structures requested, if more than there are: the denominator.", min=1)
    ] = None,
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
    _print_best(found.rows, console)
    console.print(
        f"{out / 'report.html'} defines every figure and shows the crystals; {out / 'rows.parquet'} has them all"
    )


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
    from materium.report.section import no_plots

    page, folder = out / "report.html", out / "figures" if figures else None
    if (figures or not page.exists()) and not write_evaluation(page, title, found.rows, found.metrics, folder):
        console.print(f"report.html: {no_plots()}")


def _print(metrics: Mapping[str, Any], console: "Console") -> None:
    from materium.report.evaluation import cells

    for name in ("potential", "reference"):
        if metrics.get(name):
            console.print(f"{name}: {', '.join(str(value) for value in metrics[name].values())}")
    if metrics.get("novelty"):
        console.print(f"novel: {metrics['novelty']}")
    if metrics["left_out"]:
        console.print(f"{len(metrics['left_out'])} files of no known kind were not read")
    figures = metrics["metrics"]
    body = [(name, *cells(figures[name]), meaning) for name, meaning in FIGURES.items() if name in figures]
    console.print(make_table(("", "value", "count", "95 % interval", "meaning"), body))


def _print_best(rows: "Sequence[Mapping[str, Any]]", console: "Console") -> None:
    """The crystals to look at first, as the page has them."""
    from materium.report.evaluation import best

    found = best(rows, SHOWN)
    if found:
        body = [(rank, *(_cell(row.get(name)) for name in COLUMNS)) for rank, row in enumerate(found, 1)]
        console.print()
        console.print(make_table(("", *COLUMNS.values()), body))


def _cell(value: object) -> object:
    return "" if value is None else f"{value:.3f}" if isinstance(value, float) else value
