"""`materium data`: what a source of crystals holds, and the same crystals in another format."""

import csv
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from materium.cli.console import make_console, make_progress, make_table
from materium.cli.options import QuietOption
from materium.cli.threads import with_threads
from materium.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from rich.table import Table

    from materium.crystal import Crystal
    from materium.data.records import Row, Scalar
    from materium.evaluate.predictors import Predictor

    Writer = Callable[[Path, Iterable[Row]], None]

app = typer.Typer(rich_markup_mode=None)

SourceArgument = Annotated[Path, typer.Argument(metavar="IN", help="Table, file or folder of structures.")]
ROWS_AT_ONCE = 256
"""Whose labels are predicted together."""
SHOWN = 80
"""Characters of an id in a line for people."""
MAX_FILE_NAME = 120
"""Characters of an id that go into the name of its CIF."""


@app.callback()
def data() -> None:
    """Look into tables, files and folders of crystals, and convert them.

    Parquet, CSV and JSON tables, CIF, POSCAR, extxyz and ASE .db files, folders of them, and MatterGen's caches.

    Example:

        materium data example crystals.csv
    """


@app.command()
def info(path: SourceArgument, quiet: QuietOption = False) -> None:
    """Count the rows, sites, elements and properties of a source, and the rows that cannot be read, by reason.

    Example:

        materium data info crystals.csv
    """
    census = Census()
    for _ in _rows(path, census, "reading", quiet=quiet):
        pass
    console = make_console(quiet=quiet)
    console.print(_summary(census))
    for table in (_property_table(census), _label_table(census), _rejection_table(census)):
        if table.row_count:
            console.print()
            console.print(table)


