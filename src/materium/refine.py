"""Refinement: a crystal moved onto the symmetry that it has within a tolerance, if it stays the same crystal.

A model writes coordinates on a grid, so atoms miss their special positions by a little. moyo finds the group that the
crystal has within a tolerance and averages the atoms over it; whatever then fails a check is refused, with the reason.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import moyopy
import numpy as np

from materium.convert import formula, to_structure
from materium.crystal import Crystal, fault
from materium.errors import CrystalError, RequestError
from materium.io.matching import unskewed
from materium.symmetry import MAX_DENSITY_CHANGE, canonical, space_group

if TYPE_CHECKING:
    from pymatgen.core.structure_matcher import StructureMatcher

REFINE_SYMPREC = 0.1
"""Å; finds the group of crystals whose atoms are up to about a third of it away from their places."""
TIGHT_SYMPREC = 1e-4
"""Å; at this tolerance the refined crystal must have the group that it was given."""


@dataclass(frozen=True)
class Refinement:
    """What became of a crystal that was to be refined.

    Parameters
    ----------
    crystal
        The canonical form of the symmetrised crystal, a primitive cell; None if it was refused.
    space_group
        International number of the refined crystal; None if it was refused.
    reason
        One line that says why it was refused, empty if it was accepted.
    """

    crystal: Crystal | None
    space_group: int | None
    reason: str = ""


def refine(crystal: Crystal, symprec: float = REFINE_SYMPREC) -> Refinement:
    """Return the crystal with the symmetry that it has within `symprec` Å, or why it should stay as it is.

    Accepted is what is valid and keeps the composition (with oxidation states), the density to 1 %, atoms 0.5 Å apart
    and the shortest distance to `symprec`, what pymatgen's StructureMatcher calls the same, and what has its group at
    `TIGHT_SYMPREC` too.

    Raises
    ------
    RequestError
        If `symprec` is no positive number.
    """
    if not 0 < symprec < math.inf:
        raise RequestError(f"{symprec=} is not possible; give a tolerance in Å, above 0")
    if (wrong := fault(crystal)) is not None:
        return Refinement(None, None, wrong)
    try:
        refined = canonical(crystal, symprec).check_distances()
        group = space_group(crystal, symprec)
        reason = _difference(crystal, refined, symprec) or _other_group(refined, group, symprec)
    except CrystalError as error:
        return Refinement(None, None, str(error))
    return Refinement(None, None, reason) if reason else Refinement(refined, group)


def _difference(raw: Crystal, refined: Crystal, symprec: float) -> str:
    """Say in what two crystals differ that should be the same; empty if they do not."""
    if not _same_composition(raw, refined):
        return f"the composition changed from {formula(raw)} to {formula(refined)}"
    change = refined.density / raw.density - 1
    if abs(change) > MAX_DENSITY_CHANGE:
        return f"the density changed by {100 * change:.1f} %; at most {100 * MAX_DENSITY_CHANGE:g} % is allowed"
    before, after = _reduced(raw).min_distance, refined.min_distance
    if abs(after - before) > symprec:
        return f"the shortest distance changed from {before:.3f} to {after:.3f} Å; at most {symprec=} Å is allowed"
    if not _matcher().fit(to_structure(unskewed(raw)), to_structure(refined)):
        return "StructureMatcher holds the raw and the refined crystal for different ones"
    return ""


def _other_group(refined: Crystal, group: int, symprec: float) -> str:
    tight = space_group(refined, TIGHT_SYMPREC)
    if tight == group:
        return ""
    return f"space group {group} was found at {symprec=} Å, but the refined crystal has {tight} at {TIGHT_SYMPREC} Å"


def _same_composition(one: Crystal, other: Crystal) -> bool:
    """Whether each species, an element in one oxidation state, has the same share of the atoms."""
    if (one.oxidation_states is None) != (other.oxidation_states is None):
        return False
    shares = [{kind: count * len(b) for kind, count in _counts(a).items()} for a, b in ((one, other), (other, one))]
    return shares[0] == shares[1]


def _counts(crystal: Crystal) -> dict[tuple[int, int], int]:
    states = np.zeros(len(crystal), np.int64) if crystal.oxidation_states is None else crystal.oxidation_states
    kinds, counts = np.unique(np.column_stack([crystal.numbers, states]), axis=0, return_counts=True)
    return {(int(z), int(state)): int(count) for (z, state), count in zip(kinds, counts, strict=True)}


def _reduced(crystal: Crystal) -> Crystal:
    """The same atoms in the Niggli cell, in which `min_distance` is exact."""
    basis, transform = moyopy.niggli_reduce(crystal.lattice.tolist())
    frac = crystal.frac_coords @ np.linalg.inv(np.array(transform).T)
    return Crystal(np.array(basis), frac, crystal.numbers)


@cache
def _matcher() -> StructureMatcher:
    """The matcher with its default tolerances; it tries supercells, as a raw cell may hold several refined ones.

    Its search for primitive cells is off: it takes atoms 0.25 Å apart for one, whatever `symprec` says.
    """
    from pymatgen.core.structure_matcher import StructureMatcher

    return StructureMatcher(primitive_cell=False, attempt_supercell=True)
