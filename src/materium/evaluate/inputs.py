"""What is to be judged: every structure of a file, folder, table or list, with the reason where one cannot be read.

The readers of `materium.data` do the work; here nothing may get lost. A folder's files of other kinds are named, and
what was asked for but never arrived is counted.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from materium import convert
from materium.data import readers
from materium.data.records import make_row
from materium.errors import DataError, MateriumError
from materium.structures import as_crystal, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from materium.data.records import Row
    from materium.structures import AnyStructure

    Source = str | Path | AnyStructure | Iterable[str | Path | AnyStructure | Row]
    """What can be judged; see `read_inputs`."""

TABLES = (".csv", ".json", ".parquet")
"""Tables that a folder may hold beside files of structures; `.gz` after them is fine too."""
OWN_FILES = frozenset({"evaluation.json", "manifest.json", "metrics.json", "package.json", "run.json", "settings.json"})
"""JSON files that tell of structures without holding any."""


@dataclass(frozen=True)
class Inputs:
    """The rows of a source.

    Attributes
    ----------
    rows
        One for each structure, in the source's order, those that cannot be read with their reason.
    source
        Where they come from, for people.
    digest
        SHA-256 of the rows, hexadecimal.
    left_out
        Files of a folder that were not read, since they are of no known kind.
    """

    rows: list[Row]
    source: str
    digest: str
    left_out: tuple[str, ...] = ()


def read_inputs(source: Source, asked: int | None = None) -> Inputs:
    """Return the rows of a path (anything that `readers.open_source` reads, or a folder of tables) or of structures.

    Of a run folder the table is read, of an evaluation's folder its rows. Overlapping atoms are no reason here to
    reject a row: to find them is the check's matter.

    Parameters
    ----------
    source
        A path, a structure, or several structures and paths: pymatgen structures, ASE atoms, crystals, rows. The id of
        a structure is the entry `id` of its `properties` (pymatgen) or `info` (ASE), else its number in the list; what
        cannot be a crystal, such as a disordered structure, is a row with its reason.
    asked
        Structures that were asked for, where that is known: an unfinished run may only be read then.

    Raises
    ------
    MateriumError
        If there is nothing at the path, nothing in it that could be a structure, a run that is not finished, or the
        list is empty or holds something else.
    """
    if not isinstance(source, str | Path):
        return _from_list([source] if kind_of(source) or not isinstance(source, Iterable) else list(source))
    path = Path(source)
    if asked is None and _is_unfinished(path):
        raise MateriumError(f"{path} is an unfinished run; finish it, or give --n-asked")
    rows, left_out = _from_folder(path) if _is_plain_folder(path) else (list(readers.read(_table_of(path))), ())
    if not rows:
        raise DataError(f"{path} holds no rows; at least one structure is needed")
    rows = [_with_overlaps(row) for row in rows]
    return Inputs(rows, str(source), _digest(rows), left_out)


def check_asked(asked: int | None, arrived: int) -> int:
    """Return the denominator of every fraction; raises `MateriumError` if fewer were asked for than arrived."""
    if asked is not None and asked < arrived:
        raise MateriumError(
            f"--n-asked {asked} is less than the {arrived} rows that arrived; give how many were asked for"
        )
    return arrived if asked is None else asked


def _with_overlaps(row: Row) -> Row:
    """The row with its crystal where only overlapping atoms spoke against it: it is readable, and to be judged."""
    return row if row.overlapping is None else readers.Row(row.id, row.overlapping, row.properties)


def _from_list(items: Sequence[object]) -> Inputs:
    if not items:
        raise DataError("no crystals came; at least one is needed")
    rows: list[Row] = []
    taken: Counter[str] = Counter()
    for number, item in enumerate(items):
        if isinstance(item, readers.Row):
            found = [item]
        elif isinstance(item, str | Path):
            found = read_inputs(item).rows
        else:
            found = [_row(number, item)]
        for row in found:
            taken[row.id] += 1  # a run and its repetition, or two of them, have ids in common
            rows.append(row if taken[row.id] == 1 else replace(row, id=f"{row.id}#{taken[row.id]}"))
    return Inputs(rows, f"{len(rows)} crystals", _digest(rows))


def _row(number: int, item: object) -> Row:
    """The row of a structure of pymatgen, ASE or Materium."""
    if kind_of(item) is None:
        raise DataError(
            f"item {number} is a {type(item).__name__}; give pymatgen structures, ASE atoms, crystals or paths"
        )
    own: Mapping[str, Any] = getattr(item, "properties", None) or getattr(item, "info", None) or {}
    name = own.get("id", number)
    likelihood = own.get("log_likelihood")
    facts = {"log_likelihood": float(likelihood)} if isinstance(likelihood, float) else {}
    return _with_overlaps(make_row(name, lambda: as_crystal(item), facts))


def _digest(rows: Iterable[Row]) -> str:
    """Of the rows and not of the files: a run folder may get the results of its evaluation as a folder of its own."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{row.id}\n{row.reason}\n".encode())
        if row.crystal is not None:
            for array in (row.crystal.lattice, row.crystal.frac_coords, row.crystal.numbers):
                digest.update(array.tobytes())
    return digest.hexdigest()


def _is_plain_folder(path: Path) -> bool:
    """A folder of files: no run of `materium generate`, no array cache, which the readers know, and no evaluation."""
    known = ("run.json", "num_atoms.npy")
    return path.is_dir() and _table_of(path) == path and not any((path / name).exists() for name in known)


def _is_unfinished(path: Path) -> bool:
    """Whether the folder is that of a run that was stopped; what `run.json` of others says is not our matter."""
    try:
        found = json.loads((path / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("finished") is False


def _table_of(path: Path) -> Path:
    """The table of a run or an evaluation, of a stopped run the folder of its parts; anything else as it is."""
    if (path / "run.json").is_file() and (path / "structures.extxyz").is_file():
        tables = [path / "structures.parquet", *([path / "parts"] if any(path.glob("parts/*.parquet")) else [])]
    else:
        tables = [path / "rows.parquet"] if (path / "evaluation.json").is_file() else []
    return next((table for table in tables if table.exists()), path)


def _from_folder(path: Path) -> tuple[list[Row], tuple[str, ...]]:
    """Rows of all files, by name; a file that cannot be read as a whole is one row with its reason."""
    rows: list[Row] = []
    left_out: list[str] = []
    for file in sorted(file for file in path.rglob("*") if file.is_file()):
        name = file.relative_to(path).as_posix()
        kind = convert.file_kind(file)
        if kind or _is_table(file):
            rows += _rows_of(file, name, alone=kind in ("cif", "poscar"))
        else:
            left_out.append(name)
    if not rows:
        known = "CIF, POSCAR, extxyz, ASE .db, CSV, JSON or Parquet"
        raise DataError(f"{path} holds no {known} file; give a folder that does")
    return rows, tuple(left_out)


def _is_table(file: Path) -> bool:
    return file.name not in OWN_FILES and file.name.lower().removesuffix(".gz").endswith(TABLES)


def _rows_of(file: Path, name: str, *, alone: bool) -> list[Row]:
    """The rows of one file of a folder; one that stops on the way keeps the rows before, and adds one that says why."""
    rows: list[Row] = []
    try:
        for row in readers.read(file):
            rows += [replace(row, id=name) if alone else row]
    except MateriumError as error:
        rows.append(readers.Row(name, None, {}, str(error)))
    return rows
