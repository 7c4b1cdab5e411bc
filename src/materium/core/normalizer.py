"""Euclidean normalisers of the space groups, as integer maps between representatives of Wyckoff positions.

The normaliser of a space group holds all motions that take every crystal of the group to one whose operations are the
same: other origins and axes, which are other descriptions of one crystal (International Tables A, 3.5.2). Motions that
change the handedness are left out, unless an operation of the group does so too. Along polar directions the origin is
free; there all shifts are 0 here, and whoever describes a crystal chooses one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from materium.core.wyckoff import FINE_GRID, GRID, space_group

if TYPE_CHECKING:
    import moyopy
    from numpy.typing import NDArray

    from materium.core.wyckoff import SpaceGroup, WyckoffPosition

METRIC_TOLERANCE = 1e-4
"""Relative; a motion belongs to the normaliser if it changes squared lengths of the cell by less."""
ORTHORHOMBIC, TETRAGONAL = 16, 75
"""First groups: from the second on the normaliser is the same for all cells, between them it goes by equal axes."""
_STRIDES = np.array([FINE_GRID**2, FINE_GRID, 1])


@dataclass(frozen=True)
class Forms:
    """All motions that take the representative of a position to a point which has the form of a representative.

    Motion (i, j) takes point x to `rotations[i, j] @ x + translations[i, j]`: i counts the settings, j the images of
    the orbit that could stand for it in a setting.

    Parameters
    ----------
    targets
        Index of the position that the orbit is on in each setting, shape (s,).
    rotations, translations
        Integers of shape (s, l, 3, 3) and (s, l, 3), translations in steps of `FINE_GRID`.
    projectors, offsets
        Point y has the form of the target if `projectors[i] @ (y - offsets[i]) + offsets[i]` is y; shapes (s, 3, 3) and
        (s, 3), offsets in steps of `FINE_GRID`.
    """

    targets: NDArray[np.int64]
    rotations: NDArray[np.int64]
    translations: NDArray[np.int64]
    projectors: NDArray[np.int64]
    offsets: NDArray[np.int64]


@dataclass(frozen=True)
class Normalizer:
    """A normaliser modulo its space group: one motion for each setting, in conventional axes.

    Parameters
    ----------
    number
        International number of the space group.
    rotations, translations
        Integers of shape (s, 3, 3) and (s, 3), translations in steps of `FINE_GRID`.
    polar
        Which axes have a free origin, shape (3,).
    """

    number: int
    rotations: NDArray[np.int64]
    translations: NDArray[np.int64]
    polar: NDArray[np.bool_]
    _forms: dict[int, Forms] = field(default_factory=dict, repr=False, compare=False)

    def forms(self, position: int) -> Forms:
        """Return how orbits on a position of the group, by its index, are described in each setting."""
        if position not in self._forms:
            self._forms[position] = _forms(self, position)
        return self._forms[position]


_NORMALIZERS: dict[tuple[object, ...], Normalizer] = {}


def normalizer(dataset: moyopy.MoyoDataset, metric: NDArray[np.float64]) -> Normalizer:
    """Return the normaliser of the group that moyo found, for a conventional cell of this metric, shape (3, 3)."""
    number = dataset.number
    key: tuple[object, ...] | None = None
    if number >= ORTHORHOMBIC:
        a, b, c = metric.diagonal().tolist()
        pairs = ((a, b), (b, c), (a, c)) if number < TETRAGONAL else ()
        key = (number, *(abs(one / other - 1) < METRIC_TOLERANCE for one, other in pairs))
        if key in _NORMALIZERS:
            return _NORMALIZERS[key]
    found = dataset.normalizer_wyckoff_positions(preserve_chirality=True, primitive=False)
    first, second = found.stabilizer, [motion for motion, _ in found.coset_representatives]
    left, right = (np.array([motion.linear for motion in motions]) for motions in (first, second))
    shifts = [np.array([motion.origin_shift for motion in motions]) for motions in (first, second)]
    rotations = (right[:, None] @ left).reshape(-1, 3, 3)
    translations = (shifts[1][:, None] + np.einsum("aij,bj->abi", right, shifts[0])).reshape(-1, 3)
    moved = np.swapaxes(rotations, 1, 2) @ metric @ rotations
    keep = (np.abs(moved - metric) < METRIC_TOLERANCE * metric.max()).all((1, 2))
    steps = np.rint(translations[keep] * FINE_GRID).astype(np.int64)
    settings = modulo_group(space_group(number), rotations[keep], steps)
    if key is None:
        key = (number, settings[0].tobytes(), settings[1].tobytes())
    return _NORMALIZERS.setdefault(key, Normalizer(number, *settings, polar_axes(number)))


@cache
def polar_axes(number: int) -> NDArray[np.bool_]:
    """Return along which conventional axes no operation of the group fixes an origin, shape (3,)."""
    rotations = space_group(number).rotations
    free: NDArray[np.bool_] = rotations.sum(0).diagonal() == len(rotations)
    return free


def modulo_group(
    group: SpaceGroup, rotations: NDArray[np.int64], translations: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return one of each set of motions that differ by operations of the group or along polar axes.

    Integers of shape (k, 3, 3) and (k, 3), translations in steps of `FINE_GRID`; the identity is among them.
    """
    fixed = ~polar_axes(group.number)
    step = FINE_GRID // GRID
    turned = group.rotations @ rotations[:, None]
    moved = np.einsum("gij,nj->ngi", group.rotations, translations) + group.translations * step
    copies = (moved[:, :, None] + group.centring * step) * fixed % FINE_GRID
    places: NDArray[np.int64] = (copies @ _STRIDES).min(2)
    codes = (turned.reshape(len(rotations), -1, 9) + 16) @ 32 ** np.arange(9)
    best = np.lexsort((places, codes), axis=1)[:, :1]
    keys = np.concatenate([np.take_along_axis(table, best, 1) for table in (codes, places)], axis=1)
    first = np.sort(np.unique(keys, axis=0, return_index=True)[1])
    return rotations[first], translations[first] * fixed % FINE_GRID


