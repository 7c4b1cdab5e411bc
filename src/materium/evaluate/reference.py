"""What crystals are judged against: a hull of one potential, and the fingerprints of known crystals, in one small file.

A row of the file is a crystal of a table, or an element's fitted energy. It has an energy if it is part of the hull,
and a fingerprint if it is a crystal; structures are left out, which keeps tens of thousands of them to megabytes.

References of several potentials over the same tables have the crystals in common. They may share a file of them: then
the file of each holds the hull alone, and the name of the file of the crystals beside it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from materium import convert
from materium.crystal import GRAMS_PER_CM3
from materium.elements import masses
from materium.errors import DataError
from materium.evaluate.classes import Rarity
from materium.evaluate.fingerprint import Fingerprint
from materium.evaluate.hull import Entry, fractions, system_of
from materium.evaluate.novelty import Known
from materium.io.lock import new_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

FORMAT = 1
"""Raised whenever an older program could misread the file."""
KEY = b"materium.reference"
CRYSTALS = b"materium.crystals"
"""Keys of what the schema of a file says of it: of a reference, and of crystals that several share."""
SHIPPED = "reference-"
"""Start of the names of the files that come with the package; the name of the reference follows."""
DEFAULT = "chgnet"
HULL = ("kinds", "energies")
"""Columns of a potential's own; the others are of the crystals."""
SHARING = ("rows", "ids", "formulas", *HULL)
"""Columns of a reference whose crystals are in a file of their own."""
TEXTS = ("tables", "kinds", "formulas", "wyckoffs", "space_groups", "num_sites")
"""Columns whose values repeat, so that a dictionary of them is smaller."""
AMD_STEP = 1 / 256
"""Scaled distances are rounded to it; crystals are told apart at differences that are ten times as large."""


class Table(NamedTuple):
    """A table that went into a reference: its name without the ending, SHA-256, and how many crystals were taken."""

    name: str
    sha256: str
    rows: int


