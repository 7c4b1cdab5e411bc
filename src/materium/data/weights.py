"""How often rows are drawn: weights by energy above hull, and the rows that an epoch draws."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def row_weights(
    weights: ArrayLike,
    energies: ArrayLike,
    *,
    max_energy_above_hull: float | None = None,
    energy_scale: float | None = None,
) -> NDArray[np.float64]:
    """Return how often each row is drawn in an epoch on average, shape (R,).

    Parameters
    ----------
    weights
        Of the rows as they are, shape (R,).
    energies
        Energy above hull in eV/atom, float32 with NaN where it is not known, shape (R,).
    max_energy_above_hull
        eV/atom; rows above it, and rows without the label, get the weight 0. None takes all rows.
    energy_scale
        eV/atom; weights are multiplied by exp(-energy above hull / scale), and by 0 without the label.
    """
    found, above = np.asarray(weights, dtype=np.float64), np.asarray(energies, dtype=np.float32)
    if max_energy_above_hull is not None:
        found = np.where(above <= np.float32(max_energy_above_hull), found, 0)  # no NaN is below it
    if energy_scale is not None:
        found = np.nan_to_num(found * np.exp(-np.maximum(above, 0) / energy_scale))
    return found


def drawn_rows(weights: NDArray[np.float64], seed: list[int]) -> NDArray[np.int64]:
    """Return the rows that an epoch draws, ascending, shape (N,).

    A row of weight w is drawn floor(w) or ceil(w) times, w times on average: systematic sampling of the fractions in
    random order, so that epochs are equally long but for one row.
    """
    whole = np.floor(weights)
    if not (whole == weights).all():
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(weights))
        ends = np.cumsum((weights - whole)[order]) + rng.random()
        whole[order] += np.diff(np.floor(ends), prepend=0)
    return np.repeat(np.arange(len(weights)), whole.astype(np.int64))
