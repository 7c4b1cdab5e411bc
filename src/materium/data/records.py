"""Rows of tables as crystals: the layouts in which tables hold structures, and the names and kinds of properties."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from materium import convert
from materium.crystal import Crystal
from materium.errors import ConversionError, DataError, MateriumError
from materium.properties import by_column, scalar_names

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Record = Mapping[str, Any]
    """One row of a table: column names and values."""

Scalar = float | int | str

ID_COLUMNS = ("id", "material_id", "immutable_id", "structure_id", "entry_id", "mat_id")
"""The first of them that a table has names its rows; without one, they are numbered from 0."""
MISSING = frozenset({"", "-", "--", "?", "n/a", "nan", "<na>", "none", "null"})
"""How tables write that a value is not known."""
NOT_A_PROPERTY = re.compile(r"|cif(\..*)?|structure|index|Unnamed: \d+", re.IGNORECASE)
"""Columns with other copies of the structure, and what pandas calls a row's number."""
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
"""Stricter than `float`, which takes the formula InF for infinity."""


@dataclass(frozen=True)
class Row:
    """One row of a source.

    Parameters
    ----------
    id
        Name of the row in its source.
    crystal
        The structure, or None where it could not be read.
    properties
        What the row says besides, under our names for the properties that `properties.toml` knows and under the
        source's own for others; only what is present.
    reason
        One line on why there is no crystal; None where there is one.
    overlapping
        Where the reason is that atoms overlap, the crystal that was rejected for it.
    """

    id: str
    crystal: Crystal | None
    properties: Mapping[str, Scalar] = field(default_factory=dict)
    reason: str | None = None
    overlapping: Crystal | None = None


def make_row(name: object, build: Callable[[], Crystal], properties: Mapping[str, Scalar]) -> Row:
    """Return the row of the crystal that `build` makes, or of the reason why it cannot."""
    try:
        return Row(str(name), build(), properties)
    except MateriumError as error:
        return Row(str(name), None, properties, str(error), getattr(error, "crystal", None))


class Layout(NamedTuple):
    """One way in which tables hold structures: the columns, how they become a crystal, and columns that may help."""

    columns: tuple[str, ...]
    build: Callable[[Record], Crystal]
    optional: tuple[str, ...] = ()


def _from_arrays(record: Record) -> Crystal:
    """The schema of our own tables: fractional coordinates and atomic numbers."""
    numbers, states = _present(record, "atomic_numbers"), record.get("oxidation_states")
    known = None if states is None else np.asarray(states)
    return Crystal(_triples(record, "cell"), _triples(record, "frac_coords"), np.asarray(numbers), known)


def _from_optimade(record: Record) -> Crystal:
    """The schema of LeMat-Bulk, which is OPTIMADE's: Cartesian coordinates in Å and names of species."""
    names = _element_names(_present(record, "species_at_sites"), record.get("species"))
    lattice = _triples(record, "lattice_vectors")
    frac = _triples(record, "cartesian_site_positions") @ np.linalg.pinv(lattice)  # a flat cell is Crystal's to refuse
    return Crystal(lattice, frac, convert.atomic_numbers(names))


def _from_cif(record: Record) -> Crystal:
    return convert.from_cif(_present(record, "cif"))


def _from_structure(record: Record) -> Crystal:
    """A pymatgen structure, as a dictionary or as its JSON text."""
    value = _present(record, "structure")
    return convert.from_structure_dict(json.loads(value) if isinstance(value, str) else value)


LAYOUTS = (
    Layout(("cell", "atomic_numbers", "frac_coords"), _from_arrays, ("oxidation_states",)),
    Layout(("lattice_vectors", "species_at_sites", "cartesian_site_positions"), _from_optimade, ("species",)),
    Layout(("cif",), _from_cif),
    Layout(("structure",), _from_structure),
)
"""The first whose columns a table has is used."""


def layout_of(columns: Collection[str], where: object) -> Layout:
    """Return the layout of a table with these columns; raises `DataError` (`where` comes first) if it has none."""
    for layout in LAYOUTS:
        if set(layout.columns) <= set(columns):
            return layout
    needed = ", or ".join(" + ".join(layout.columns) for layout in LAYOUTS)
    raise DataError(f"{where} has no structure column: found {', '.join(columns) or 'none'}; needed: {needed}")


def record_rows(records: Iterable[Record], layout: Layout) -> Iterator[Row]:
    """Yield the rows of a table's records."""
    return (record_row(record, layout, index) for index, record in enumerate(records))


