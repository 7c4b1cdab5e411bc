"""Cells for pymatgen's geometry: a skewed one is reduced by moyo first, for pymatgen's own reduction may never end."""

from __future__ import annotations

import moyopy
import numpy as np

from materium.crystal import Crystal, contragredient

LEAST_FILL = 0.02
"""Volume by the product of the three lengths; with any angle within a degree of 0 or 180 it is less."""


def unskewed(crystal: Crystal) -> Crystal:
    """Return the same atoms in the same order, in the Niggli cell if their own is skewed.

    Raises
    ------
    CrystalError
        If the cell cannot be reduced.
    """
    if crystal.volume >= LEAST_FILL * float(np.prod(crystal.lengths_angles[:3])):
        return crystal
    crystal.min_distance  # noqa: B018 - raises the one line for a cell that moyo cannot reduce
    basis, transform = moyopy.niggli_reduce(crystal.lattice.tolist())
    frac = crystal.frac_coords @ contragredient(transform)
    return Crystal(np.array(basis), frac, crystal.numbers, crystal.oxidation_states)
