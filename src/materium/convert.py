"""Crystals to and from pymatgen, ASE, POSCAR and extxyz: the only file that knows these libraries.

What comes in is rejected instead of repaired, with one line that says why: disordered sites, overlapping atoms,
unknown elements (deuterium is one), cells without volume, text that is cut short.
"""

from __future__ import annotations

import re
import sqlite3
import warnings
from collections import Counter
from contextlib import contextmanager
from functools import cache, lru_cache, partial
from io import StringIO
from itertools import islice
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from materium import texts
from materium.crystal import Crystal
from materium.errors import ConversionError, CrystalError, MateriumError, unknown_element
from materium.io import cif
from materium.oxidation import balanced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ase import Atoms
    from numpy.typing import NDArray
    from pymatgen.core import Structure

    Facts = dict[str, Any]
    """What a file says about a structure besides its atoms: names, and values as they were read."""
    Loader = Callable[[], tuple[Crystal, Facts]]
    """Reads one structure when it is called, or raises `MateriumError`: a bad frame spoils no other."""

_UNREADABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    RuntimeError,
    StopIteration,
    TypeError,
    UserWarning,
    ValueError,
    sqlite3.Error,
)
"""What the parsers of pymatgen and ASE raise on text that is cut short or mangled; they have no type of their own."""


def from_structure(structure: Structure) -> Crystal:
    """Return a pymatgen structure as a crystal, with its oxidation states if every site has an integer one.

    Raises
    ------
    ConversionError
        If a site is not one fully occupied element, or the structure is not periodic in all directions.
    CrystalError
        If the crystal is empty, flat, not finite, or has atoms closer than 0.5 Å.
    """
    _check_periodic(structure.lattice.pbc)
    species = [_only_species(i, site.species) for i, site in enumerate(structure)]
    numbers = atomic_numbers([_symbol(one) for one in species])
    states = _integer_states([getattr(one, "oxi_state", None) for one in species])
    frac = structure.frac_coords.reshape(-1, 3)  # of an empty structure pymatgen gives the shape (0,)
    return Crystal(structure.lattice.matrix, frac, numbers, states).check_distances()


def to_structure(crystal: Crystal) -> Structure:
    """Return the crystal as a pymatgen structure, its sites in the same order, with oxidation states as `balanced`."""
    from pymatgen.core import Lattice, Species, Structure

    names = symbols(crystal.numbers)
    states = balanced(crystal)[0].oxidation_states
    species = names if states is None else [Species(n, int(s)) for n, s in zip(names, states, strict=True)]
    return Structure(Lattice(crystal.lattice), species, crystal.frac_coords)


def from_structure_dict(data: Mapping[str, Any]) -> Crystal:
    """Return a crystal from the dictionary that pymatgen's `Structure.as_dict` makes; raises as `from_structure`."""
    from pymatgen.core import Structure

    with _parsing("pymatgen structure"):
        # The sites' properties are left out: pymatgen would import whatever module they name.
        sites = [{"species": site["species"], "abc": site["abc"]} for site in data["sites"]]
        structure = Structure.from_dict({"lattice": data["lattice"], "sites": sites}) if sites else None
    if structure is None:
        raise CrystalError("crystal has no atoms; at least one site is needed")
    return from_structure(structure)


def from_atoms(atoms: Atoms) -> Crystal:
    """Return ASE atoms as a crystal; oxidation states come from the array `oxidation_states`, if there is one.

    Raises
    ------
    ConversionError
        If the atoms are not periodic in all directions, or carry partial occupancies.
    CrystalError
        If the crystal is empty, flat, not finite, has an unknown element, or atoms closer than 0.5 Å.
    """
    _check_periodic(atoms.pbc)
    for kinds in atoms.info.get("occupancy", {}).values():
        _check_occupancy(kinds)
    states = atoms.arrays.get("oxidation_states")
    frac = atoms.get_scaled_positions(wrap=False)  # type: ignore[no-untyped-call] # ASE is typed in parts
    known = None if states is None else _integer_states(states.tolist())
    return Crystal(atoms.cell.array, frac, atoms.numbers, known).check_distances()


def to_atoms(crystal: Crystal) -> Atoms:
    """Return the crystal as ASE atoms, with oxidation states as `balanced` in the array `oxidation_states`, if any."""
    from ase import Atoms

    atoms = Atoms(crystal.numbers, scaled_positions=crystal.frac_coords, cell=crystal.lattice, pbc=True)
    if (states := balanced(crystal)[0].oxidation_states) is not None:
        atoms.arrays["oxidation_states"] = states.copy()
    return atoms


def from_cif(text: str) -> Crystal:
    """Return the crystal of a CIF with one structure; raises as `materium.io.cif.read`."""
    return cif.read(text)


def to_cif(crystal: Crystal, name: str | None = None) -> str:
    """Return the cell as it stands as a CIF in P1, with `name` (default: the formula) as the name of its data block."""
    reduced = reduced_formula(tuple(crystal.numbers.tolist()))
    return texts.cif(_right_handed(balanced(crystal)[0]), symbols(crystal.numbers), reduced, name or reduced[0])