def record_row(record: Record, layout: Layout, index: int) -> Row:
    """Return one record as a row; a property with text where a number belongs is a reason to reject it."""
    name = record.get(id_column(record))
    name = index if name is None else name
    try:
        properties = properties_of(record, (*layout.columns, *layout.optional))
    except MateriumError as error:
        return Row(str(name), None, {}, str(error))
    return make_row(name, partial(_build, layout, record), properties)


def _build(layout: Layout, record: Record) -> Crystal:
    with _bad_value(" + ".join(layout.columns)):
        return layout.build(record)


def id_column(columns: Collection[str]) -> str:
    """Return the column that names the rows, or an empty text where there is none."""
    return next((column for column in ID_COLUMNS if column in columns), "")


def properties_of(record: Record, used: tuple[str, ...] = ()) -> dict[str, Scalar]:
    """Return the properties that a record has, without the columns in `used`; raises `MateriumError` on a wrong one."""
    names = _property_names(tuple(record), used)
    known = {name: _scalar(record[column]) for column, name in names}
    return {name: _numeric(name, value) for name, value in known.items() if value is not None}


@lru_cache
def _property_names(columns: tuple[str, ...], used: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Pairs of column and property; of several columns for one property the first in `properties.toml` gives it."""
    ours = by_column()
    preferred = {ours[column]: column for column in reversed(list(ours)) if column in columns}
    free = [c for c in columns if c not in (*used, id_column(columns)) and not NOT_A_PROPERTY.fullmatch(c)]
    return tuple((c, ours[c] if preferred.get(ours.get(c, "")) == c else c) for c in free)


def _scalar(value: object) -> Scalar | None:
    """A number or text as Python has it; None for what is missing, not finite, or neither."""
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, str):
        return None if plain.strip().lower() in MISSING else plain
    if isinstance(plain, bool):
        return int(plain)
    return plain if isinstance(plain, int | float) and abs(plain) < inf else None  # false for NaN, too


def _numeric(name: str, value: Scalar) -> Scalar:
    """The value of a property that we know to be a number; a space group may come as its symbol."""
    if name not in scalar_names() or not isinstance(value, str):
        return value
    if NUMBER.fullmatch(value.strip()):
        return _number(value)
    if name == "space_group":
        return convert.space_group_number(value)
    raise DataError(f"{name} is no number: {value[:40]!r}; give a number, or nothing")


def _number(text: str) -> float | int:
    return int(text) if text.strip().lstrip("+-").isdecimal() else float(text)


def with_numbers(record: Record, layout: Layout) -> Record:
    """Return the record of a CSV file with numbers where its text is one; identifiers and structures stay text."""
    kept = (id_column(record), *layout.columns)
    return {k: _number(v) if k not in kept and v and NUMBER.fullmatch(v) else v for k, v in record.items()}


def _present(record: Record, column: str) -> Any:  # noqa: ANN401 - a table holds anything
    value = record[column]
    if value is None or (isinstance(value, str) and value.strip().lower() in MISSING):
        raise DataError(f"column {column} is empty: every row needs its structure")
    return value


def _triples(record: Record, column: str) -> NDArray[np.float64]:
    """Numbers of a column, nested or flat, as rows of three."""
    with _bad_value(column):
        values = np.asarray(_present(record, column), dtype=np.float64).ravel()
    if values.size % 3:
        raise DataError(f"column {column} holds {values.size} numbers; a multiple of 3 is needed")
    return values.reshape(-1, 3)


@contextmanager
def _bad_value(column: str) -> Iterator[None]:
    """Say in one line what a value of the wrong kind does to numpy, json and the layouts."""
    try:
        yield
    except MateriumError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DataError(f"column {column} cannot be read: {' '.join(str(error).split())[:120]}") from error


def _element_names(at_sites: Sequence[str], species: str | list[dict[str, Any]] | None) -> list[str]:
    """Symbols of OPTIMADE's species, which may be vacancies or mixtures; without a list of them, names are symbols."""
    kinds: list[dict[str, Any]] = json.loads(species) if isinstance(species, str) else species or []
    sites = {kind["name"]: dict(zip(kind["chemical_symbols"], kind["concentration"], strict=True)) for kind in kinds}
    for name, held in sites.items():
        if name in at_sites and list(held.values()) != [1]:
            raise ConversionError(f"disordered site: {name} holds {held}; every site must be one whole atom")
    return [next(iter(sites[name])) if name in sites else name for name in at_sites]
