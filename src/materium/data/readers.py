"""Rows of crystals from tables, folders and files in the formats of the field, one at a time.

Every row of a source becomes a `Row`: one whose structure cannot be read carries the reason instead of a crystal. What
stops a source as a whole (a missing file, a table without structures, a file cut short) raises `DataError`.
"""

from __future__ import annotations

import csv
import hashlib
import re
import zlib
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from materium import convert
from materium.data.records import (
    LAYOUTS,
    Layout,
    Row,
    id_column,
    layout_of,
    make_row,
    plain_text,
    properties_of,
    record_row,
    record_rows,
    with_numbers,
)
from materium.errors import DataError, MateriumError
from materium.io.files import check_file, decode, read_json, read_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["Row", "Source", "checked", "count", "digest", "open_source", "read", "records"]

BATCH_ROWS = 256
BATCH_BYTES = 1 << 24
"""Of a batch whose rows become Python's numbers together, which are eight times as large; of larger ones each does."""
MAX_FIELD = 1 << 24
"""Characters of a field of a CSV file, which may be a CIF."""
HEAD_LINES = 8
"""Lines among which the names of the columns of a CSV file stand."""
DELIMITERS = (",", ";", "\t", "|")
"""Between the columns of a CSV file: Excel writes `;` in most of Europe, and a tab in its Unicode text."""
NO_STRUCTURE = LAYOUTS[0]._replace(columns=(), optional=())
"""Of a table of which the structures, if there are any, are not read."""
CACHE_FILES = ("pos", "cell", "atomic_numbers", "num_atoms")


class Source(NamedTuple):
    """The rows of a source, to be read once, and their number where that is known beforehand."""

    rows: Iterator[Row]
    total: int | None


def read(path: str | Path) -> Iterator[Row]:
    """Return the rows of a table, folder or file; raises as `open_source`."""
    return open_source(path).rows


def count(path: str | Path) -> int | None:
    """Return the number of rows if that is cheap to know, for progress bars; raises as `open_source`."""
    return open_source(path).total


def open_source(path: str | Path) -> Source:
    """Return the rows of a source, and how many they are.

    A source is a Parquet, CSV or JSON table, a CIF, POSCAR or extxyz file, an ASE database, MatterGen's cache of NumPy
    files, a folder of structure files or of Parquet files, or a run folder (of which `structures.extxyz` is read).
    Overlapping atoms are a reason to reject a row of text (CIF and so on); in tables of numbers they are left to
    `checked`, which costs more than reading.

    Raises
    ------
    DataError
        If there is nothing at `path`, it is in no known format or has no structures. A file that turns out to be cut
        short on the way raises from the rows.
    """
    place = _place(path)
    if place.is_dir():
        return _folder(place)
    suffix = place.name.lower().removesuffix(".gz").rpartition(".")[2]
    if suffix in _TABLES:
        with _readable(place):
            return _TABLES[suffix](place)
    if convert.file_kind(place):
        with _readable(place):
            return _structure_file(place, place.name)
    known = "Parquet, CSV, JSON, CIF, POSCAR, extxyz and ASE .db files"
    raise DataError(f"{path} is in no known format; {known} can be read, and folders of them")


def records(path: str | Path) -> Iterator[Mapping[str, Any]]:
    """Yield the rows of a Parquet or CSV table as they are, structures or not, numbers as numbers.

    Raises
    ------
    DataError
        If there is no such table, or it cannot be read.
    """
    place = _place(path)
    kind = place.name.lower().removesuffix(".gz").rpartition(".")[2]
    if place.is_dir() or kind not in ("parquet", "csv"):
        raise DataError(f"{path} is no Parquet or CSV table; give one")
    with _readable(place):
        yield from _parquet_records(place) if kind == "parquet" else _csv_records(place)


