"""The Lennard-Jones potential, for tests: one kind of atom whatever the element, in closed form and double precision.

J. E. Lennard-Jones, Proc. R. Soc. Lond. A 106, 463 (1924). A polynomial takes energy and force to zero at the cutoff.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from materium.relax.neighbors import edges
from materium.relax.potential import Potential, Prediction

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from materium.crystal import Crystal


class LennardJones(Potential):
    """Pairs with the energy 4ε((σ/r)¹² - (σ/r)⁶) times a smooth step from 1 at 0.7 of the cutoff to 0 at it.

    Parameters
    ----------
    epsilon
        eV, depth of the well.
    sigma
        Å, where the energy is zero; the default gives a solid with neighbours at about 2.7 Å.
    cutoff
        Å.
    """

    name = "lennard-jones"
    version = "1"
    scheme = "none"

    def __init__(self, epsilon: float = 0.2, sigma: float = 2.5, cutoff: float = 7.0) -> None:
        """Set the well; the version names it, since another well is another scale of energies."""
        self._epsilon, self._sigma, self._cutoff = epsilon, sigma, cutoff
        self.version = f"{epsilon:g}-{sigma:g}-{cutoff:g}"

    def predict(self, crystals: Sequence[Crystal]) -> list[Prediction | None]:
        """Return a prediction for each crystal; there is one for any."""
        return [self._predict(crystal) for crystal in crystals]

    def _predict(self, crystal: Crystal) -> Prediction:
        found = edges([crystal], self._cutoff)
        positions = crystal.frac_coords @ crystal.lattice
        vectors = positions[found.neighbor] + found.image @ crystal.lattice - positions[found.center]
        energies, slopes = self._pair(found.distance)
        pulls = vectors * (slopes / found.distance)[:, None]
        forces = np.zeros_like(positions)
        np.add.at(forces, found.center, pulls)
        # Every pair is met twice, from either end: half of each energy and of each share of the virial.
        stress = np.einsum("ei,ej->ij", vectors, pulls) / (2 * crystal.volume)
        return Prediction(float(energies.sum() / 2), forces, (stress + stress.T) / 2)

    def _pair(self, distance: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Energies in eV and their derivatives in eV/Å of pairs at distances in Å, shape (e,)."""
        sixth = (self._sigma / distance) ** 6
        energy = 4 * self._epsilon * (sixth**2 - sixth)
        slope = -24 * self._epsilon * (2 * sixth**2 - sixth) / distance
        onset = 0.7 * self._cutoff
        way = np.clip((distance - onset) / (self._cutoff - onset), 0, 1)
        step = 1 - way**3 * (10 - 15 * way + 6 * way**2)
        step_slope = -30 * way**2 * (1 - way) ** 2 / (self._cutoff - onset)
        return energy * step, slope * step + energy * step_slope
