"""Points of the reciprocal cell: uniform grids, and paths along high symmetry."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from materium.errors import DataError

if TYPE_CHECKING:
    from materium.crystal import Crystal

ROUNDING = 1e-6
"""Relative; a grid that a rounding error would make one point larger stays as it is."""


class PathPoint(NamedTuple):
    """A corner of a path: its name, fractional coordinates, and whether the path goes on from it to the next one."""

    name: str
    frac: tuple[float, float, float]
    goes_on: bool


def reciprocal(crystal: Crystal) -> np.ndarray:
    """Return the reciprocal vectors as rows, 2π included, in Å⁻¹, shape (3, 3)."""
    return np.asarray(2 * np.pi * np.linalg.inv(crystal.lattice).T)


def grid(crystal: Crystal, spacing: float) -> tuple[int, int, int]:
    """Return the divisions of each reciprocal axis at which neighbours are at most `spacing` Å⁻¹ apart."""
    lengths = np.linalg.norm(reciprocal(crystal), axis=1)
    a, b, c = (max(1, ceil(length / spacing * (1 - ROUNDING))) for length in lengths.tolist())
    return a, b, c


def band_path(crystal: Crystal) -> list[PathPoint]:
    """Return the corners of Setyawan and Curtarolo's standard path (2010), in coordinates of the cell as it stands.

    The lattice alone decides the path, as ASE finds it: a crystal with less symmetry than its lattice has other
    directions that this path leaves out, and a cell that is not primitive shows its bands folded.

    Raises
    ------
    DataError
        If ASE finds no Bravais lattice for the cell.
    """
    from ase.cell import Cell
    from ase.dft.kpoints import parse_path_string

    try:
        path = Cell(crystal.lattice).bandpath(npoints=0)  # type: ignore[no-untyped-call] # ASE is typed in parts
    except (AssertionError, RuntimeError, ValueError) as error:
        raise DataError(f"no standard path for this cell ({error}); give it in a reduced form") from error
    corners = []
    for names in parse_path_string(path.path):  # type: ignore[no-untyped-call] # the same
        for index, name in enumerate(names):
            x, y, z = (path.special_points[name] + 0.0).tolist()  # adding zero turns -0 into 0
            corners.append(PathPoint(name, (x, y, z), index + 1 < len(names)))
    return corners


def steps(crystal: Crystal, path: list[PathPoint], spacing: float) -> list[int]:
    """Return how many steps of at most `spacing` Å⁻¹ lead from each corner to the next; 0 where the path breaks."""
    places = np.array([corner.frac for corner in path]) @ reciprocal(crystal)
    lengths = [*np.linalg.norm(np.diff(places, axis=0), axis=1).tolist(), 0.0]
    pairs = zip(path, lengths, strict=True)
    return [max(1, ceil(length / spacing * (1 - ROUNDING))) if corner.goes_on else 0 for corner, length in pairs]
