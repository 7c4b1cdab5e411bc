"""A crystal described in a translationengleiche subgroup of its space group: same translations, fewer rotations.

An orbit of the group falls apart into several of the subgroup, so that one crystal has many descriptions, down to the
list of all its atoms in P1. The axes and the origin are those that a crystal with no more symmetry would have: moyo is
shown the crystal with two more orbits of the subgroup on general positions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import moyopy
import numpy as np

from materium.core.orbits import MARKER, Orbits, primitive_operations, settings_of
from materium.core.wyckoff import FINE_GRID
from materium.errors import CrystalError
from materium.symmetry import encode_species

if TYPE_CHECKING:
    from numpy.typing import NDArray

MARKERS = np.sqrt([[2.0, 3.0, 5.0], [7.0, 11.0, 13.0]]) % 1
"""Places on general positions, in a primitive basis."""
SYMPREC = 1e-4
"""Å; a crystal on the grid has its symmetry exactly."""


@dataclass(frozen=True)
class Subgroup:
    """A translationengleiche subgroup, which stands for those conjugate to it in the group.

    Parameters
    ----------
    group, number
        International numbers of the group and of the subgroup.
    index
        How many times more operations the group has.
    rotations, translations
        The subgroup's operations in the primitive basis of the group, shapes (m, 3, 3) and (m, 3).
    """

    group: int
    number: int
    index: int
    rotations: NDArray[np.int64] = field(repr=False, compare=False)
    translations: NDArray[np.float64] = field(repr=False, compare=False)


@cache
def subgroups(group: int) -> tuple[Subgroup, ...]:
    """Return the translationengleiche subgroups of a space group, one of each conjugacy class; the group comes first.

    In ascending order of index; several may have one number.

    Raises
    ------
    CrystalError
        If the number is not one of 1 to 230.
    """
    rotations, translations = primitive_operations(group)
    classes = moyopy.enumerate_translationengleiche_subgroups(rotations.tolist(), translations.tolist())
    found = []
    for members in classes:
        one = members.representative
        kept = one.operation_indices
        kind = moyopy.SpaceGroup(one.operations.rotations, one.operations.translations, basis=np.eye(3).tolist())
        found.append(Subgroup(group, kind.number, one.translationengleiche_index, rotations[kept], translations[kept]))
    return tuple(sorted(found, key=lambda subgroup: subgroup.index))


def in_subgroup(orbits: Orbits, subgroup: Subgroup | int) -> Orbits:
    """Return the canonical description of a crystal in a subgroup of the group that it is described in.

    Of several subgroups with one international number the first of `subgroups` is taken. Where the subgroup's axes
    divide a step of the grid, points are rounded: by at most half a step.

    Raises
    ------
    CrystalError
        If the group has no such subgroup, or a marker comes upon an atom, of which 1,900 descriptions had none.
    """
    if isinstance(subgroup, int):
        known = subgroups(orbits.group)
        numbers = [one.number for one in known]
        if subgroup not in numbers:
            listed = ", ".join(str(number) for number in sorted(set(numbers)))
            raise CrystalError(
                f"group {subgroup} is no translationengleiche subgroup of {orbits.group}; give one of {listed}"
            )
        subgroup = known[numbers.index(subgroup)]
    if subgroup.group != orbits.group:
        raise CrystalError(f"a subgroup of {subgroup.group} was given for a crystal in group {orbits.group}")
    if subgroup.index == 1:
        return orbits
    crystal = orbits.to_crystal()
    count = len(subgroup.rotations)
    marked = (subgroup.rotations @ MARKERS[:, None, :, None])[..., 0] + subgroup.translations
    cell = moyopy.Cell(
        crystal.lattice.tolist(),
        [*crystal.frac_coords.tolist(), *marked.reshape(-1, 3).tolist()],
        [*encode_species(crystal).tolist(), *[MARKER] * count, *[MARKER + 1] * count],
    )
    try:
        dataset = moyopy.MoyoDataset(cell, symprec=SYMPREC, setting=moyopy.Setting.standard())
    except ValueError as error:
        raise CrystalError(
            f"no description found in group {subgroup.number} ({error}); use another subgroup"
        ) from error
    if dataset.number != subgroup.number:
        raise CrystalError(
            f"described in group {subgroup.number} the crystal was found in {dataset.number}; use another subgroup"
        )
    return settings_of(dataset, known=crystal.oxidation_states is not None, limit=1)[0]


def num_orbits(orbits: Orbits, subgroup: Subgroup) -> int:
    """Return how many orbits the crystal has in a subgroup of its group."""
    points = np.rint(orbits.to_crystal().frac_coords * FINE_GRID).astype(np.int64)
    steps = np.rint(subgroup.translations * FINE_GRID).astype(np.int64)
    images = (points @ np.swapaxes(subgroup.rotations, 1, 2) + steps[:, None]) % FINE_GRID
    return len(np.unique((images @ [FINE_GRID**2, FINE_GRID, 1]).min(0)))


def random_subgroup(orbits: Orbits, rng: np.random.Generator, max_orbits: int | None = None) -> Subgroup | None:
    """Return a proper subgroup in which the crystal has at most `max_orbits` orbits, or None if there is none.

    All are equally likely. Without a limit there is P1 at least, except in P1 itself.
    """
    known = subgroups(orbits.group)[1:]
    order: list[int] = rng.permutation(len(known)).tolist()
    for place in order:
        if max_orbits is None or num_orbits(orbits, known[place]) <= max_orbits:
            return known[place]
    return None
