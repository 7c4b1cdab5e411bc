"""Where the last coordinate of an orbit keeps its atoms apart, for many sequences at once.

The same as `OrbitState.legal_coordinates`, which works out every distance at every point: here a few points along the
line say which stretches can come near an atom at all, and only those are looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from materium.crystal import MIN_DISTANCE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from materium.data.orbit_batch import Distances
    from materium.tokens.orbit_contacts import Contacts

STRETCH = 12
"""Grid points that one distance stands for."""
MARGIN = 1e-3
"""Å that float32 may be wrong by."""


def apart_points(contacts: Sequence[Contacts], packed: Distances, bins: int) -> NDArray[np.bool_]:
    """Return at which grid points the atoms of an orbit are `MIN_DISTANCE` from all others, shape (n, bins).

    Parameters
    ----------
    contacts
        Of the last coordinate of n orbits.
    packed
        The same, packed; entries after the first n are not read.
    """
    count = len(contacts)
    middles = (np.arange(0, bins, STRETCH) + (STRETCH - 1) / 2).astype(np.float32) / np.float32(bins)
    start, step = (np.moveaxis(part[:count], 2, 0)[..., None] for part in (packed.start, packed.step))
    metric = np.moveaxis(packed.metric[:count], 0, 2)[..., None, None]
    offsets = start + step * middles
    offsets -= np.rint(offsets)
    reach = np.sqrt(np.maximum(_squares(step, metric), 0)) * (STRETCH / 2 / bins) + (MIN_DISTANCE + MARGIN)
    near = (_squares(offsets, metric) < reach * reach) & (packed.sites[:count] > 0)[:, :, None]
    apart = np.ones((count, len(middles), STRETCH), dtype=bool)
    orbits, atoms, stretches = np.nonzero(near)
    if len(orbits):
        points = stretches[:, None] * STRETCH + np.arange(STRETCH)
        pairs = zip(orbits.tolist(), atoms.tolist(), strict=True)
        exact = np.array([(contacts[o].start[a], contacts[o].step[a]) for o, a in pairs])
        along = exact[:, 0, :, None] + exact[:, 1, :, None] * (points / bins)[:, None]
        along -= np.rint(along)
        metrics = np.array([entry.metric for entry in contacts])[orbits]
        squares = _squares(np.moveaxis(along, 1, 0), np.moveaxis(metrics, 0, 2)[..., None])
        too_near, stretch = np.nonzero(squares < MIN_DISTANCE**2)
        apart[orbits[too_near], stretches[too_near], stretch] = False
    return apart.reshape(count, -1)[:, :bins]


def _squares(offsets: NDArray[Any], metric: NDArray[Any]) -> NDArray[Any]:
    """Squared lengths in Å² of offsets (3, …), by a metric (3, 3, …)."""
    x, y, z = offsets
    diagonal = metric[0, 0] * x * x + metric[1, 1] * y * y + metric[2, 2] * z * z
    squares: NDArray[Any] = diagonal + 2 * (metric[0, 1] * x * y + metric[0, 2] * x * z + metric[1, 2] * y * z)
    return squares
