"""Rows of tables as crystals: the layouts in which tables hold structures, and the names and kinds of properties."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache, partial
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from materium import convert
from materium.crystal import Crystal
from materium.errors import ConversionError, DataError, MateriumError
from materium.io.sites import fractional, is_whole, whole_states
from materium.io.space_groups import parse_space_group
from materium.properties import by_column, scalar_names

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    Record = Mapping[str, Any]
    """One row of a table: column names and values."""

Scalar = float | int | str

ID_COLUMNS = ("id", "material_id", "immutable_id", "structure_id", "entry_id", "mat_id")
"""The first of them that a table has names its rows; without one, they are numbered from 0."""
MISSING = frozenset(
    {"", "-", "--", "?", ".", "n/a", "n.a.", "nan", "-nan", "<na>", "none", "null", "nil"}
    | {"#n/a", "#n/a n/a", "#na", "#div/0!", "#name?", "#null!", "#num!", "#ref!", "#value!"}
    | {"1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan", "\u2014", "\u2013", "\u2212"}
)
"""How tables write that a value is not known, in any case of letters: NumPy's words, pandas', R's and Excel's."""
MISSING_AS_SPELT = re.compile("NA|[+-]?(?:inf|Inf|INF|infinity|Infinity|INFINITY)")
"""Words that are missing in this spelling alone in a column of text, for there Na and InF are formulas."""
MISSING_NUMBER = re.compile("na|[+-]?inf(?:inity)?", re.IGNORECASE)
"""What is missing in a column of numbers."""
MAX_WHOLE = 2**63
"""Beyond it a whole number is no identifier and no count; tables hold it as a real one."""
MAX_DIGITS = 19
"""Digits of a number that is kept as a whole one."""
SHOWN_COLUMNS = 300
"""Characters of the columns of a table that has no structures."""
SHOWN_LABEL = 40
"""Characters of a label that is left out."""
NOT_A_PROPERTY = re.compile(r"|cif(\..*)?|structure|index|Unnamed: \d+", re.IGNORECASE)
"""Columns with other copies of the structure, and what pandas calls a row's number."""
NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
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
    left_out
        Labels that could not be read, by property, as they were written: such a label is missing, the crystal is not.
    """

    id: str
    crystal: Crystal | None
    properties: Mapping[str, Scalar] = field(default_factory=dict)
    reason: str | None = None
    overlapping: Crystal | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)


def make_row(
    name: object,
    build: Callable[[], Crystal],
    properties: Mapping[str, Scalar],
    left_out: Mapping[str, str] | None = None,
) -> Row:
    """Return the row of the crystal that `build` makes, or of the reason why it cannot."""
    try:
        return Row(plain_text(str(name)), build(), properties, left_out=left_out or {})
    except MateriumError as error:
        overlapping = getattr(error, "crystal", None)
        return Row(plain_text(str(name)), None, properties, str(error), overlapping, left_out or {})


def plain_text(text: str) -> str:
    """Return a text that every file can hold: halves of a UTF-16 pair, which are no characters, become `?`."""
    return text if text.isascii() else text.encode("utf-8", errors="replace").decode()


class Layout(NamedTuple):
    """One way in which tables hold structures: the columns, how they become a crystal, and columns that may help."""

    columns: tuple[str, ...]
    build: Callable[[Record], Crystal]
    optional: tuple[str, ...] = ()


def _from_arrays(record: Record) -> Crystal:
    """The schema of our own tables: fractional coordinates and atomic numbers."""
    numbers, states = _present(record, "atomic_numbers"), record.get("oxidation_states")
    known = None if states is None else _states(states, len(numbers))
    return Crystal(_triples(record, "cell"), _triples(record, "frac_coords"), np.asarray(numbers), known)


def _states(states: Any, sites: int) -> NDArray[np.int64] | None:  # noqa: ANN401 - a table holds anything
    """Oxidation states, None where they are averages or not all known; one for each site, or `Crystal` refuses them."""
    values = np.asarray(states).ravel()
    return whole_states(values) if len(values) == sites else values


def _from_optimade(record: Record) -> Crystal:
    """The schema of LeMat-Bulk, which is OPTIMADE's: Cartesian coordinates in Å and names of species."""
    names = _element_names(_present(record, "species_at_sites"), record.get("species"))
    lattice = _triples(record, "lattice_vectors")
    frac = fractional(_triples(record, "cartesian_site_positions"), lattice)
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
    found = "".join(sign if sign.isprintable() else "?" for sign in ", ".join(map(str, columns))[:SHOWN_COLUMNS])
    raise DataError(f"{where} has no structure column: found {found or 'none'}; needed: {needed}")