class Columns(NamedTuple):
    """The rows of a reference, arrays of the same length n.

    Attributes
    ----------
    ids, formulas, tables
        Text; `tables` names the table of each crystal, and is empty for an element's fitted energy.
    kinds, energies
        Of a phase of the hull: how its energy is known, and eV/atom, float32. An empty text and NaN for the rest.
    space_groups, wyckoffs, amds
        The fingerprint, see `fingerprint.Fingerprint`; `amds` has the shape (n, k), float32, multiples of `AMD_STEP`.
        0 and empty where no crystal is.
    num_sites, volumes
        Of the primitive cell as the table has it: sites, and Å³ per atom, float16. 0 and NaN where no crystal is.
    """

    ids: NDArray[np.str_]
    formulas: NDArray[np.str_]
    tables: NDArray[np.str_]
    kinds: NDArray[np.str_]
    energies: NDArray[np.float32]
    space_groups: NDArray[np.int16]
    wyckoffs: NDArray[np.str_]
    amds: NDArray[np.float32]
    num_sites: NDArray[np.int16]
    volumes: NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Reference:
    """A hull and the crystals that are known.

    Attributes
    ----------
    name
        How results call it, such as `chgnet`.
    potential, version, scheme
        Of the potential whose energies these are; see `materium.relax.potential.Potential`.
    tables
        What it was built from, the training set first.
    settings
        How it was built.
    columns
        Its rows.
    """

    name: str
    potential: str
    version: str
    scheme: str
    tables: tuple[Table, ...]
    settings: Mapping[str, Any]
    columns: Columns

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all that it holds; two references of one fingerprint give the same verdicts."""
        digest = hashlib.sha256(json.dumps(self._facts(), sort_keys=True).encode())
        for column in self.columns:
            text = column.dtype.kind == "U"
            digest.update("\n".join(column.tolist()).encode() if text else np.ascontiguousarray(column).tobytes())
        return digest.hexdigest()

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """The phases of the hull."""
        rows = np.flatnonzero(self.columns.kinds != "")
        ids, formulas, _, kinds, energies, *_ = (column[rows].tolist() for column in self.columns)
        return tuple(map(Entry, ids, formulas, energies, kinds))

    @cached_property
    def known_formulas(self) -> frozenset[str]:
        """Reduced formulas of the known crystals, on the hull or not."""
        return frozenset(self.columns.formulas[self.columns.tables != ""].tolist())

    def known(self, tables: Sequence[str] | None = None) -> Known:
        """Return the crystals of these tables, or of all, to ask what is new; raises `DataError` on other names."""
        rows = self._rows(tables)
        columns = self.columns
        return Known.from_fingerprints(
            columns.ids[rows].tolist(),
            columns.formulas[rows].tolist(),
            columns.space_groups[rows].tolist(),
            columns.wyckoffs[rows].tolist(),
            columns.amds[rows],
        )

    def rarity(self, table: str | None = None) -> Rarity:
        """Return how often elements and space groups occur in a table, the training set where none is named."""
        rows = self._rows([table or self.tables[0].name])
        numbers = [_numbers(formula) for formula in self.columns.formulas[rows].tolist()]
        return Rarity.count(numbers, self.columns.space_groups[rows].tolist())

    def sample(self, table: str) -> list[dict[str, Any]]:
        """Return rows of a table's crystals with the columns that `distributions.compare` takes.

        Raises
        ------
        DataError
            If the reference was not built from a table of this name.
        """
        rows = self._rows([table])
        columns = (self.columns.formulas, self.columns.space_groups, self.columns.num_sites, self.columns.volumes)
        return [_sample_row(*row) for row in zip(*(column[rows].tolist() for column in columns), strict=True)]

    def _rows(self, tables: Sequence[str] | None) -> NDArray[np.int64]:
        known = [table.name for table in self.tables]
        for name in tables or ():
            if name not in known:
                raise DataError(f"reference {self.name} has no table {name!r}; it was built from {', '.join(known)}")
        return np.flatnonzero(np.isin(self.columns.tables, known if tables is None else list(tables)))

    def _facts(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("name", "potential", "version", "scheme")}
        return {**own, "tables": [table._asdict() for table in self.tables], "settings": dict(self.settings)}

    def write(self, path: str | Path, crystals: str | Path | None = None) -> None:
        """Write the reference as a Parquet file, which is there only when it is whole.

        Parameters
        ----------
        crystals
            File beside it for the crystals, which several references share: written unless it is there.

        Raises
        ------
        DataError
            If the file exists, or the file of the crystals holds others or lies elsewhere.
        """
        target = Path(path)
        if target.exists():
            raise DataError(f"{target} exists and is never overwritten; name another file or remove it")
        facts = {"format": FORMAT, **self._facts(), "fingerprint": self.fingerprint}
        if crystals is None:
            _write(target, _arrow(self.columns), {KEY: json.dumps(facts)})
            return
        shared = Path(crystals)
        if shared.resolve().parent != target.resolve().parent:
            raise DataError(f"{shared} must lie beside {target}, which finds it by its name; name a file in its folder")
        ours = _arrow(self.columns).drop_columns(list(HULL)).slice(0, self.num_crystals)
        if not shared.exists():
            _write(shared, ours, {CRYSTALS: json.dumps({"format": FORMAT})})
        elif not _read_crystals(shared).equals(ours):
            raise DataError(f"{shared} holds other crystals than {target} is built from; name another file")
        _write(target, self._hull_table(), {KEY: json.dumps({**facts, "crystals": shared.name})})

    @property
    def num_crystals(self) -> int:
        """Number of known crystals, which are the first rows; elements' fitted energies follow."""
        return int(np.count_nonzero(self.columns.tables != ""))

    def _hull_table(self) -> pa.Table:
        """The phases: the row of the crystal, or of none the id and formula of an element's fitted energy."""
        import pyarrow as pa

        rows = np.flatnonzero(self.columns.kinds != "")
        known = rows < self.num_crystals
        own = {name: getattr(self.columns, name)[rows] for name in ("ids", "formulas", *HULL)}
        places = pa.array(np.where(known, rows, -1).astype(np.int32))
        names = {name: pa.array(np.where(known, "", own[name])) for name in ("ids", "formulas")}
        return pa.table({"rows": places, **names, **{name: pa.array(own[name]) for name in HULL}})


