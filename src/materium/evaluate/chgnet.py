"""Magnetisation, bulk modulus and energy above the hull from CHGNet 0.3.0, with the weights in the package `chgnet`.

B. Deng et al., Nat. Mach. Intell. 5, 1031 (2023). Trained on relaxations of the Materials Project (MPtrj).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from materium.convert import to_structure
from materium.crystal import Crystal
from materium.evaluate import reference
from materium.evaluate.hull import Hull
from materium.relax.adapters import potential
from materium.relax.adapters.chgnet import ELEMENTS, EXTRA, load
from materium.relax.relaxer import single_points

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from materium.relax.potential import Potential

__all__ = ["EXTRA", "bulk_modulus", "energy_above_hull", "mag_density"]

BATCH = 16
VOLUMES = np.linspace(0.88, 1.12, 7)
"""Volumes of the equation of state over the volume at its middle; chosen on `val` among widths of 3 to 12 %."""
WINDOWS = 3
"""How often the window of volumes is moved towards the minimum before a crystal counts as unbound."""
EV_PER_A3 = 160.21766208
"""GPa in one eV/Å³ (CODATA 2014)."""


def mag_density(crystals: Sequence[Crystal]) -> NDArray[np.float64]:
    """Return the sums of the site moments over the volume in μB/Å³, shape (n,): every moment counts as parallel.

    NaN where an atom has no neighbour within 6 Å, or is heavier than plutonium.
    """
    moments = _moments(crystals)
    pairs = zip(moments, crystals, strict=True)
    return np.array([np.nan if m is None else float(m.sum()) / crystal.volume for m, crystal in pairs])


def bulk_modulus(crystals: Sequence[Crystal]) -> NDArray[np.float64]:
    """Return bulk moduli in GPa, shape (n,), from energies of the cell at seven volumes, fractional coordinates fixed.

    The modulus is that of the fitted minimum, which need not be the given volume. NaN as for `mag_density`, and where
    three windows of volumes hold no minimum, as happens for invented crystals that have not been relaxed.
    """
    return np.array([_bulk_modulus(crystal) for crystal in crystals])


def energy_above_hull(crystals: Sequence[Crystal]) -> NDArray[np.float64]:
    """Return energies above the hull that ships for CHGNet in eV/atom, shape (n,), of the crystals as they are.

    Nothing is relaxed, so that what was invented lies higher than `materium evaluate` says. NaN where CHGNet gives no
    energy, or the hull lacks an element.
    """
    energies = single_points(list(crystals), _potential())
    pairs = zip(crystals, energies, strict=True)
    found = [None if energy is None else _hull().energy_above_hull(crystal, energy) for crystal, energy in pairs]
    return np.array(found, dtype=np.float64)


def birch_murnaghan(volumes: NDArray[np.float64], energies: NDArray[np.float64]) -> tuple[float, float]:
    """Return the volume in Å³ and the bulk modulus in eV/Å³ at the minimum of an equation of state; NaN if it has none.

    Birch-Murnaghan's equation of third order is a cubic polynomial in V^(-2/3) (F. Birch, Phys. Rev. 71, 809, 1947).

    Parameters
    ----------
    volumes, energies
        Å³ and eV, shape (k,) with k of at least 4.
    """
    middle = float(np.median(volumes))
    reduced = (volumes / middle) ** (-2 / 3)
    energy = np.polynomial.Polynomial.fit(reduced, energies, deg=3)
    curvature = energy.deriv(2)
    places = energy.deriv().roots()
    minima = [x for x in places[np.isreal(places)].real if x > 0 and curvature(x) > 0]
    if not minima:
        return np.nan, np.nan
    x = min(minima, key=lambda place: abs(place - 1))
    ratio = x**-1.5
    return ratio * middle, float(4 / 9 * ratio ** (-7 / 3) * curvature(x) / middle)


def _bulk_modulus(crystal: Crystal) -> float:
    centre = 1.0
    for _ in range(WINDOWS):
        found = _energies(crystal, centre * VOLUMES)
        if found is None:
            return np.nan
        volume, modulus = birch_murnaghan(centre * VOLUMES * crystal.volume, found)
        ratio = volume / crystal.volume
        if centre * VOLUMES[0] <= ratio <= centre * VOLUMES[-1]:
            return modulus * EV_PER_A3
        centre *= float(VOLUMES[found.argmin()])
    return np.nan


def _energies(crystal: Crystal, ratios: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Energies of the cell in eV with its volume scaled, shape (k,), or None where CHGNet gives none."""
    scaled = [Crystal(crystal.lattice * ratio ** (1 / 3), crystal.frac_coords, crystal.numbers) for ratio in ratios]
    found = [one.energy for one in _potential().predict(scaled) if one is not None]
    return np.array(found, dtype=np.float64) if len(found) == len(scaled) else None


@cache
def _potential() -> Potential:
    """The same network with graphs for whole batches: three times as fast for energies, and without site moments."""
    return potential("chgnet")


@cache
def _hull() -> Hull:
    return Hull(reference.load("chgnet"))


def _moments(crystals: Sequence[Crystal]) -> list[NDArray[np.float64] | None]:
    """The site moments of each crystal in μB, None where it has no graph."""
    import torch

    graphs = [_graph(crystal) for crystal in crystals]
    able = [index for index, graph in enumerate(graphs) if graph is not None]
    found: list[NDArray[np.float64] | None] = [None] * len(crystals)
    for start in range(0, len(able), BATCH):
        part = able[start : start + BATCH]
        with torch.no_grad():
            outputs = _load()([graphs[index] for index in part], task="em")["m"]
        for index, output in zip(part, outputs, strict=True):
            found[index] = output.double().numpy()
    return found


def _graph(crystal: Crystal) -> Any | None:  # noqa: ANN401 - CHGNet's graph; the package may be missing
    if crystal.numbers.max() > ELEMENTS:
        return None
    convert = _load().graph_converter  # outside of `try`: that the package is missing must not pass for a lone atom
    try:
        return convert(to_structure(crystal))
    except ValueError:  # isolated atoms
        return None


@cache
def _load() -> Any:  # noqa: ANN401 - CHGNet; the package may be missing
    """The network, which all predictors here share."""
    return load()
