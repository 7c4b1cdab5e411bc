"""Which free coordinates are those of an orbit's smallest representative.

Of all sites of an orbit that have the form of the position's representative, the one with the smallest coordinates, the
first one first, stands for it (see `materium.core.orbits`): so an orbit is written in one way.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import TYPE_CHECKING

import numpy as np

from materium.core.wyckoff import GRID, space_group, wyckoff_position

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CACHE_SIZE = 1 << 13
"""Masks that are remembered."""


@cache
def equivalent_forms(number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the other sites of an orbit that have the form of its representative.

    As `matrices @ free + offsets / 24`, shapes (n, 3, f) and (n, 3), of the position with this number among all.
    """
    position = wyckoff_position(number)
    centring = space_group(position.group).centring
    matrices = np.repeat(position.rotations @ position.matrix, len(centring), axis=0)
    offsets = position.rotations @ position.offset + position.translations
    offsets = (offsets[:, None] + centring).reshape(-1, 3)
    rows, signs = position.free_rows
    values = position.matrix @ (matrices[:, rows] * signs[:, None])
    constants = ((offsets - position.offset)[:, rows] * signs) @ position.matrix.T + position.offset
    same = (values == matrices).all((1, 2)) & ((constants - offsets) % GRID == 0).all(1)
    same[0] = False
    return matrices[same], offsets[same]


def smallest_point(number: int, point: NDArray[np.int64], bins: int) -> NDArray[np.int64]:
    """Return the smallest representative of an orbit, shape (3,), of any of its representatives."""
    position = wyckoff_position(number)
    matrices, offsets = equivalent_forms(number)
    others = (matrices @ position.free_values(point, bins) + offsets * (bins // GRID)) % bins
    return np.array(min([point.tolist(), *others.tolist()]))


def smallest(number: int, free: Sequence[int], bins: int) -> NDArray[np.bool_]:
    """Return which points the free coordinate after some can have in the smallest representative, shape (bins,).

    Those for which no other site is known to be smaller; all, where another one is anyhow. Read-only.
    """
    return _smallest(number, tuple(free) if len(equivalent_forms(number)[0]) else (), bins)


@lru_cache(CACHE_SIZE)
def _smallest(number: int, free: tuple[int, ...], bins: int) -> NDArray[np.bool_]:
    """The same, remembered."""
    position, points = wyckoff_position(number), np.arange(bins, dtype=np.int32)
    matrices, offsets = equivalent_forms(number)
    legal, depth, known = np.ones(bins, dtype=bool), len(free), np.array(free, dtype=np.int64)
    own = position.matrix[:, :depth] @ known + position.offset * (bins // GRID)
    tied = np.ones((len(matrices), bins), dtype=bool)
    for axis in range(3):
        if position.matrix[axis, depth + 1 :].any():
            break
        constants = matrices[:, axis, :depth] @ known + offsets[:, axis] * (bins // GRID)
        alive = tied.any(1) & ~matrices[:, axis, depth + 1 :].any(1)
        if not position.matrix[axis, depth]:
            # most sites are larger whatever the point is: they need not be compared at each
            alive &= matrices[:, axis, depth].astype(bool) | (constants % bins <= own[axis] % bins)
        if not alive.any():
            break
        matrices, offsets, tied, constants = matrices[alive], offsets[alive], tied[alive], constants[alive]
        others = (constants[:, None].astype(np.int32) + np.outer(matrices[:, axis, depth], points)) % bins
        value = (own[axis] + position.matrix[axis, depth] * points) % bins
        legal &= ~(tied & (others < value)).any(0)
        tied &= others == value
    if not legal.any():
        legal[:] = True
    legal.flags.writeable = False
    return legal