def _numbers(formula: str) -> list[int]:
    return [int(number) for number in convert.atomic_numbers(system_of(formula))]


def _sample_row(formula: str, space_group: int, num_sites: int, volume: float) -> dict[str, Any]:
    numbers = _numbers(formula)
    mass = float(np.dot(masses()[numbers], list(fractions(formula).values())))
    return {
        "reduced_formula": formula,
        "atomic_numbers": numbers,
        "num_elements": len(numbers),
        "num_sites": num_sites,
        "space_group": space_group or None,
        "volume_per_atom": volume,
        "density": mass / volume * GRAMS_PER_CM3,
    }


def load(name: str | Path = DEFAULT) -> Reference:
    """Return the reference of a file, or one that ships, by its name.

    Raises
    ------
    DataError
        If there is none, or the file is damaged, altered, of an older format or no reference at all.
    """
    path = Path(str(files("materium").joinpath("pretrained", f"{SHIPPED}{name}.parquet")))
    if not path.is_file():
        path = Path(name)
    if not path.is_file():
        raise DataError(f"no reference {str(name)!r}; there are {', '.join(shipped())}, or give the path of a file")
    facts, columns = _read(path)
    expected = facts.pop("fingerprint")
    facts["tables"] = tuple(Table(**table) for table in facts["tables"])
    reference = Reference(**facts, columns=columns)
    if reference.fingerprint != expected:
        raise DataError(f"{path} does not hold what was written into it; get or build the file again")
    return reference


def shipped() -> list[str]:
    """Return the names of the references that come with the package."""
    names = (entry.name for entry in files("materium").joinpath("pretrained").iterdir())
    return sorted(name[len(SHIPPED) : -len(".parquet")] for name in names if name.startswith(SHIPPED))


def _read(path: Path) -> tuple[dict[str, Any], Columns]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        facts = json.loads((table.schema.metadata or {}).get(KEY, b"{}"))
    except (OSError, ValueError, pa.ArrowException) as error:
        detail = " ".join(str(error).split())[:120]
        raise DataError(f"{path} is no reference, or a damaged one ({detail}); get or build the file again") from error
    version = facts.pop("format", None)
    shared = facts.pop("crystals", None)
    if version is None or set(table.column_names) != set(Columns._fields if shared is None else SHARING):
        raise DataError(f"{path} is no reference; materium reference build makes one from a table")
    if version != FORMAT:
        raise DataError(f"{path} has the format {version}, this version reads {FORMAT}; build it again")
    return facts, _columns(table if shared is None else _joined(path, table, _read_crystals(path.with_name(shared))))


