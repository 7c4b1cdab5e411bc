"""Who is near whom, for many crystals at once: the edges that potentials sum over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from materium.crystal import Crystal


@dataclass(frozen=True, eq=False)
class Edges:
    """Directed edges of a batch of crystals, whose sites are counted through.

    Parameters
    ----------
    center, neighbor
        Sites of the batch, shape (e,).
    image
        Lattice vectors from the neighbour in the cell to the one that is meant, shape (e, 3).
    distance
        Å, shape (e,).
    owner
        Crystal that each site belongs to, shape (sites,).
    """

    center: NDArray[np.int64]
    neighbor: NDArray[np.int64]
    image: NDArray[np.int64]
    distance: NDArray[np.float64]
    owner: NDArray[np.int64]

    def kept(self, chosen: NDArray[np.bool_]) -> Edges:
        """Return the edges that a mask of shape (e,) chooses."""
        pairs = (self.center[chosen], self.neighbor[chosen])
        return Edges(*pairs, self.image[chosen], self.distance[chosen], self.owner)


def edges(crystals: Sequence[Crystal], cutoff: float) -> Edges:
    """Return all pairs of sites closer than `cutoff` Å, in both directions, with the images of a site of itself."""
    sizes = [len(crystal) for crystal in crystals]
    starts = np.cumsum([0, *sizes[:-1]])
    found = [_edges_of(crystal, cutoff) for crystal in crystals]
    center = np.concatenate([one[0] + start for one, start in zip(found, starts, strict=True)])
    neighbor = np.concatenate([one[1] + start for one, start in zip(found, starts, strict=True)])
    image = np.concatenate([one[2] for one in found])
    distance = np.concatenate([one[3] for one in found])
    return Edges(center, neighbor, image, distance, np.repeat(np.arange(len(sizes)), sizes))


def has_lonely_site(crystal: Crystal, cutoff: float) -> bool:
    """Return whether a site has no other within `cutoff` Å, its own images counted."""
    return np.unique(_edges_of(crystal, cutoff)[0]).size < len(crystal)


def _edges_of(
    crystal: Crystal, cutoff: float
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    from pymatgen.optimization.neighbors import find_points_in_spheres

    positions = crystal.frac_coords @ crystal.lattice
    periodic = np.ones(3, dtype=np.int64)
    # The lattice is copied, since the compiled function wants arrays that it may write to.
    lattice = np.array(crystal.lattice)
    center, neighbor, image, distance = find_points_in_spheres(
        positions, positions, r=cutoff, pbc=periodic, lattice=lattice, tol=1e-8
    )
    other = (center != neighbor) | image.any(1)
    return center[other], neighbor[other], np.rint(image[other]).astype(np.int64), distance[other]