def record_rows(records: Iterable[Record], layout: Layout) -> Iterator[Row]:
    """Yield the rows of a table's records."""
    return (record_row(record, layout, index) for index, record in enumerate(records))


def record_row(record: Record, layout: Layout, index: int) -> Row:
    """Return one record as a row; a label with text where a number belongs is left out, and the row says so."""
    name = record.get(id_column(record))
    name = index if name is None or name == "" else name
    properties, left_out = properties_of(record, (*layout.columns, *layout.optional))
    return make_row(name, partial(_build, layout, record), properties, left_out)


def _build(layout: Layout, record: Record) -> Crystal:
    with _bad_value(" + ".join(layout.columns)):
        return layout.build(record)


def id_column(columns: Collection[str]) -> str:
    """Return the column that names the rows, or an empty text where there is none."""
    return next((column for column in ID_COLUMNS if column in columns), "")


def properties_of(record: Record, used: tuple[str, ...] = ()) -> tuple[dict[str, Scalar], dict[str, str]]:
    """Return the properties that a record has, without the columns in `used`, and the labels that cannot be read."""
    known: dict[str, Scalar] = {}
    left_out: dict[str, str] = {}
    for column, name in _property_names(tuple(record), used):
        value = _scalar(record[column])
        if value is None:
            continue
        number = _numeric(name, value)
        if number is not None:
            known[name] = number
        elif not (isinstance(value, str) and MISSING_NUMBER.fullmatch(value.strip())):
            left_out[name] = plain_text(str(value))[:SHOWN_LABEL]
    return known, left_out


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
        return None if is_missing(plain) else plain_text(plain)
    if isinstance(plain, bool):
        return int(plain)
    if isinstance(plain, Decimal):
        plain = float(plain)
    if isinstance(plain, int) and abs(plain) >= MAX_WHOLE:
        plain = _real(plain)
    return plain if isinstance(plain, int | float) and abs(plain) < inf else None  # false for NaN, too


def is_missing(text: str) -> bool:
    """Tell whether a text says that a value is not known."""
    word = text.strip()
    return word.lower() in MISSING or MISSING_AS_SPELT.fullmatch(word) is not None


def _numeric(name: str, value: Scalar) -> Scalar | None:
    """The value of a property that we know to be a number, None where it is none; a space group may be a symbol."""
    if name == "space_group":
        text = f"{value:.15g}" if isinstance(value, float) else str(value)
        return parse_space_group(text)
    if name not in scalar_names() or not isinstance(value, str):
        return value
    if not NUMBER.fullmatch(value.strip()):
        return None
    number = _number(value)
    return number if abs(number) < inf else None


def _number(text: str) -> float | int:
    digits = text.strip().lstrip("+-")
    return int(text) if digits.isdecimal() and len(digits) < MAX_DIGITS else float(text)


def _real(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return inf


def with_numbers(record: Record, layout: Layout) -> Record:
    """Return the record of a CSV file with numbers where its text is one; identifiers and structures stay text."""
    kept = (id_column(record), *layout.columns)
    return {k: _number(v) if k not in kept and v and NUMBER.fullmatch(v) else v for k, v in record.items()}


def _present(record: Record, column: str) -> Any:  # noqa: ANN401 - a table holds anything
    value = record[column]
    if value is None or (isinstance(value, str) and is_missing(value)):
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
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise DataError(f"column {column} cannot be read: {' '.join(str(error).split())[:120]}") from error


def _element_names(at_sites: Sequence[str], species: str | list[dict[str, Any]] | None) -> list[str]:
    """Symbols of OPTIMADE's species, which may be vacancies or mixtures; without a list of them, names are symbols."""
    kinds: list[dict[str, Any]] = json.loads(species) if isinstance(species, str) else species or []
    sites = {kind["name"]: dict(zip(kind["chemical_symbols"], kind["concentration"], strict=True)) for kind in kinds}
    for name, held in sites.items():
        if name in at_sites and not (len(held) == 1 and all(map(is_whole, held.values()))):
            raise ConversionError(f"disordered site: {name} holds {held}; every site must be one whole atom")
    return [next(iter(sites[name])) if name in sites else name for name in at_sites]
