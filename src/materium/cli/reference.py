"""`materium reference`: builds what crystals are judged against, and shows it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from materium.cli.console import make_console, make_progress, make_table
from materium.cli.options import QuietOption
from materium.cli.threads import with_threads

if TYPE_CHECKING:
    from materium.evaluate.reference import Reference

app = typer.Typer(rich_markup_mode=None)


@app.callback()
def reference() -> None:
    """Build the hull and the fingerprints that crystals are judged against, or look into them.

    Example:

        materium reference info
    """


@app.command()
@with_threads
def build(
    tables: Annotated[
        list[Path], typer.Argument(metavar="TABLE...", help="Tables of crystals, the training set first.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="File for the reference, *.parquet.", dir_okay=False)],
    potential: Annotated[
        str, typer.Option(help="Whose energies: chgnet, sevennet or package.module:Factory.")
    ] = "chgnet",
    name: Annotated[str | None, typer.Option(help="How results call it; the file's name where none is given.")] = None,
    relax: Annotated[
        bool, typer.Option("--relax", help="Relax every crystal first; takes days for large tables.")
    ] = False,
    near: Annotated[
        str | None,
        typer.Option(help="Another reference: compute rows without a formation energy only if they are on its hull."),
    ] = None,
    fit_rows: Annotated[
        int | None, typer.Option(min=1, help="Rows for each element that its energy is fitted to; all by default.")
    ] = None,
    max_above: Annotated[
        float | None,
        typer.Option(help="eV/atom; rows that a column e_hull_est puts higher above the hull give no energy."),
    ] = None,
    compute: Annotated[
        bool, typer.Option(help="Compute energies that no column gives; otherwise such rows give fingerprints alone.")
    ] = True,
    crystals: Annotated[
        Path | None,
        typer.Option(help="File beside --out that several references share for their crystals.", dir_okay=False),
    ] = None,
    processes: Annotated[
        int, typer.Option("--processes", "-j", help="Worker processes for fingerprints and hull.", min=1)
    ] = 1,
    quiet: QuietOption = False,
) -> None:
    """Compute a table's energies and fingerprints, and write them to one small file.

    Columns formation_energy_per_atom and energy_above_hull (DFT, Materials Project) complete the hull where they are
    given; a column chgnet_energy_per_atom saves CHGNet's calculation. Every crystal is known afterwards, on the hull or
    not. With --crystals the crystals' fingerprints go into a file of their own, which a second potential's reference of
    the same tables takes as it is.

    Example:

        materium reference build train.parquet val.parquet --potential chgnet --out mine.parquet

        materium reference build train.parquet more.parquet --max-above 0.1 --crystals known.parquet --out both.parquet
    """
    from materium.errors import DataError
    from materium.evaluate.reference import SHIPPED, load
    from materium.evaluate.reference_build import Options
    from materium.evaluate.reference_build import build as build_reference
    from materium.io.lock import hold_target
    from materium.relax.adapters import potential as potential_of

    if out.exists():
        raise DataError(f"{out} exists and is never overwritten; name another file or remove it")
    options = Options(relax, None if near is None else load(near), fit_rows, max_above, compute, processes)
    title = name or out.stem.removeprefix(SHIPPED)
    with hold_target(out):
        with make_progress(quiet=quiet) as progress:
            found = build_reference(
                tables,
                potential_of(potential),
                title,
                options,
                lambda items, text: progress.track(items, description=text),
                crystals,
            )
        found.write(out, crystals)
    _show(found, quiet=quiet)


@app.command()
def info(
    path: Annotated[str | None, typer.Argument(metavar="[FILE]", help="A file, or the name of one that ships.")] = None,
    quiet: QuietOption = False,
) -> None:
    """Print what a reference is: its potential, its hull, its crystals and where they come from.

    Example:

        materium reference info chgnet
    """
    from materium.evaluate.reference import DEFAULT, load

    _show(load(path or DEFAULT), quiet=quiet)


def _show(found: "Reference", *, quiet: bool) -> None:
    from collections import Counter

    from materium.evaluate.hull import system_of

    kinds = Counter(entry.kind for entry in found.entries)
    pure = {system[0] for system in (system_of(entry.formula) for entry in found.entries) if len(system) == 1}
    rows = [
        ("name", found.name),
        ("fingerprint", found.fingerprint),
        ("potential", f"{found.potential} {found.version}, energies {found.scheme}"),
        ("hull", f"{len(found.entries):,} phases: " + ", ".join(f"{n:,} {kind}" for kind, n in sorted(kinds.items()))),
        ("elements", f"{len(pure)}: {' '.join(sorted(pure))}"),
        *(("table", f"{table.name}, {table.rows:,} crystals, sha256 {table.sha256}") for table in found.tables),
        *(("built with", f"{name} = {value}") for name, value in found.settings.items()),
    ]
    summary = make_table(("", ""), rows)
    summary.show_header = False
    make_console(quiet=quiet).print(summary)
