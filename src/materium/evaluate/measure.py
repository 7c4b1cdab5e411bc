"""The properties that follow from the structure alone, by the names of `properties.toml`.

Each function takes a crystal in any cell and orientation; supercells and rotations leave the result as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from materium import convert, symmetry
from materium.elements import masses, production
from materium.errors import CrystalError, MateriumError

if TYPE_CHECKING:
    from collections.abc import Callable

    from materium.crystal import Crystal

Value = float | int | str

SYMPREC = 0.1
"""Å; the tolerance of the labels `space_group` and `num_sites`."""
SYMPREC_FINE = 0.01
"""Å; the tolerance of `space_group_fine`."""


def reduced_formula(crystal: Crystal) -> str:
    """Return the reduced formula in pymatgen's spelling, such as `TiO2`."""
    return convert.formula(crystal)


def chemical_system(crystal: Crystal) -> str:
    """Return the symbols of the elements, sorted and joined by hyphens, such as `O-Ti`."""
    return "-".join(sorted(convert.symbols(np.unique(crystal.numbers))))


def space_group(crystal: Crystal, symprec: float = SYMPREC) -> int | None:
    """Return the international number at `symprec` Å, or None where moyo finds no symmetry (overlapping atoms)."""
    try:
        return symmetry.space_group(crystal, symprec)
    except CrystalError:
        return None


def num_sites(crystal: Crystal, symprec: float = SYMPREC) -> int | None:
    """Return the number of atoms in the primitive cell at `symprec` Å, or None where moyo finds no symmetry."""
    try:
        return len(symmetry.canonical(crystal, symprec))
    except CrystalError:
        return None


def density(crystal: Crystal) -> float:
    """Return the mass density in g/cm³."""
    return crystal.density


def hhi(crystal: Crystal) -> float | None:
    """Return the Herfindahl-Hirschman index of production, elements weighted by mass; None if an element has none."""
    weights = masses()[crystal.numbers]
    value = float((weights * production()[crystal.numbers]).sum() / weights.sum())
    return None if np.isnan(value) else value


MEASURES: dict[str, Callable[[Crystal], Value | None]] = {
    "reduced_formula": reduced_formula,
    "chemical_system": chemical_system,
    "space_group": space_group,
    "space_group_fine": lambda crystal: space_group(crystal, SYMPREC_FINE),
    "num_sites": num_sites,
    "density": density,
    "hhi": hhi,
}
"""Names of `properties.toml`, and the space group at the finer tolerance."""


def measure(crystal: Crystal, name: str) -> Value | None:
    """Return the property `name` of a crystal in its unit, or None if the crystal has none.

    Raises
    ------
    MateriumError
        If the property does not follow from the structure alone.
    """
    if name not in MEASURES:
        known = ", ".join(MEASURES)
        raise MateriumError(f"{name} does not follow from the structure alone; what can be measured is {known}")
    return MEASURES[name](crystal)
