"""`materium prepare`: from tables of crystals to shards."""

from pathlib import Path
from typing import Annotated, Any

import typer

from materium.cli.console import make_console, make_progress, make_table
from materium.cli.options import OutOption, QuietOption
from materium.data.prepare import PrepareConfig
from materium.model.threads import free_threads


def prepare(
    train: Annotated[Path, typer.Argument(help="Table, folder or file of crystals to train on.")],
    out: OutOption,
    val: Annotated[Path | None, typer.Option(help="The same for validation; else a share is split off.")] = None,
    test: Annotated[Path | None, typer.Option(help="The same for testing.")] = None,
    tokenizer: Annotated[str, typer.Option(help="base, or paper for the published numbers.")] = PrepareConfig.tokenizer,
    bins: Annotated[int | None, typer.Option(min=12, help="Grid steps; else as the tokenizer's preset.")] = None,
    species_first: Annotated[
        bool, typer.Option("--species-first/--species-last", help="Species before or after its coordinates.")
    ] = PrepareConfig.species_first,
    oxidation_states: Annotated[
        bool, typer.Option(help="Whether species tokens carry oxidation states.")
    ] = PrepareConfig.oxidation_states,
    max_sites: Annotated[int, typer.Option(min=1, help="Atoms in the primitive cell.")] = PrepareConfig.max_sites,
    max_length: Annotated[
        float, typer.Option(help="Å, longest vector of the reduced cell.")
    ] = PrepareConfig.max_length,
    max_energy_above_hull: Annotated[
        float, typer.Option(help="eV/atom, where the table has it.")
    ] = PrepareConfig.max_energy_above_hull,
    exclude_elements: Annotated[str, typer.Option(help="Symbols, such as Tc,Pm.")] = "",
    symprec: Annotated[float, typer.Option(help="Å, tolerance of the symmetry search.")] = PrepareConfig.symprec,
    views: Annotated[
        int, typer.Option(min=1, help="Settings of axes and origin that are kept of a crystal.")
    ] = PrepareConfig.views,
    val_fraction: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share for validation, by formula.")
    ] = PrepareConfig.val_fraction,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes; 0 takes one for each core that is free at the start.")
    ] = 0,
    quiet: QuietOption = False,
) -> None:
    """Filter crystals, bring them to canonical form, and write them as shards to train on.

    Example:

        materium prepare crystals.csv --out data/mine
    """
    from materium.convert import atomic_numbers
    from materium.data.prepare import prepare as write_shards
    from materium.tokens.tokenizer import TokenizerConfig

    elements = tuple(symbol.strip() for symbol in exclude_elements.split(",") if symbol.strip())
    atomic_numbers(elements), TokenizerConfig.preset(tokenizer)  # a misspelt name is seen here, not after all the rows
    config = PrepareConfig(
        tokenizer=tokenizer,
        bins=bins,
        species_first=species_first,
        oxidation_states=oxidation_states,
        max_sites=max_sites,
        max_length=max_length,
        max_energy_above_hull=max_energy_above_hull,
        exclude_elements=elements,
        symprec=symprec,
        views=views,
        val_fraction=val_fraction,
    )
    sources = {name: path for name, path in (("train", train), ("val", val), ("test", test)) if path is not None}
    with make_progress(quiet=quiet) as progress:
        task = progress.add_task("preparing", total=None)
        manifest = write_shards(
            sources,
            out,
            config,
            workers=workers or free_threads(),
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    _report(manifest, out, quiet=quiet)


def _report(manifest: dict[str, Any], out: Path, *, quiet: bool) -> None:
    console = make_console(quiet=quiet)
    console.print(f"{out}: tokenizer {manifest['fingerprint']}, {len(manifest['splits'])} splits")
    rows = []
    for split, counts in manifest["splits"].items():
        rows.append((split, "kept", counts["kept"]))
        rows += [(split, f"oxidation states: {how}", number) for how, number in counts["oxidation_states"].items()]
        rows += [(split, f"rejected: {reason}", number) for reason, number in counts["rejected"].items()]
    console.print(make_table(("split", "what", "rows"), rows))
    rejected = sum(counts["rows"] - counts["kept"] for counts in manifest["splits"].values())
    if rejected:
        console.print(f"{rejected} rows were rejected; SPLIT/rejected.parquet in {out} has each with its reason")