def _parquet_records(path: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    columns = _flat_columns(file.schema_arrow, NO_STRUCTURE)
    return (record for batch in file.iter_batches(BATCH_ROWS, columns=columns) for record in _records(batch))


def _csv_records(path: Path) -> Iterator[Mapping[str, Any]]:
    lines = list(islice(read_lines(path), HEAD_LINES))
    delimiter = next((sign for sign in DELIMITERS if id_column(_head(lines, sign))), DELIMITERS[0])
    try:
        for record in csv.DictReader(read_lines(path), delimiter=delimiter, strict=True, restval=""):
            if None in record:
                raise DataError(f"the row {record[next(iter(record))]} has more values than there are columns")
            yield with_numbers(record, NO_STRUCTURE)
    except csv.Error as error:
        raise DataError(f"broken line: {error}") from error


def checked(rows: Iterable[Row]) -> Iterator[Row]:
    """Yield the rows, those with overlapping atoms as rejected ones."""
    for row in rows:
        if row.crystal is None:
            yield row
        else:
            yield make_row(row.id, row.crystal.check_distances, row.properties, row.left_out)


def digest(path: str | Path) -> str:
    """Return the SHA-256 of a file's content, or of the names and contents of all files of a folder."""
    place = _place(path)
    if place.is_file():
        with place.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    files = sorted(file for file in place.rglob("*") if file.is_file())
    lines = [f"{file.relative_to(place).as_posix()} {digest(file)}" for file in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _place(path: str | Path) -> Path:
    place = Path(path)
    try:
        found = place.exists()
    except (OSError, ValueError) as error:  # a name that is too long, or has a zero byte
        raise DataError(f"cannot open {str(path)[:80]!r}: {getattr(error, 'strerror', None) or error}") from error
    if not found:
        raise DataError(f"{path} does not exist; give a table, a folder or a file of structures")
    if not place.is_dir():
        check_file(place)
    return place


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Say in one line what a damaged file does to its reader; pyarrow, zlib, json and NumPy raise these."""
    try:
        yield
    except MateriumError as error:
        raise DataError(str(error) if str(path) in str(error) else f"{path}: {error}") from error
    except (
        ArithmeticError,
        EOFError,
        KeyError,
        NotImplementedError,
        OSError,
        TypeError,
        ValueError,
        zlib.error,
    ) as error:
        detail = " ".join(str(error).split())[:160]
        raise DataError(f"cannot read {path}: {detail}; give a whole file") from error


def _guarded(rows: Iterator[Row], path: Path) -> Iterator[Row]:
    with _readable(path):
        yield from rows


# --- tables ---


def _parquet(path: Path) -> Source:
    import pyarrow.parquet as pq

    file = pq.ParquetFile(path)
    layout = layout_of(file.schema_arrow.names, path)
    columns = _flat_columns(file.schema_arrow, layout)
    batches = file.iter_batches(BATCH_ROWS, columns=columns)
    records = (record for batch in batches for record in _records(batch))
    return Source(_guarded(record_rows(records, layout), path), file.metadata.num_rows)


def _records(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """The rows of a batch; text that is not UTF-8, which Parquet allows nobody and some write, is decoded."""
    import pyarrow as pa

    rows = 1 if batch.nbytes > BATCH_BYTES else max(batch.num_rows, 1)
    for part in (batch.slice(start, rows) for start in range(0, batch.num_rows, rows)):
        try:
            yield from part.to_pylist()
        except UnicodeDecodeError:
            texts = [pa.types.is_string(field.type) or pa.types.is_large_string(field.type) for field in part.schema]
            columns = [c.cast(pa.large_binary()) if text else c for c, text in zip(part.columns, texts, strict=True)]
            for row in zip(*(column.to_pylist() for column in columns), strict=True):
                values = (decode(value) if isinstance(value, bytes) else value for value in row)
                yield dict(zip(part.schema.names, values, strict=True))


def _flat_columns(schema: pa.Schema, layout: Layout) -> list[str]:
    """The structure's columns and all single values: forces and stresses of millions of rows stay on the disk."""
    from pyarrow import types

    other = (types.is_nested, types.is_binary, types.is_large_binary, types.is_temporal)
    single = {f.name for f in schema if not any(is_other(f.type) for is_other in other)}
    return [name for name in schema.names if name in {*layout.columns, *layout.optional, *single}]


def _csv(path: Path) -> Source:
    delimiter, names = _columns_of(path)
    if not names:
        raise DataError(f"cannot read {path}: it has no line of columns; give a whole file")
    return Source(_guarded(_csv_rows(path, delimiter, names, layout_of(names, path)), path), None)


def _columns_of(path: Path) -> tuple[str, list[str]]:
    """The sign between the columns, and their names: the first sign that gives a table with structures, or a comma."""
    lines = list(islice(read_lines(path), HEAD_LINES))
    heads = {delimiter: _head(lines, delimiter) for delimiter in DELIMITERS}
    for delimiter, names in heads.items():
        if any(set(layout.columns) <= set(names) for layout in LAYOUTS):
            return delimiter, names
    return DELIMITERS[0], heads[DELIMITERS[0]]


def _head(lines: list[str], delimiter: str) -> list[str]:
    try:
        return next((line for line in csv.reader(lines, delimiter=delimiter, strict=True) if line), [])
    except csv.Error:
        return []


def _csv_rows(path: Path, delimiter: str, names: list[str], layout: Layout) -> Iterator[Row]:
    """Rows of a CSV file; a line with other columns, or with quotes that do not close, is a rejected one."""
    csv.field_size_limit(MAX_FIELD)
    reader, index, head = csv.reader(read_lines(path), delimiter=delimiter, strict=True), 0, True
    while True:
        start = reader.line_num + 1
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield Row(f"line {start}", None, {}, f"broken line: {error}")
            continue
        if not values or head:
            head = head and not values
        elif len(values) != len(names):
            reason = f"broken line: {len(values)} columns, {len(names)} are needed"
            yield Row(f"line {start}", None, {}, reason)
        else:
            record = dict(zip(names, values, strict=True))
            yield record_row(with_numbers(record, layout), layout, index)
            index += 1


def _json(path: Path) -> Source:
    return Source(_guarded(_json_rows(path), path), None)


def _json_rows(path: Path) -> Iterator[Row]:
    """Each record by its own layout, since records need not have the same names."""
    for index, record in enumerate(_json_records(read_json(path))):
        try:
            yield record_row(record, layout_of(tuple(record), "the record"), index)
        except DataError as error:
            yield Row(str(record.get(id_column(record), index)), None, {}, str(error))


def _json_records(data: object) -> list[dict[str, Any]]:
    """Records of a structure, of a list of structures or records, or of a dictionary of them by their ids."""
    whole = [data] if _is_structure(data) else data
    entries = list(whole.values() if isinstance(whole, dict) else whole if isinstance(whole, list) else [])
    if not entries or not all(isinstance(entry, dict) for entry in entries):
        raise DataError("JSON of a list or a dictionary of pymatgen structures, or of records with one, is needed")
    names = [{"id": key} for key in whole] if isinstance(whole, dict) else [{}] * len(entries)
    records = [{"structure": entry} if _is_structure(entry) else entry for entry in entries]
    return [name | record for name, record in zip(names, records, strict=True)]


def _is_structure(entry: object) -> bool:
    return isinstance(entry, dict) and {"lattice", "sites"} <= set(entry)


_TABLES: dict[str, Callable[[Path], Source]] = {"parquet": _parquet, "csv": _csv, "json": _json}


# --- files and folders of structures ---


def _structure_file(path: Path, name: str) -> Source:
    kind = convert.file_kind(path)
    total = len(convert.database_ids(path)) if kind == "db" else None if kind == "extxyz" else 1
    loaders = convert.frames(path)
    return Source(_guarded(_frame_rows(loaders, name, many=kind in ("db", "extxyz")), path), total)


def _frame_rows(loaders: Iterable[convert.Loader], name: str, *, many: bool) -> Iterator[Row]:
    """Rows of a file's structures, named by the ids that the file gives, or else by the file and their number."""
    index = -1
    for index, load in enumerate(loaders):
        yield _frame_row(load, f"{name}#{index}" if many else name)
    if index < 0:
        yield Row(name, None, {}, "empty file: it holds no structure")


def _frame_row(load: convert.Loader, name: str) -> Row:
    try:
        crystal, facts = load()
        properties, left_out = properties_of(facts)
        return Row(plain_text(str(facts.get(id_column(facts), name))), crystal, properties, left_out=left_out)
    except MateriumError as error:
        return Row(name, None, {}, str(error), getattr(error, "crystal", None))


def _folder(path: Path) -> Source:
    if all((path / f"{name}.npy").is_file() for name in CACHE_FILES):
        return _array_cache(path)
    if (path / "run.json").is_file() and (path / "structures.extxyz").is_file():
        return open_source(path / "structures.extxyz")  # what else a run folder holds are copies
    if (path / "evaluation.json").is_file() and (path / "relaxed.extxyz").is_file():
        return open_source(path / "relaxed.extxyz")  # and so it is in the folder of an evaluation
    files = sorted(file for file in path.rglob("*") if file.is_file())
    kinds = {file: convert.file_kind(file) for file in files}
    structures = [file for file in files if kinds[file]]
    if structures:
        sources = (_structure_rows(file, path) for file in structures)
        whole = all(kinds[file] in ("cif", "poscar") for file in structures)
        return Source(chain.from_iterable(sources), len(structures) if whole else None)
    tables = [open_source(file) for file in files if file.suffix == ".parquet"]
    if not tables:
        raise DataError(f"{path} holds no CIF, POSCAR, extxyz, ASE .db or Parquet file; give a folder that does")
    return Source(chain.from_iterable(table.rows for table in tables), sum(table.total or 0 for table in tables))


def _structure_rows(file: Path, folder: Path) -> Iterator[Row]:
    """Rows of one file of many: what stops a file as a whole is one rejected row here."""
    name = file.relative_to(folder).as_posix()
    try:
        yield from _structure_file(file, name).rows
    except MateriumError as error:
        yield Row(name, None, {}, str(error))


# --- MatterGen's cache ---


def _array_cache(path: Path) -> Source:
    """Atoms of all structures in a row; a property is a file `NAME.json` (as `values`) or `NAME.npy`."""
    arrays = {name: _load_array(path / f"{name}.npy") for name in CACHE_FILES}
    counts = arrays["num_atoms"]
    if counts.dtype.kind not in "iu" or counts.ndim != 1 or (counts.size and counts.min() < 0):
        raise DataError(f"{path / 'num_atoms.npy'} holds no numbers of atoms; make the cache anew")
    ends = np.cumsum(arrays["num_atoms"])
    names = _load_array(path / "structure_id.npy") if (path / "structure_id.npy").exists() else np.arange(len(ends))
    properties = _cache_properties(path)
    lengths = {"cell": len(arrays["cell"]), "structure_id": len(names), **{k: len(v) for k, v in properties.items()}}
    for name, length in lengths.items():
        _check_length(path, name, length, len(ends))
    atoms = int(ends[-1]) if len(ends) else 0
    _check_length(path, "pos", len(arrays["pos"]), atoms)
    _check_length(path, "atomic_numbers", len(arrays["atomic_numbers"]), atoms)
    return Source(_cache_rows(arrays, ends, names, properties), len(ends))


def _cache_rows(
    arrays: Mapping[str, NDArray[Any]], ends: NDArray[Any], names: NDArray[Any], properties: Mapping[str, Any]
) -> Iterator[Row]:
    for index, end in enumerate(ends.tolist()):
        atoms = slice(end - int(arrays["num_atoms"][index]), end)
        record = {"id": names[index], "cell": arrays["cell"][index], "frac_coords": arrays["pos"][atoms]}
        record |= {"atomic_numbers": arrays["atomic_numbers"][atoms]}
        record |= {name: values[index] for name, values in properties.items()}
        yield record_row(record, LAYOUTS[0], index)


def _cache_properties(path: Path) -> dict[str, Any]:
    known = {f"{name}.npy" for name in (*CACHE_FILES, "structure_id")}
    files = sorted(file for file in path.iterdir() if file.suffix in (".json", ".npy") and file.name not in known)
    loaded = {file.stem: _load_values(file) if file.suffix == ".json" else _load_array(file) for file in files}
    return {name: values for name, values in loaded.items() if values is not None}


def _load_values(path: Path) -> list[Any] | None:
    data = read_json(path)
    values = data.get("values") if isinstance(data, dict) else data
    return values if isinstance(values, list) else None


def _load_array(path: Path) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        if re.search("pickle|object", str(error), re.IGNORECASE):
            raise DataError(f"{path} needs pickle, which is never loaded; save it as plain numbers or text") from error
        raise DataError(f"cannot read {path}: {' '.join(str(error).split())[:160]}; give a whole file") from error
    if array.ndim == 0:
        raise DataError(f"{path} holds a single value; one entry for each structure or atom is needed")
    return array


def _check_length(path: Path, name: str, length: int, needed: int) -> None:
    if length != needed:
        raise DataError(f"{path / name} has {length} entries; num_atoms.npy says {needed}; make the cache anew")
