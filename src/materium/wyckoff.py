"""Crystals as CIFs with their space group: the asymmetric unit in the conventional cell, its sites with their orbits.

A file must not hold another crystal than the one that was generated. So the group that a crystal has within a coarse
tolerance is written only where symmetrising moves nothing by more than `MAX_SHIFT`; else the group at a finer one; else
the cell stands in P1 as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

import moyopy
import numpy as np

from materium import convert, texts
from materium.crystal import Crystal, contragredient
from materium.oxidation import balanced
from materium.symmetry import SYMPREC, found

if TYPE_CHECKING:
    from numpy.typing import NDArray

COARSE_SYMPREC = 0.1
"""Å; the tolerance that is tried first, `SYMPREC` being the second."""
MAX_SHIFT = 0.01
"""Å; in a CIF no atom and no lattice vector's end is farther than this from where it was generated, but for a rotation
and a shift of the whole crystal. A step of the model's grid is as long in an axis of 10 Å."""
DIGITS = 12
"""Decimals of fractional coordinates in a CIF."""
MONOCLINIC = range(3, 16)
CHOICES = frozenset("12HR")
"""What a symbol says of the origin or of the axes, after a colon."""


@dataclass(frozen=True)
class AsymmetricUnit:
    """One site of each orbit of a crystal, in the conventional standard cell of its space group.

    Parameters
    ----------
    lattice
        Å, shape (3, 3), rows are the vectors of the conventional cell.
    frac_coords
        Shape (k, 3), on their special positions.
    representatives
        Which site of the crystal each comes from, shape (k,).
    multiplicities
        How many sites of the conventional cell each stands for, shape (k,).
    letters
        Wyckoff letters, shape (k,).
    hall_number
        Of the space group in its standard setting, as moyo counts, 1 to 530.
    shift
        Å; the largest distance of an atom or a lattice vector's end from where it was before symmetrising.
    """

    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    representatives: NDArray[np.int64]
    multiplicities: NDArray[np.int64]
    letters: list[str]
    hall_number: int
    shift: float


def to_cif(crystal: Crystal, name: str | None = None, *, p1: bool = False) -> str:
    """Return the crystal as a CIF with its space group, operations and Wyckoff sites.

    The cell is the conventional one of the standard setting (unique axis b, hexagonal axes, origin choice 2). Where no
    symmetry is found within the tolerances that the module states, or with `p1`, the cell stands as it is, in P1.
    `name` is that of the data block; the formula if none is given.
    """
    unit = None if p1 else asymmetric_unit(crystal)
    if unit is None:
        return convert.to_cif(crystal, name)
    states = balanced(crystal)[0].oxidation_states
    own = None if states is None else states[unit.representatives]
    sites = Crystal(unit.lattice, unit.frac_coords, crystal.numbers[unit.representatives], own)
    orbits = texts.Orbits(setting(unit.hall_number), unit.multiplicities.tolist(), unit.letters)
    content = np.repeat(sites.numbers, unit.multiplicities)
    formula = convert.reduced_formula(tuple(content.tolist()))
    return texts.cif(sites, convert.symbols(sites.numbers), formula, name or formula[0], orbits)


def asymmetric_unit(crystal: Crystal) -> AsymmetricUnit | None:
    """Return the asymmetric unit in the highest group that moves nothing by more than `MAX_SHIFT`; None in P1."""
    for symprec in (COARSE_SYMPREC, SYMPREC):
        dataset = found(crystal, symprec)
        if dataset is not None and dataset.number == 1:
            return None
        if dataset is not None and (unit := _unit_of(crystal, dataset)).shift <= MAX_SHIFT:
            return unit
    return None


def _unit_of(crystal: Crystal, dataset: moyopy.MoyoDataset) -> AsymmetricUnit:
    primitive, conventional = dataset.prim_std_cell, dataset.std_cell
    basis, linear = np.array(primitive.basis), np.array(dataset.prim_std_linear)
    positions, places = np.array(primitive.positions), np.array(dataset.mapping_std_prim)
    origin = np.array(dataset.prim_std_origin_shift)
    moved = (crystal.frac_coords - origin) @ contragredient(linear.tolist()) - positions[places]
    moved -= np.round(moved)
    stretched = (np.array(dataset.std_rotation_matrix) @ crystal.lattice.T @ linear).T - basis
    shift = np.sqrt(max(((moved @ basis) ** 2).sum(1).max(), (stretched**2).sum(1).max()))
    orbits = np.zeros(len(positions), np.int64)  # of primitive sites, for a supercell holds each several times
    orbits[places] = dataset.orbits
    representatives, sizes = np.unique(orbits, return_counts=True)
    lattice = np.array(conventional.basis)
    frac = np.round(positions[places[representatives]] @ basis @ np.linalg.inv(lattice), DIGITS) % 1.0
    letters = dataset.wyckoffs
    return AsymmetricUnit(
        lattice=lattice,
        frac_coords=frac,
        representatives=representatives,
        multiplicities=sizes * (len(conventional.numbers) // len(positions)),
        letters=[letters[site] for site in representatives],
        hall_number=dataset.hall_number,
        shift=float(shift),
    )


@cache
def setting(hall_number: int) -> texts.SpaceGroup:
    """Return symbols and operations of a setting (moyo's number, 1 to 530) that is the standard one of its group."""
    entry = moyopy.HallSymbolEntry(hall_number)
    monoclinic = entry.number in MONOCLINIC  # the short symbol leaves out which axis is the unique one
    symbol = (entry.hm_full if monoclinic else entry.hm_short).replace("_", "")
    choice = f" :{entry.setting}" if str(entry.setting) in CHOICES else ""
    found = moyopy.operations_from_number(entry.number, setting=moyopy.Setting.standard(), primitive=False)
    operations = tuple(
        ", ".join(_component(row, step) for row, step in zip(rotation, translation, strict=True))
        for rotation, translation in zip(found.rotations, found.translations, strict=True)
    )
    hall = entry.hall_symbol.replace("=", '"')  # moyo's spelling of a double prime is its own
    return texts.SpaceGroup(entry.number, symbol + choice, hall, operations)


def _component(row: list[int], step: float) -> str:
    """One coordinate of an operation, such as `x-y+1/3`."""
    terms = "".join(f"{'-' if factor < 0 else '+'}{axis}" for factor, axis in zip(row, "xyz", strict=True) if factor)
    part = Fraction(step % 1).limit_denominator(24)
    return terms.removeprefix("+") + (f"+{part}" if part else "")
