"""What the programs ask of a cell."""

from __future__ import annotations

import numpy as np

from materium.crystal import Crystal
from materium.errors import CrystalError
from materium.symmetry import canonical

FOLDED = "the cell is not primitive: its bands are folded"
"""The note on a crystal whose band structure was asked for in such a cell."""


def right_handed(crystal: Crystal) -> Crystal:
    """Return the same atoms in a right-handed cell, the only kind that VASP and ASE's band paths take."""
    if np.linalg.det(crystal.lattice) > 0:
        return crystal
    return Crystal(-crystal.lattice, -crystal.frac_coords, crystal.numbers, crystal.oxidation_states)


def is_primitive(crystal: Crystal) -> bool:
    """Return whether no smaller cell holds the same crystal; elements count, oxidation states do not.

    A cell whose symmetry cannot be found counts as primitive.
    """
    plain = Crystal(crystal.lattice, crystal.frac_coords, crystal.numbers)
    try:
        return len(canonical(plain)) == len(crystal)
    except CrystalError:
        return True
