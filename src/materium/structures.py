"""Structures of pymatgen, ASE or Materium as crystals, whichever they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from materium import convert
from materium.crystal import Crystal
from materium.errors import RequestError

if TYPE_CHECKING:
    from materium.convert import Atoms, Structure

    AnyStructure = Structure | Atoms | Crystal


def kind_of(structure: object) -> str | None:
    """Return the library that a structure comes from, told by what it can do: neither library is loaded to ask.

    `materium`, `ase` or `pymatgen`; None for anything else.
    """
    if isinstance(structure, Crystal):
        return "materium"
    if hasattr(structure, "get_scaled_positions"):
        return "ase"
    return "pymatgen" if hasattr(structure, "frac_coords") and hasattr(structure, "lattice") else None


def as_crystal(structure: object) -> Crystal:
    """Return a structure as a crystal.

    Raises
    ------
    MateriumError
        If it is of no such type or cannot be a crystal; see `materium.convert.from_structure` and `from_atoms`.
    """
    kind = kind_of(structure)
    if kind is None:
        name = type(structure).__name__
        raise RequestError(f"{name} is no structure; give pymatgen structures, ASE atoms or Materium's crystals")
    if isinstance(structure, Crystal):
        return structure
    return convert.from_atoms(structure) if kind == "ase" else convert.from_structure(structure)  # type: ignore[arg-type]  # told by `kind_of`
