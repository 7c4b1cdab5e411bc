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
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from materium import texts
from materium.crystal import MAX_SITES, Crystal, too_many_sites
from materium.errors import ConversionError, CrystalError, MateriumError, unknown_element
from materium.io import cif, extxyz, files
from materium.io.parsing import parsing
from materium.io.poscar import read_poscar
from materium.io.sites import check_occupancies, check_occupancy, fractional, integer_states
from materium.io.space_groups import parse_space_group
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
    states = integer_states([getattr(one, "oxi_state", None) for one in species])
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

    with parsing("pymatgen structure"):
        # The sites' properties are left out: pymatgen would import whatever module they name.
        if len(data["sites"]) > MAX_SITES:
            raise too_many_sites(len(data["sites"]))
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
    check_occupancies(atoms.info.get("occupancy"), atoms.arrays.get("occupancy"))
    states = atoms.arrays.get("oxidation_states")
    frac = fractional(atoms.positions, atoms.cell.array)
    known = None if states is None else integer_states(states.tolist())
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
    return from_structure(read_poscar(text))


def to_poscar(crystal: Crystal, comment: str | None = None) -> str:
    """Return the crystal as a POSCAR with fractional coordinates, its sites in the same order."""
    from pymatgen.io.vasp.inputs import Poscar

    return Poscar(to_structure(_right_handed(crystal)), comment=comment).get_str()


def from_extxyz(text: str) -> tuple[Crystal, Facts]:
    """Return the crystal of one extxyz frame, and the values of its comment line; raises as `from_atoms`."""
    frame = extxyz.read_frame(text)
    _check_periodic(frame.pbc)
    check_occupancies(frame.info.get("occupancy"), frame.columns.get("occupancy"))
    states = frame.columns.get("oxidation_states")
    return Crystal(
        frame.lattice,
        fractional(frame.positions, frame.lattice),
        _frame_numbers(frame),
        None if states is None else integer_states(states),
    ).check_distances(), frame.info


def _frame_numbers(frame: extxyz.Frame) -> NDArray[Any]:
    """Atomic numbers of a frame's species, its column `Z`, or both if they agree; ASE writes symbols in any case."""
    given = frame.columns.get("Z") or frame.columns.get("numbers")
    numbers = None if given is None else extxyz.floats(given, 1).ravel()
    if frame.symbols is None:
        if numbers is None:
            raise ConversionError("unreadable extxyz frame: Properties name neither species nor Z")
        return numbers  # Crystal brings them to integers
    known = atomic_numbers([str(symbol).capitalize() for symbol in frame.symbols])
    if numbers is not None and not np.array_equal(numbers, known):
        raise ConversionError("unreadable extxyz frame: species and Z name different elements; one of them is wrong")
    return known


split_extxyz = extxyz.split_frames


def write_extxyz_frame(file: TextIO, crystal: Crystal, info: Mapping[str, object]) -> None:
    """Append one frame to an open file, in a single write; entries of `info` that are None or empty are left out.

    Names to which readers give a meaning of their own come out with `_label` behind them; see `extxyz.RESERVED`.
    """
    known = extxyz.without_reserved(
        {
            name: value
            for name, value in info.items()
            if value is not None and not (isinstance(value, str) and not value.strip())
        }
    )
    words = {name: extxyz.as_value(value) if isinstance(value, str) else value for name, value in known.items()}
    file.write(texts.extxyz(balanced(crystal)[0], symbols(crystal.numbers), _comment({**words, "pbc": "T T T"})))


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
        raise ConversionError(str(error) if str(path) in str(error) else f"{path}: {error}") from error


def database_ids(path: Path) -> list[int]:
    """Return the row numbers of an ASE database; the file is opened for reading only, as ASE would create tables."""
    files.check_file(path)
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
        try:
            return [row[0] for row in connection.execute("SELECT id FROM systems ORDER BY id")]
        finally:
            connection.close()
    except sqlite3.Error as error:
        detail = " ".join(str(error).split())[:160]
        raise ConversionError(
            f"{path} is no ASE database ({detail}); a .db file that ase.db wrote is needed"
        ) from error


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


def space_group_number(symbol: str) -> int:
    """Return the number of a space group in any usual spelling, such as `Fm-3m`; raises `ConversionError` on others."""
    number = parse_space_group(symbol)
    if number is None:
        raise ConversionError(f"unknown space group: {symbol[:40]!r}; a number from 1 to 230 is always right")
    return number


@contextmanager
def _without_noble_warnings() -> Iterator[None]:
    """Drop what pymatgen says when it sorts helium, neon or argon by electronegativities that they do not have."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="No Pauling electronegativity")
        yield


def _check_periodic(directions: Sequence[bool]) -> None:
    if not all(directions):
        count = sum(map(bool, directions))
        raise ConversionError(f"not a crystal: periodic in {count} of 3 directions; all three, and a cell, are needed")


def _only_species(index: int, composition: Mapping[Any, float]) -> object:
    check_occupancy({f"(site {index}) {kind}": amount for kind, amount in composition.items()})
    return next(iter(composition))


def _symbol(species: object) -> str:
    """The name and not the symbol of the element: pymatgen gives deuterium the symbol H."""
    element = getattr(species, "element", None) or species
    return str(getattr(element, "name", None) or getattr(element, "symbol", element))


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


def _text_frames(parse: Callable[[str], Crystal], path: Path) -> Iterator[Loader]:
    yield lambda: (parse(files.read_text(path)), {})


def _extxyz_frames(path: Path) -> Iterator[Loader]:
    return (partial(from_extxyz, frame) for frame in split_extxyz(files.read_lines(path)))


def _database_frames(path: Path) -> Iterator[Loader]:
    from ase.db import connect

    ids = database_ids(path)
    with connect(path, use_lock_file=False) as database:  # type: ignore[no-untyped-call] # ASE is typed in parts
        yield from (partial(_from_database, database.get, key) for key in ids)


def _from_database(get: Callable[..., Any], key: int) -> tuple[Crystal, Facts]:
    from ase import Atoms

    with parsing("row of the ASE database"):
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