def _read_crystals(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
        known = CRYSTALS in (table.schema.metadata or {})
    except (OSError, ValueError, pa.ArrowException) as error:
        detail = " ".join(str(error).split())[:120]
        raise DataError(f"{path} is no file of a reference's crystals ({detail}); get or build it again") from error
    if not known or set(table.column_names) != set(Columns._fields) - set(HULL):
        raise DataError(f"{path} is no file of a reference's crystals; materium reference build --crystals makes one")
    return table.replace_schema_metadata(None).combine_chunks()


def known_fingerprints(path: Path, names: Sequence[tuple[str, str, str]]) -> list[Fingerprint]:
    """Return the fingerprints in a file of crystals, which must be those of these tables, ids and formulas.

    Raises
    ------
    DataError
        If the file is none of a reference's crystals, or holds others.
    """
    table = _read_crystals(path)
    columns = [table[name].to_pylist() for name in ("tables", "ids", "formulas")]
    if list(zip(*columns, strict=True)) != list(names):
        raise DataError(f"{path} holds other crystals than the tables; name another file, or remove it")
    groups, wyckoffs, amds = table["space_groups"].to_pylist(), table["wyckoffs"].to_pylist(), _amds(table)
    known = zip(columns[2], groups, wyckoffs, amds, strict=True)
    return [Fingerprint(formula, group, wyckoff, amd) for formula, group, wyckoff, amd in known]


def _joined(path: Path, hull: pa.Table, crystals: pa.Table) -> pa.Table:
    """The rows of a reference from its hull and its crystals."""
    import pyarrow as pa

    rows = hull["rows"].to_numpy()
    count, extra = len(crystals), int(np.count_nonzero(rows < 0))
    if rows.max(initial=-1) >= count:
        raise DataError(f"{path} belongs to other crystals than those beside it; get or build both files again")
    last = hull.slice(len(hull) - extra)
    blank = {
        "ids": last["ids"],
        "formulas": last["formulas"],
        "tables": pa.array([""] * extra),
        "wyckoffs": pa.array([""] * extra),
        "space_groups": pa.array([0] * extra, pa.int16()),
        "num_sites": pa.array([0] * extra, pa.int16()),
        "volumes": pa.array(np.full(extra, np.nan, dtype=np.float16)),
        "amds": pa.array([[0] * crystals["amds"].type.list_size] * extra, crystals["amds"].type),
    }
    ends = pa.table({name: blank[name] for name in crystals.column_names}).cast(crystals.schema)
    places = np.concatenate([rows[: len(rows) - extra], np.arange(count, count + extra)])
    kinds = np.full(count + extra, "", dtype=object)
    energies = np.full(count + extra, np.nan, dtype=np.float32)
    kinds[places], energies[places] = hull["kinds"].to_numpy(), hull["energies"].to_numpy()
    both = pa.concat_tables([crystals, ends])
    return both.append_column("kinds", pa.array(kinds, pa.string())).append_column("energies", pa.array(energies))


def _write(target: Path, table: pa.Table, facts: Mapping[bytes, str]) -> None:
    """Write a table so that it is there only when it is whole."""
    import pyarrow.parquet as pq

    encodings = dict.fromkeys(("amds.list.element", "volumes", "energies"), "BYTE_STREAM_SPLIT")  # a third less
    text = [name for name in TEXTS if name in table.column_names]
    own = {name: way for name, way in encodings.items() if name.partition(".")[0] in table.column_names}
    with new_target(target) as part:
        pq.write_table(
            table.replace_schema_metadata(dict(facts)),
            part,
            compression="zstd",
            compression_level=19,
            use_dictionary=text,
            column_encoding=own,
        )


def _arrow(columns: Columns) -> pa.Table:
    """Distances rise along a fingerprint: their differences in steps take a third of the place of the values."""
    import pyarrow as pa

    arrays = {name: pa.array(column) for name, column in columns._asdict().items() if name != "amds"}
    steps = np.rint(columns.amds / AMD_STEP).astype(np.int32)
    differences = np.diff(steps, axis=1, prepend=0)
    arrays["amds"] = pa.FixedSizeListArray.from_arrays(pa.array(differences.ravel()), differences.shape[1])
    return pa.table(arrays)


def _columns(table: pa.Table) -> Columns:
    arrays = {name: table[name].combine_chunks() for name in Columns._fields if name != "amds"}
    plain = {name: array.to_numpy(zero_copy_only=False) for name, array in arrays.items()}
    text = {name: array.astype(np.str_) for name, array in plain.items() if array.dtype == object}
    return Columns(**{**plain, **text}, amds=_amds(table))


def _amds(table: pa.Table) -> NDArray[np.float32]:
    amds = table["amds"].combine_chunks()
    differences = amds.flatten().to_numpy(zero_copy_only=False).reshape(len(amds), -1)
    return np.asarray(np.cumsum(differences, axis=1) * AMD_STEP, dtype=np.float32)