def projector(position: WyckoffPosition) -> NDArray[np.int64]:
    """Return the matrix P for which points of the representative's form are those with P @ (x - offset) = x - offset.

    Integers of shape (3, 3); it reads the free variables off the axes that have one alone.
    """
    rows, signs = position.free_rows
    select = np.zeros((position.freedom, 3), dtype=np.int64)
    select[np.arange(position.freedom), rows] = signs
    return position.matrix @ select


def _forms(normalizer: Normalizer, index: int) -> Forms:
    group = space_group(normalizer.number)
    position, step, settings = group.positions[index], FINE_GRID // GRID, len(normalizer.rotations)
    rotations = (group.rotations @ normalizer.rotations[:, None])[:, :, None]
    moved = np.einsum("gij,nj->ngi", group.rotations, normalizer.translations) + group.translations * step
    translations = (moved[:, :, None] + group.centring * step) % FINE_GRID
    rotations = np.broadcast_to(rotations, (*translations.shape, 3)).reshape(settings, -1, 3, 3)
    translations = translations.reshape(settings, -1, 3)
    directions = rotations @ position.matrix
    places = (rotations @ position.offset * step + translations) % FINE_GRID
    candidates = [p for p in group.positions if (len(p.coset), p.freedom) == (len(position.coset), position.freedom)]
    chosen: list[tuple[int, NDArray[np.int64], NDArray[np.int64]]] = []
    for turned, at in zip(directions, places, strict=True):
        for target in candidates:
            off = np.eye(3, dtype=np.int64) - projector(target)
            fits = ~(off @ turned).any((1, 2)) & ~((at - target.offset * step) @ off.T % FINE_GRID).any(1)
            if fits.any():
                kept = np.flatnonzero(fits)
                maps = np.concatenate([turned[kept].reshape(len(kept), -1), at[kept]], axis=1)
                chosen.append((target.index, kept[np.unique(maps, axis=0, return_index=True)[1]], projector(target)))
                break
    targets = np.array([target for target, _, _ in chosen])
    pick = np.array([kept for _, kept, _ in chosen])
    row = np.arange(settings)[:, None]
    offsets = np.array([group.positions[target].offset for target in targets]) * step
    projectors = np.array([one for _, _, one in chosen])
    return Forms(targets, rotations[row, pick], translations[row, pick], projectors, offsets)