@app.command()
@with_threads
def convert(
    source: SourceArgument,
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A .parquet, .csv or .extxyz file, or a new folder.")],
    predict: Annotated[
        list[str] | None,
        typer.Option(metavar="<name>", help="A predictor, or its property: fills in labels that rows lack."),
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Write the crystals of a source to a .parquet, .csv or .extxyz file, or to a folder of CIFs.

    Rows that cannot be read are counted and left out. A folder of CIFs holds no properties, the other formats do.
    With --predict, labels that a row lacks are predicted: more to train on, and as good as the predictor.

    Example:

        materium data convert cifs/ crystals.parquet
    """
    _convert(source, target, predict or [], quiet=quiet)


@app.command()
@with_threads
def label(
    source: SourceArgument,
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A .parquet, .csv or .extxyz file, or a new folder.")],
    potential: Annotated[
        str, typer.Option(help="Whose energies, of rows without DFT: chgnet, sevennet or package.module:Factory.")
    ] = "chgnet",
    reference: Annotated[
        str | None, typer.Option(help="Name or file of the reference; by default the potential's.")
    ] = None,
    quiet: QuietOption = False,
) -> None:
    """Give every row an energy above hull: DFT's where the table has it, else a potential's above its reference.

    The column energy_above_hull_source says which. DFT is energy_above_hull itself, then e_hull_est where est_method
    begins with dft. A column chgnet_energy_per_atom saves CHGNet's calculation. Rows for which the reference lacks the
    competing phases stay without a label and are counted.

    Example:

        materium data label crystals.parquet labelled.parquet
    """
    from materium.evaluate.hull import Hull
    from materium.evaluate.hull_labels import label as label_rows
    from materium.evaluate.reference import load
    from materium.io.lock import new_target
    from materium.relax.adapters import potential as potential_of

    write, census = _writer(target), Census()
    hull = Hull(load(reference or potential))
    with new_target(target) as part:
        rows = list(_rows(source, census, "reading", quiet=quiet))
        if not census.readable:
            raise DataError(f"{source} has no readable row of {census.rows}; {_most_common_reason(census)}")
        with make_progress(quiet=quiet) as progress:
            labels = label_rows(
                rows, hull, lambda: potential_of(potential), lambda items, text: progress.track(items, description=text)
            )
        write(part, labels.rows)
    console = make_console(quiet=quiet)
    console.print(f"{target}: {census.readable} of {census.rows} rows")
    lines: list[tuple[str, object]] = [(f"labelled by {name}", times) for name, times in labels.sources.most_common()]
    lines += [(f"no label: {reason}", times) for reason, times in labels.unlabelled.most_common()]
    lines += [("energies computed", labels.computed)]
    lines += [("DFT and the potential on different sides of 0.1 eV/atom", f"{labels.apart} of {labels.judged}")]
    console.print(make_table(("energy above hull", "rows"), lines))
    if census.rejected:
        console.print(_rejection_table(census))


@app.command()
def example(
    target: Annotated[Path, typer.Argument(metavar="OUT", help="A .parquet, .csv or .extxyz file, or a new folder.")],
    quiet: QuietOption = False,
) -> None:
    """Write the textbook crystals that come with the package: a small table to try the other commands on.

    Example:

        materium data example crystals.csv
    """
    from materium.data.example import example_table

    _convert(example_table(), target, [], quiet=quiet)


def _convert(source: Path, target: Path, predict: list[str], *, quiet: bool) -> None:
    from materium.evaluate.predictors import predictor
    from materium.io.lock import new_target

    write = _writer(target)
    predictors = [predictor(name) for name in predict]
    census = Census()
    with new_target(target) as part:
        write(part, _labelled(_rows(source, census, "converting", quiet=quiet), predictors))
        if not census.readable:
            raise DataError(f"{source} has no readable row of {census.rows}; {_most_common_reason(census)}")
    console = make_console(quiet=quiet)
    console.print(f"{target}: {census.readable} of {census.rows} rows")
    for name, new in _renamed(census, target.suffix).items():
        console.print(f"{name} is written as {new}: the format gives that name a meaning of its own")
    for table in (_label_table(census), _rejection_table(census)):
        if table.row_count:
            console.print(table)


@dataclass
class Span:
    """What is known of one property: on how many rows, and from where to where if it is a number."""

    rows: int = 0
    lowest: float = float("inf")
    highest: float = float("-inf")

    def add(self, value: "Scalar") -> None:
        """Count a value; text has no range."""
        self.rows += 1
        if not isinstance(value, str):
            self.lowest, self.highest = min(self.lowest, value), max(self.highest, value)


@dataclass
class Census:
    """Counts over the rows of a source."""

    rows: int = 0
    readable: int = 0
    sites: Counter[int] = field(default_factory=Counter)
    elements: Counter[int] = field(default_factory=Counter)
    properties: dict[str, Span] = field(default_factory=dict)
    rejected: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    unread: dict[str, str] = field(default_factory=dict)

    def add(self, row: "Row") -> None:
        """Count a row."""
        self.rows += 1
        self.left_out.update(row.left_out.keys())
        for name, text in row.left_out.items():
            self.unread.setdefault(name, f"{row.id[:SHOWN]}: {text!r}")
        if row.crystal is None:
            kind = (row.reason or "").partition(":")[0]
            self.rejected[kind] += 1
            self.examples.setdefault(kind, f"{row.id[:SHOWN]}: {row.reason}")
            return
        self.readable += 1
        self.sites[len(row.crystal)] += 1
        self.elements.update(set(row.crystal.numbers.tolist()))
        for name, value in row.properties.items():
            self.properties.setdefault(name, Span()).add(value)


def _rows(path: Path, census: Census, description: str, *, quiet: bool) -> "Iterator[Row]":
    """Rows as they are read, counted, under a progress bar."""
    from materium.data.readers import checked, open_source

    source = open_source(path)
    with make_progress(quiet=quiet) as progress:
        for row in progress.track(checked(source.rows), total=source.total, description=description):
            census.add(row)
            yield row


def _labelled(rows: "Iterator[Row]", predictors: "list[Predictor]") -> "Iterator[Row]":
    """Rows with what they lack predicted, many at a time."""
    if not predictors:
        yield from rows
        return
    while chunk := list(islice(rows, ROWS_AT_ONCE)):
        known = [dict(row.properties) for row in chunk]
        for one in predictors:
            lacking = [i for i, row in enumerate(chunk) if row.crystal is not None and one.predicts not in known[i]]
            values = one([crystal for i in lacking if (crystal := chunk[i].crystal) is not None])
            for i, value in zip(lacking, values.tolist(), strict=True):
                if isfinite(value):
                    known[i][one.predicts] = value
        yield from (replace(row, properties=properties) for row, properties in zip(chunk, known, strict=True))


def _summary(census: Census) -> "Table":
    from materium.convert import symbols

    lines = [("rows", f"{census.rows}"), ("readable", f"{census.readable}"), ("rejected", f"{census.rejected.total()}")]
    if census.readable:
        mean = sum(size * times for size, times in census.sites.items()) / census.readable
        lines.append(("sites", f"{min(census.sites)} to {max(census.sites)}, mean {mean:.1f}"))
        lines.append(("elements", f"{len(census.elements)}: {' '.join(symbols(sorted(census.elements)))}"))
    table = make_table(("", ""), lines)
    table.show_header = False
    return table


def _property_table(census: Census) -> "Table":
    from materium.properties import table

    known = table()
    lines = [
        (name, span.rows, *_range(span), known[name].unit if name in known else "")
        for name, span in census.properties.items()
    ]
    return make_table(("property", "rows", "lowest", "highest", "unit"), lines)


def _range(span: Span) -> tuple[str, str]:
    return ("text", "") if span.lowest > span.highest else (f"{span.lowest:.6g}", f"{span.highest:.6g}")


def _label_table(census: Census) -> "Table":
    """Labels that could not be read, which cost no crystal."""
    lines = [(times, name, census.unread[name]) for name, times in census.left_out.most_common()]
    return make_table(("left out", "labels of", "for example"), lines)


def _renamed(census: Census, suffix: str) -> dict[str, str]:
    """Labels that the file holds by another name."""
    from materium.io.extxyz import label_name

    names = {**dict.fromkeys(["id"]), **census.properties} if suffix == ".extxyz" else {}
    return {name: new for name in names if (new := label_name(name, names)) != name}


def _rejection_table(census: Census) -> "Table":
    lines = [(times, kind, census.examples[kind]) for kind, times in census.rejected.most_common()]
    return make_table(("rejected", "because", "for example"), lines)


def _most_common_reason(census: Census) -> str:
    return next((census.examples[kind] for kind, _ in census.rejected.most_common(1)), "it is empty")


def _writer(target: Path) -> "Writer":
    writers = {".parquet": _write_parquet, ".csv": _write_csv, ".extxyz": _write_extxyz, "": _write_cifs}
    if target.suffix not in writers:
        raise DataError(f"{target} has an unknown ending; .parquet, .csv, .extxyz or none (a folder of CIFs) is needed")
    return writers[target.suffix]


def _readable(rows: "Iterable[Row]") -> "Iterator[tuple[Row, Crystal]]":
    return ((row, row.crystal) for row in rows if row.crystal is not None)


def _write_parquet(path: Path, rows: "Iterable[Row]") -> None:
    """One table in our schema; all rows are in memory, since which properties there are is known with the last."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kept = list(_readable(rows))
    structures = _structure_columns(kept)
    properties = _property_columns([row.properties for row, _ in kept], taken={*structures, "reduced_formula"})
    pq.write_table(pa.table({**structures, **properties}), path, compression="zstd")


def _structure_columns(kept: "list[tuple[Row, Crystal]]") -> dict[str, Any]:
    import pyarrow as pa

    from materium.convert import formula

    crystals = [crystal for _, crystal in kept]
    states = [None if c.oxidation_states is None else c.oxidation_states.tolist() for c in crystals]
    columns = {
        "id": pa.array([row.id for row, _ in kept]),
        "formula": pa.array([formula(crystal) for crystal in crystals]),
        "num_sites": pa.array([len(crystal) for crystal in crystals]),
        "cell": pa.array([c.lattice.ravel().tolist() for c in crystals], pa.list_(pa.float64())),
        "atomic_numbers": pa.array([c.numbers.tolist() for c in crystals], pa.list_(pa.int8())),
        "frac_coords": pa.array([c.frac_coords.ravel().tolist() for c in crystals], pa.list_(pa.float64())),
    }
    return {**columns, "oxidation_states": pa.array(states, pa.list_(pa.int8()))} if any(states) else columns


def _property_columns(properties: "list[Mapping[str, Scalar]]", taken: set[str]) -> dict[str, list[Any]]:
    """A column for each property, with None where a row has none; a column with any text is all text."""
    names = [name for name in dict.fromkeys(name for row in properties for name in row) if name not in taken]
    columns: dict[str, list[Any]] = {name: [row.get(name) for row in properties] for name in names}
    for name, values in columns.items():
        if any(isinstance(value, str) for value in values):
            columns[name] = [None if value is None else str(value) for value in values]
    return columns


def _write_csv(path: Path, rows: "Iterable[Row]") -> None:
    """One line for each crystal, with its id, its CIF and its properties."""
    from materium.convert import to_cif

    kept = [(row.id, to_cif(crystal, row.id), row.properties) for row, crystal in _readable(rows)]
    columns: dict[str, list[Any]] = {"id": [name for name, _, _ in kept], "cif": [cif for _, cif, _ in kept]}
    columns |= _property_columns([properties for _, _, properties in kept], taken=set(columns))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))


def _write_extxyz(path: Path, rows: "Iterable[Row]") -> None:
    from materium.convert import write_extxyz_frame

    with path.open("w", encoding="utf-8") as file:
        for row, crystal in _readable(rows):
            write_extxyz_frame(file, crystal, {"id": row.id, **row.properties})


def _write_cifs(path: Path, rows: "Iterable[Row]") -> None:
    from materium.convert import to_cif

    path.mkdir()
    used: Counter[str] = Counter()
    for row, crystal in _readable(rows):
        (path / f"{_file_name(row.id, used)}.cif").write_text(to_cif(crystal, row.id), encoding="utf-8")


def _file_name(name: str, used: Counter[str]) -> str:
    """The id with what file names cannot hold replaced, and numbered where that makes two ids alike."""
    plain = re.sub(r"[^\w+-]+", "_", name.removesuffix(".cif"))[:MAX_FILE_NAME].strip("_") or "crystal"
    used[plain] += 1
    return plain if used[plain] == 1 else _file_name(f"{plain}-{used[plain]}", used)
