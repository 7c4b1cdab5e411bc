"""`materium prepare`: from tables of crystals to shards."""

from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from materium.cli.console import make_console, make_progress, make_table
from materium.cli.options import OutOption, QuietOption
from materium.data.prepare import MAX_LENGTH, SUBGROUPS, PrepareConfig
from materium.model.threads import free_threads

T = TypeVar("T")
FOR_ONE = "TABLE=VALUE for one table."


def prepare(
    train: Annotated[
        list[Path], typer.Argument(metavar="TABLE", help="Tables, folders or files of crystals to train on.")
    ],
    out: OutOption,
    val: Annotated[Path | None, typer.Option(help="The same for validation; else a share is split off.")] = None,
    test: Annotated[Path | None, typer.Option(help="The same for testing.")] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(metavar="<number>", help=f"How often a crystal is drawn in an epoch, on average. {FOR_ONE}"),
    ] = None,
    max_energy_above_hull: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<number>",
            help=f"eV/atom; rows above are rejected. {FOR_ONE}  [default: {PrepareConfig.max_energy_above_hull:g}]",
        ),
    ] = None,
    unlabelled: Annotated[
        list[str] | None,
        typer.Option(metavar="<keep/drop>", help=f"Rows without an energy above hull. {FOR_ONE}  [default: keep]"),
    ] = None,
    exclude_elements: Annotated[
        list[str] | None, typer.Option(metavar="<symbols>", help=f"Symbols, such as Tc,Pm. {FOR_ONE}")
    ] = None,
    labels: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="<path>",
            help="Parquet or CSV table of labels, joined by id; fills in what the crystals' tables lack.",
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            metavar="<name=column,...>",
            help="Columns of a label, the first with a value counts: band_gap=band_gap,gap_mbj.",
        ),
    ] = None,
    representation: Annotated[
        str, typer.Option(help="atoms, or orbits on Wyckoff positions (experimental).")
    ] = PrepareConfig.representation,
    tokenizer: Annotated[str, typer.Option(help="base, or paper for the published numbers.")] = PrepareConfig.tokenizer,
    bins: Annotated[int | None, typer.Option(min=12, help="Grid steps; else as the tokenizer's preset.")] = None,
    species_first: Annotated[
        bool, typer.Option("--species-first/--species-last", help="Species before or after its coordinates.")
    ] = PrepareConfig.species_first,
    oxidation_states: Annotated[
        bool, typer.Option(help="Whether species tokens carry oxidation states.")
    ] = PrepareConfig.oxidation_states,
    max_sites: Annotated[
        int | None, typer.Option(min=1, help="Atoms in the primitive cell.  [default: 20; 52 of orbits]")
    ] = None,
    max_length: Annotated[
        float | None,
        typer.Option(
            help="Å, longest vector of the reduced cell, or with orbits of the conventional one.  "
            f"[default: {MAX_LENGTH:g}; of orbits none]"
        ),
    ] = None,
    symprec: Annotated[float, typer.Option(help="Å, tolerance of the symmetry search.")] = PrepareConfig.symprec,
    views: Annotated[
        int, typer.Option(min=1, help="Settings of axes and origin that are kept of a crystal.")
    ] = PrepareConfig.views,
    subgroups: Annotated[
        int | None,
        typer.Option(
            min=0, help=f"Translationengleiche subgroups that orbits are described in besides.  [default: {SUBGROUPS}]"
        ),
    ] = None,
    val_fraction: Annotated[
        float, typer.Option(min=0, max=0.5, help="Share for validation, by formula.")
    ] = PrepareConfig.val_fraction,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes; 0 takes one for each core that is free at the start.")
    ] = 0,
    quiet: QuietOption = False,
) -> None:
    """Filter crystals, bring them to canonical form, and write them as shards to train on.

    An option that takes TABLE=VALUE can be repeated; TABLE is a file's name, or its path. Of a crystal in two tables
    the first stays.

    Example:

        materium prepare crystals.csv --out data/mine

        materium prepare a.parquet b.parquet --max-energy-above-hull 0.1 --weight b.parquet=0.5 --out data/both
    """
    from materium.convert import atomic_numbers
    from materium.data.inputs import InputTable
    from materium.data.prepare import prepare as write_shards
    from materium.data.side_labels import LabelSources
    from materium.errors import DataError
    from materium.tokens.tokenizer import TokenizerConfig

    def elements(text: str) -> tuple[str, ...]:
        symbols = tuple(symbol.strip() for symbol in text.split(",") if symbol.strip())
        atomic_numbers(symbols)
        return symbols

    TokenizerConfig.preset(tokenizer)  # a misspelt name is seen here, not after all the rows
    splits = {"train": train, "val": [val] if val else [], "test": [test] if test else []}
    paths = [path for tables in splits.values() for path in tables]
    weights = by_table("--weight", weight, train, _number)
    hulls = by_table("--max-energy-above-hull", max_energy_above_hull, paths, _number)
    keep = by_table("--unlabelled", unlabelled, paths, _keeps)
    excluded = by_table("--exclude-elements", exclude_elements, paths, elements)
    sources = {
        split: [
            InputTable(path, weights.get(path, 1.0), hulls.get(path), keep.get(path), excluded.get(path))
            for path in tables
        ]
        for split, tables in splits.items()
        if tables
    }
    columns = {}
    for text in label or []:
        name, sign, given = text.partition("=")
        columns[name.strip()] = tuple(column.strip() for column in given.split(",") if column.strip())
        if not (sign and columns[name.strip()]):
            raise DataError(f"--label {text}: expected a label and its columns, such as band_gap=band_gap,gap_mbj")
    config = PrepareConfig(
        representation=representation,  # type: ignore[arg-type]  # PrepareConfig names the right ones
        tokenizer=tokenizer,
        bins=bins,
        species_first=species_first,
        oxidation_states=oxidation_states,
        max_sites=max_sites,
        max_length=max_length,
        symprec=symprec,
        views=views,
        subgroups=subgroups,
        val_fraction=val_fraction,
    )
    with make_progress(quiet=quiet) as progress:
        task = progress.add_task("preparing", total=None)
        manifest = write_shards(
            sources,
            out,
            config,
            labels=LabelSources(tuple(labels or ()), columns),
            workers=workers or free_threads(),
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    _report(manifest, out, quiet=quiet)


def by_table(option: str, texts: list[str] | None, tables: list[Path], read: Callable[[str], T]) -> dict[Path, T]:
    """Return what an option says of each table: `VALUE` of all of them, `TABLE=VALUE` of one.

    Raises
    ------
    DataError
        If there is no such table, or a value cannot be read.
    """
    from materium.errors import DataError

    for_all, for_one = dict[Path, T](), dict[Path, T]()
    for text in texts or []:
        name, sign, value = text.rpartition("=")
        try:
            found = read(value)
        except ValueError as error:
            raise DataError(f"{option} {text}: {error}") from error
        if not sign:
            for_all = dict.fromkeys(tables, found)
            continue
        named = [path for path in tables if str(path) == name] or [path for path in tables if path.name == name]
        if len(named) != 1:
            known = ", ".join(map(str, tables))
            raise DataError(f"{option} {text}: {len(named)} tables are called {name!r}; name one of {known}")
        for_one[named[0]] = found
    return for_all | for_one


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise ValueError(f"expected a number such as 0.1, got {text!r}") from error
    if not 0 <= number <= inf:
        raise ValueError(f"expected a number from 0 on, got {text}")
    return number


def _keeps(text: str) -> bool:
    if text not in ("keep", "drop"):
        raise ValueError(f"expected keep or drop, got {text!r}")
    return text == "keep"


def _report(manifest: dict[str, Any], out: Path, *, quiet: bool) -> None:
    console = make_console(quiet=quiet)
    console.print(f"{out}: tokenizer {manifest['fingerprint']}, {len(manifest['splits'])} splits")
    rows: list[tuple[str, str, object]] = []
    for split, counts in manifest["splits"].items():
        tables = counts["tables"] if len(counts["tables"]) > 1 else {}
        for place, part in {split: counts, **{f"{split}: {name}": part for name, part in tables.items()}}.items():
            rows.append((place, "kept", part["kept"]))
            rows += [(place, f"oxidation states: {how}", number) for how, number in part["oxidation_states"].items()]
            rows += [(place, f"energy above hull: {whose}", n) for whose, n in part["energy_above_hull"].items()]
            rows += [(place, f"labels left out: {name}", number) for name, number in part["labels_left_out"].items()]
            rows += [(place, f"rejected: {reason}", number) for reason, number in part["rejected"].items()]
        rows += [(split, "kept, and in train too", counts["also_in_train"])] if counts["also_in_train"] else []
    for name, part in manifest["labels"]["tables"].items():
        rows += [(name, "ids of crystals", part["matched"]), (name, "unknown ids", part["rows"] - part["matched"])]
    for part in manifest["labels"]["columns"]:
        rows.append((part["table"] or "tables of crystals", f"{part['label']} from {part['column']}", part["rows"]))
    console.print(make_table(("split", "what", "rows"), rows))
    rejected = sum(counts["rows"] - counts["kept"] for counts in manifest["splits"].values())
    if rejected:
        console.print(f"{rejected} rows were rejected; SPLIT/rejected.parquet in {out} has each with its reason")
