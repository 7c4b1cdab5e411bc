"""Random crystals of any space group, and random ways to write a crystal down."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import moyopy
import numpy as np

from materium.core.orbits import Orbits
from materium.core.wyckoff import FINE_GRID, space_group
from materium.crystal import Crystal, lattice_from_parameters

if TYPE_CHECKING:
    from numpy.typing import NDArray

FAMILIES = {"triclinic": 1, "monoclinic": 3, "orthorhombic": 16, "tetragonal": 75, "hexagonal": 143, "cubic": 195}
"""Crystal families, each with its first space group."""
SYSTEMS = {
    "triclinic": (1, 2),
    "monoclinic": (3, 15),
    "orthorhombic": (16, 74),
    "tetragonal": (75, 142),
    "trigonal": (143, 167),
    "hexagonal": (168, 194),
    "cubic": (195, 230),
}
"""Crystal systems, each with its first and last space group."""
SPECIAL = (0.0, 1 / 8, 1 / 4, 1 / 3, 3 / 8, 1 / 2, 2 / 3, 3 / 4)
EQUAL_LENGTHS = (4.0, 4.0 * 2**0.5, 4.0 * 3**0.5, 8.0)
EQUAL_ANGLES = (75.0, 90.0, 100.0)
ELEMENTS = (3, 8, 11, 14, 17, 22, 26, 38, 50, 82)


def family(number: int) -> str:
    """Return the crystal family of a space group."""
    return [name for name, first in FAMILIES.items() if first <= number][-1]


def cell_parameters(number: int, rng: np.random.Generator) -> list[float]:
    """Return random a, b, c (Å) and α, β, γ (degrees) of a conventional cell that the space group allows.

    Half of them have lattices with more symmetry than the group asks for, where the axes are hard to tell apart.
    """
    a, b, c = rng.uniform(4, 9, 3) if rng.random() < 0.5 else rng.choice(EQUAL_LENGTHS, 3)
    angles = rng.uniform(75, 115, 3) if rng.random() < 0.5 else rng.choice(EQUAL_ANGLES, 3)
    return {
        "triclinic": [a, b, c, *angles],
        "monoclinic": [a, b, c, 90, 90 + abs(angles[1] - 90), 90],
        "orthorhombic": [a, b, c, 90, 90, 90],
        "tetragonal": [a, a, c, 90, 90, 90],
        "hexagonal": [a, a, c, 90, 90, 120],
        "cubic": [a, a, a, 90, 90, 90],
    }[family(number)]


def orbit(number: int, position: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return all positions in the conventional cell that the space group makes from one, without repetitions."""
    operations = moyopy.operations_from_number(number, setting=moyopy.Setting.standard(), primitive=False)
    images = np.array(operations.rotations) @ position + np.array(operations.translations)
    images = np.round(images - np.floor(images), 9) % 1
    apart = images[:, None] - images[None]
    same = (np.abs(apart - np.round(apart)) < 1e-6).all(axis=-1)
    return images[np.unique(same.argmax(axis=1))]


def random_crystal(number: int, rng: np.random.Generator, *, orbits: int = 2) -> Crystal:
    """Return a crystal of the space group, or of a supergroup where the atoms happen to have more symmetry.

    Each orbit is drawn from special and general coordinates; atoms are at least 1 Å apart, and the cell is scaled
    until they fit.
    """
    parameters = np.array(cell_parameters(number, rng))
    sites: list[tuple[int, NDArray[np.float64]]] = []
    for element in rng.choice(ELEMENTS, size=orbits, replace=False):
        free = rng.random(3)
        position = np.where(rng.random(3) < 0.5, rng.choice(SPECIAL, 3), free)
        sites.append((int(element), orbit(number, position)))
    numbers = np.concatenate([[element] * len(positions) for element, positions in sites])
    frac = np.concatenate([positions for _, positions in sites])
    nearest = Crystal(lattice_from_parameters(parameters), frac, numbers).min_distance
    if nearest < 0.1:
        return random_crystal(number, rng, orbits=orbits)
    parameters[:3] *= max(1.0, 1.2 / nearest)
    return Crystal(lattice_from_parameters(parameters), frac, numbers)


def random_orbits(number: int, rng: np.random.Generator, step: int = 1) -> Orbits:
    """Return two or three orbits on random positions of a space group, no two atoms closer than 0.5 Å.

    Free coordinates are multiples of `step` steps of the grid.
    """
    group, found = space_group(number), False
    while not found:
        positions = rng.integers(len(group.positions), size=rng.integers(2, 4))
        points = np.array(
            [
                group.positions[index].point(
                    rng.integers(FINE_GRID // step, size=group.positions[index].freedom) * step
                )
                for index in positions
            ]
        )
        numbers = np.sort(rng.choice([3, 8, 17, 26, 50], len(positions), replace=False))[::-1]
        parameters = np.array(cell_parameters(number, rng))
        parameters[:3] *= 2
        orbits = Orbits(number, parameters, numbers, None, positions, points)
        found = orbits.to_crystal().min_distance > 0.5
    return orbits


def redescribed(crystal: Crystal, rng: np.random.Generator, *, volume: int = 1) -> Crystal:
    """Return the same crystal with other axes, orientation, origin and order of sites, `volume` times the cell."""
    basis = unimodular(rng) @ hermite(rng, volume)
    spread = supercell(crystal, basis)
    order = rng.permutation(len(spread))
    lattice, frac = spread.lattice @ rotation(rng), spread.frac_coords + rng.random(3)
    return Crystal(lattice, frac, spread.numbers, spread.oxidation_states).select(order)


def supercell(crystal: Crystal, basis: NDArray[np.int64]) -> Crystal:
    """Return the crystal in the cell whose rows are `basis` in terms of its own."""
    copies = round(abs(float(np.linalg.det(basis))))
    reach = int(np.abs(basis).sum())
    corners = np.array(list(product(range(-reach, reach + 1), repeat=3))) if copies > 1 else np.zeros((1, 3))
    inside = corners @ np.linalg.inv(basis)
    inside = np.unique(np.round(inside - np.floor(inside + 1e-9), 9) % 1, axis=0)
    assert len(inside) == copies
    frac = (crystal.frac_coords @ np.linalg.inv(basis))[:, None] + inside[None]
    states = None if crystal.oxidation_states is None else np.repeat(crystal.oxidation_states, copies)
    return Crystal(basis @ crystal.lattice, frac.reshape(-1, 3), np.repeat(crystal.numbers, copies), states)


def unimodular(rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a random right-handed change of axes: a few shears and a cyclic permutation."""
    matrix = np.roll(np.eye(3, dtype=np.int64), rng.integers(3), axis=0)
    for _ in range(3):
        i, j = rng.choice(3, size=2, replace=False)
        matrix[i] += rng.choice((-1, 1)) * matrix[j]
    return matrix


def hermite(rng: np.random.Generator, volume: int) -> NDArray[np.int64]:
    """Return axes of a supercell of that volume, in Hermite normal form."""
    matrix = np.eye(3, dtype=np.int64)
    axis = rng.integers(3)
    matrix[axis, axis] = volume
    matrix[axis, :axis] = rng.integers(volume, size=axis)
    return matrix


def rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a random proper rotation."""
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    q = q * np.sign(np.diag(r))
    return q * np.linalg.det(q)
