"""`materium export`: crystals as ready inputs for density functional theory."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from materium.cli.console import count_rows, make_console, make_progress, make_table
from materium.cli.options import OutOption, QuietOption
from materium.dft.plan import K_SPACING, PROGRAMS, TASKS, Plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from materium.data.records import Row
    from materium.dft.plan import Program, Task

SHORT = {"qe": "quantum-espresso", "espresso": "quantum-espresso"}
"""What people call the programs, too."""


def export(
    sources: Annotated[
        list[Path], typer.Argument(help="Run folders, files, folders or tables of structures.", metavar="IN...")
    ],
    to: Annotated[str, typer.Option("--to", help=f"{' or '.join(PROGRAMS)}; {', '.join(SHORT)} for short.")],
    out: OutOption,
    task: Annotated[str, typer.Option("--task", help=f"{', '.join(TASKS[:-1])} or {TASKS[-1]}.")] = TASKS[0],
    pseudos: Annotated[
        Path | None,
        typer.Option(help="JSON table of pseudopotentials, as SSSP distributes it, in place of the one that ships."),
    ] = None,
    k_spacing: Annotated[
        float | None, typer.Option(help=f"Å⁻¹ between k-points of Quantum ESPRESSO; {K_SPACING:g} where none is given.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Write inputs for Quantum ESPRESSO or VASP, a folder for each crystal, with a README of what to run.

    relax gives variable-cell relaxations, bands a band structure along the standard path, magnetic a spin-polarised run
    that starts ferromagnetic.

    Example:

        materium export runs/first --to quantum-espresso --task relax --out runs/first-qe

        materium export POSCAR --to vasp --task bands --out bands
    """
    from materium.dft import folder, pseudopotentials
    from materium.dft.guide import GUIDE

    table = pseudopotentials.load(pseudos) if pseudos else {}
    plan = Plan(cast("Program", SHORT.get(to.lower(), to.lower())), cast("Task", task), k_spacing, table)
    with make_progress(quiet=quiet) as progress:
        facts = folder.export(
            progress.track(_rows(sources), total=count_rows(map(_best_form, sources)), description="exporting"),
            out,
            plan,
        )
    rejected = [row for row in facts if "folder" not in row]
    console = make_console(quiet=quiet)
    console.print(f"{out}: inputs of {len(facts) - len(rejected)} of {len(facts)} structures; see {out / GUIDE}")
    if rejected:
        console.print(make_table(("left out", "because"), ((row["id"], row["reason"]) for row in rejected)))


def _rows(sources: list[Path]) -> "Iterator[tuple[str, Row]]":
    from materium.data.readers import checked, read

    return ((str(source), row) for source in sources for row in checked(read(_best_form(source))))


def _best_form(source: Path) -> Path:
    """Take a finished run's table, in which crystals that are left out have their ids, too."""
    table = source / "structures.parquet"
    return table if (source / "run.json").is_file() and table.is_file() else source