def from_poscar(text: str) -> Crystal:
    """Return the crystal of a POSCAR that names its elements; raises as `from_cif`."""
    from pymatgen.io.vasp.inputs import Poscar

    with _parsing("POSCAR") as caught:
        structure = Poscar.from_str(text, read_velocities=False).structure
    if any("cannot be determined" in str(warning.message) for warning in caught):
        raise ConversionError("POSCAR names no elements; put a line with their symbols above the line of counts")
    return from_structure(structure)


def to_poscar(crystal: Crystal, comment: str | None = None) -> str:
    """Return the crystal as a POSCAR with fractional coordinates, its sites in the same order."""
    from pymatgen.io.vasp.inputs import Poscar

    return Poscar(to_structure(_right_handed(crystal)), comment=comment).get_str()


def from_extxyz(text: str) -> tuple[Crystal, Facts]:
    """Return the crystal of one extxyz frame, and the values of its comment line; raises as `from_atoms`."""
    from ase.io.extxyz import read_xyz

    with _parsing("extxyz frame"):
        try:
            atoms = next(read_xyz(StringIO(text), 0))
        except KeyError as error:  # ASE looks symbols up in a dictionary
            raise unknown_element(str(error.args[0])) from error
    return from_atoms(atoms), {**atoms.info, **(atoms.calc.results if atoms.calc else {})}


def split_extxyz(lines: Iterable[str]) -> Iterator[str]:
    """Yield the frames of an extxyz stream, one text each; from a line on that is no count, the rest is one frame."""
    stream = iter(lines)
    for head in stream:
        if head.strip():
            body = islice(stream, int(head) + 1) if head.strip().isdecimal() else stream
            yield "".join([head, *body])


def write_extxyz_frame(file: TextIO, crystal: Crystal, info: Mapping[str, object]) -> None:
    """Append one frame to an open file, in a single write; entries of `info` that are None are left out."""
    known = {name: value for name, value in {**info, "pbc": "T T T"}.items() if value is not None}
    words = {name: " ".join(v.split()) if isinstance(v, str) else v for name, v in known.items()}
    file.write(texts.extxyz(balanced(crystal)[0], symbols(crystal.numbers), _comment(words)))


def file_kind(path: Path) -> str | None:
    """Return `cif`, `poscar`, `extxyz` or `db` for a file of structures, by its name, and None for any other."""
    if path.suffix.lower() in _SUFFIXES:
        return _SUFFIXES[path.suffix.lower()]
    return "poscar" if re.match(r"POSCAR|CONTCAR", path.name, re.IGNORECASE) else None


def frames(path: Path) -> Iterator[Loader]:
    """Yield a loader for each structure of a file; call it before asking for the next one.

    Raises
    ------
    ConversionError
        If the file is of no known kind, cannot be opened, or is no ASE database.
    """
    kind = file_kind(path)
    if kind is None:
        raise ConversionError(f"{path} is no file of structures; one of {', '.join(_SUFFIXES)} or POSCAR is needed")
    return _FRAMES[kind](path)


def read_file(path: Path) -> list[Crystal]:
    """Return all crystals of a CIF, POSCAR, extxyz file or ASE database.

    Raises
    ------
    MateriumError
        As the function for the format; the message starts with the file's name.
    """
    try:
        return [load()[0] for load in frames(path)]
    except MateriumError as error:
        raise ConversionError(f"{path}: {error}") from error


def database_ids(path: Path) -> list[int]:
    """Return the row numbers of an ASE database; the file is opened for reading only, as ASE would create tables."""
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            return [row[0] for row in connection.execute("SELECT id FROM systems ORDER BY id")]
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise ConversionError(f"{path} is no ASE database ({error}); a .db file that ase.db wrote is needed") from error


def atomic_numbers(names: Sequence[str]) -> NDArray[np.int64]:
    """Return the atomic numbers of element symbols; raises `ConversionError` on one that names no element."""
    from ase.data import atomic_numbers as table

    for name in names:
        if not table.get(name):  # ASE's dummy atom X has number 0
            raise unknown_element(name)
    return np.array([table[name] for name in names], dtype=np.int64)


def symbols(numbers: Iterable[int]) -> list[str]:
    """Return the element symbols of atomic numbers from 1 to 118."""
    from ase.data import chemical_symbols

    return [chemical_symbols[number] for number in numbers]


def formula(crystal: Crystal) -> str:
    """Return the reduced formula in pymatgen's spelling: `SiO2`, `LiFePO4`."""
    return reduced_formula(tuple(crystal.numbers.tolist()))[0]


@lru_cache(maxsize=4096)
def reduced_formula(numbers: tuple[int, ...]) -> tuple[str, float]:
    """Return the reduced formula of atoms, and how many times they hold it: one atom of oxygen is half an `O2`."""
    from pymatgen.core import Composition

    with _without_noble_warnings():
        return Composition(Counter(symbols(numbers))).get_reduced_formula_and_factor()


