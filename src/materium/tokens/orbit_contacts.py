"""Distances that the next orbit of a sequence would make, along its last free coordinate or on a fixed point."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from materium.core.wyckoff import GRID, space_group, wyckoff_position

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Contacts(NamedTuple):
    """Where the last free coordinate of an orbit brings its representative beside other atoms.

    The offset from atom j is `start[j] + step[j] * point / bins`, in terms of the reduced primitive cell, whose nearest
    lattice translation is to be taken off.

    Attributes
    ----------
    start, step
        Shape (atoms, 3).
    sites
        One plus the species of each atom, shape (atoms,).
    images
        How many of the atoms, the last ones, are images of the representative itself.
    own
        One plus the species of the orbit.
    metric
        Å², shape (3, 3).
    """

    start: NDArray[np.float64]
    step: NDArray[np.float64]
    sites: NDArray[np.int64]
    images: int
    own: int
    metric: NDArray[np.float64]

    def distances(self, points: NDArray[np.int64], bins: int) -> NDArray[np.float64]:
        """Return the distance in Å from each atom at grid points, shape (points, atoms)."""
        along = points / bins
        return _lengths(self.start.T[:, :, None] + self.step.T[:, :, None] * along, self.metric).T


def nearest_distances(offsets: NDArray[np.float64], metric: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lengths in Å, shape (...), of offsets in a reduced cell, (..., 3), less the nearest translations."""
    return _lengths(np.moveaxis(offsets, -1, 0), metric)


def _lengths(offsets: NDArray[np.float64], metric: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same for coordinates along the first axis: three times as fast as along the last one."""
    x, y, z = (offset - np.rint(offset) for offset in offsets)
    (xx, xy, xz), (_, yy, yz), (*_, zz) = metric.tolist()
    square = x * (xx * x + 2 * xy * y + 2 * xz * z) + y * (yy * y + 2 * yz * z) + zz * z * z
    lengths: NDArray[np.float64] = np.sqrt(np.maximum(square, 0.0))
    return lengths


@cache
def orbit_maps(number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The images of a position as `matrices @ free + offsets / 24`, shapes (k, 3, f) and (k, 3); not wrapped."""
    position = wyckoff_position(number)
    return position.rotations @ position.matrix, position.rotations @ position.offset + position.translations


@cache
def fixed_points(group: int) -> tuple[list[int], NDArray[np.float64], list[NDArray[np.float64]]]:
    """Positions without free coordinates: index, representative (n, 3), and where its other images are from it."""
    fixed = [position for position in space_group(group).positions if not position.freedom]
    images = [orbit_maps(position.number)[1] / GRID for position in fixed]
    points = np.array([places[0] for places in images]).reshape(-1, 3)
    return [position.index for position in fixed], points, [places[1:] - places[0] for places in images]


@cache
def decided_images(number: int) -> tuple[NDArray[np.int64], ...]:
    """For each free coordinate of a position, the images whose offset from the representative it changes last."""
    matrices = orbit_maps(number)[0]
    changes = (matrices - matrices[0]).any(axis=1)  # (k, f)
    return tuple(
        np.flatnonzero(changes[:, place] & ~changes[:, place + 1 :].any(axis=1)) for place in range(changes.shape[1])
    )