@cache
def space_group_number(symbol: str) -> int:
    """Return the international number of a space-group symbol such as `Fm-3m`; raises `ConversionError` on others."""
    from pymatgen.symmetry.groups import SpaceGroup

    try:
        return int(SpaceGroup(symbol).int_number)
    except ValueError as error:
        raise ConversionError(f"unknown space group: {symbol!r}; a number from 1 to 230 is always right") from error


@contextmanager
def _without_noble_warnings() -> Iterator[None]:
    """Drop what pymatgen says when it sorts helium, neon or argon by electronegativities that they do not have."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No Pauling electronegativity")
        yield


@contextmanager
def _parsing(what: str) -> Iterator[list[warnings.WarningMessage]]:
    """Collect a parser's warnings, and turn what it raises on a mangled text into one line."""
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield caught
    except MateriumError:
        raise
    except _UNREADABLE as error:
        detail = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        detail = " ".join(detail.split()).rstrip(".")
        detail = detail[:160] or type(error).__name__
        raise ConversionError(f"unreadable {what}: {detail}; a whole and valid one is needed") from error


def _check_periodic(directions: Sequence[bool]) -> None:
    if not all(directions):
        count = sum(map(bool, directions))
        raise ConversionError(f"not a crystal: periodic in {count} of 3 directions; all three, and a cell, are needed")


def _check_occupancy(kinds: Mapping[Any, float]) -> None:
    if list(kinds.values()) != [1]:
        held = " ".join(f"{kind}{amount:g}" for kind, amount in kinds.items())
        raise ConversionError(f"disordered site: it holds {held}; every site must be one whole atom, so order it first")


def _only_species(index: int, composition: Mapping[Any, float]) -> object:
    _check_occupancy({f"(site {index}) {kind}": amount for kind, amount in composition.items()})
    return next(iter(composition))


def _symbol(species: object) -> str:
    """The name and not the symbol of the element: pymatgen gives deuterium the symbol H."""
    element = getattr(species, "element", None) or species
    return str(getattr(element, "name", None) or getattr(element, "symbol", element))


def _integer_states(states: Sequence[float | None]) -> NDArray[np.int64] | None:
    known = [state for state in states if state is not None and float(state).is_integer()]
    return np.array(known, dtype=np.int64) if len(known) == len(states) and any(known) else None


def _right_handed(crystal: Crystal) -> Crystal:
    """The same atoms in a right-handed cell: lattice parameters cannot tell a left-handed one, and VASP refuses it."""
    if np.linalg.det(crystal.lattice) > 0:
        return crystal
    return Crystal(-crystal.lattice, -crystal.frac_coords, crystal.numbers, crystal.oxidation_states)


def _comment(info: dict[str, Any]) -> str:
    """The comment line of an extxyz frame; ASE is asked where values are more than words and numbers alone."""
    if all(isinstance(value, str | int | float) for value in info.values()):
        return texts.comment(info)
    from ase.io.extxyz import key_val_dict_to_str  # a third of a second

    return str(key_val_dict_to_str(info))  # type: ignore[no-untyped-call]


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConversionError(f"cannot open {path.name}: {error.strerror}") from error


def _text_frames(parse: Callable[[str], Crystal], path: Path) -> Iterator[Loader]:
    yield lambda: (parse(_read_text(path)), {})


def _extxyz_frames(path: Path) -> Iterator[Loader]:
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            yield from (partial(from_extxyz, frame) for frame in split_extxyz(lines))
    except OSError as error:
        raise ConversionError(f"cannot open {path.name}: {error.strerror}") from error


def _database_frames(path: Path) -> Iterator[Loader]:
    from ase.db import connect

    ids = database_ids(path)
    with connect(path, use_lock_file=False) as database:  # type: ignore[no-untyped-call] # ASE is typed in parts
        yield from (partial(_from_database, database.get, key) for key in ids)


def _from_database(get: Callable[..., Any], key: int) -> tuple[Crystal, Facts]:
    from ase import Atoms

    with _parsing("row of the ASE database"):
        row = get(id=key)
        # Neither the constraints nor the calculator are needed, and decoding them would import what they name.
        atoms = Atoms(row.numbers, positions=row.positions, cell=row.cell, pbc=row.pbc)
        facts = {"id": key, **row.key_value_pairs}
    return from_atoms(atoms), facts if row.get("energy") is None else {"energy": row.energy, **facts}


_SUFFIXES = {".cif": "cif", ".vasp": "poscar", ".poscar": "poscar", ".extxyz": "extxyz", ".xyz": "extxyz", ".db": "db"}
_FRAMES: dict[str, Callable[[Path], Iterator[Loader]]] = {
    "cif": partial(_text_frames, from_cif),
    "poscar": partial(_text_frames, from_poscar),
    "extxyz": _extxyz_frames,
    "db": _database_frames,
}
