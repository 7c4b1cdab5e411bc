"""Crystals on the grids as flat arrays: the rows of a split, each in one or more descriptions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from materium.core.wyckoff import space_group
from materium.data.shard import read_arrays, write_arrays
from materium.errors import DataError
from materium.properties import scalar_names
from materium.tokens.orbit_tokenizer import GridOrbits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

ARRAYS = ("properties", "weights", "row_start", "kinds", "groups", "lattice", "orbit_start", "orbits")
LATTICE = 6
"""Places for free lattice parameters; those that a group does not have are 0."""


@dataclass(frozen=True)
class OrbitShard:
    """R rows with D descriptions in all and O orbits in those.

    Parameters
    ----------
    ids
        Identifiers, R.
    properties
        Labels in the order of `scalar_names()`, NaN where unknown, shape (R, properties), float32.
    weights
        How often a row is drawn in an epoch on average, shape (R,), float32.
    row_start
        First description of each row, shape (R + 1,).
    kinds
        Place of each description in `DESCRIPTIONS`, shape (D,); the first one of a row is canonical.
    groups, lattice
        Space group and grid points of the free lattice parameters, shapes (D,) and (D, 6).
    orbit_start
        First orbit of each description, shape (D + 1,).
    orbits
        Species, position and representative of each orbit, shape (O, 5).
    """

    ids: Sequence[str]
    properties: NDArray[np.float32]
    weights: NDArray[np.float32]
    row_start: NDArray[np.int64]
    kinds: NDArray[np.int8]
    groups: NDArray[np.uint8]
    lattice: NDArray[np.uint16]
    orbit_start: NDArray[np.int64]
    orbits: NDArray[np.uint16]

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.ids)

    @classmethod
    def pack(
        cls,
        ids: Sequence[str],
        properties: Sequence[dict[str, float]],
        descriptions: Sequence[Sequence[tuple[int, GridOrbits]]],
        weights: Sequence[float] | None = None,
    ) -> Self:
        """Return rows as a shard; a description is its kind and its grid points."""
        flat = [entry for row in descriptions for entry in row]
        lattice = np.zeros((len(flat), LATTICE), dtype=np.uint16)
        for place, (_, grid) in zip(lattice, flat, strict=True):
            place[: len(grid.lattice)] = grid.lattice
        columns = [np.column_stack([g.species, g.positions, g.points]) for _, g in flat]
        orbits = np.concatenate([np.zeros((0, 5), np.int64), *columns]).astype(np.uint16)
        labels = [[row.get(name, np.nan) for name in scalar_names()] for row in properties]
        return cls(
            list(ids),
            np.array(labels, dtype=np.float32).reshape(len(ids), len(scalar_names())),
            np.ones(len(ids), np.float32) if weights is None else np.array(weights, dtype=np.float32),
            _starts([len(row) for row in descriptions]),
            np.array([kind for kind, _ in flat], dtype=np.int8),
            np.array([grid.group for _, grid in flat], dtype=np.uint8),
            lattice,
            _starts([len(grid.species) for _, grid in flat]),
            orbits,
        )

    def grid(self, description: int) -> GridOrbits:
        """Return a description."""
        group = int(self.groups[description])
        parameters = len(space_group(group).lattice_parameters)
        rows = self.orbits[self.orbit_start[description] : self.orbit_start[description + 1]].astype(np.int64)
        lattice = self.lattice[description, :parameters].astype(np.int64)
        return GridOrbits(group, lattice, rows[:, 0], rows[:, 1], rows[:, 2:])

    def save(self, folder: Path, rejected: Sequence[tuple[str, str]] = ()) -> None:
        """Write the arrays, and ids with the reasons why they were rejected, into `folder`, which is made."""
        write_arrays(folder, {name: getattr(self, name) for name in ARRAYS}, self.ids, rejected)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the shard in `folder`, memory-mapped.

        Raises
        ------
        DataError
            If a file is missing, cut short or altered.
        """
        ids, arrays = read_arrays(folder, ARRAYS)
        # Memory-mapped still, but taking an element of numpy's own class for it is five times as slow.
        shard = cls(ids, **{name: array.view(np.ndarray) for name, array in arrays.items()})
        if not _fits(shard):
            raise DataError(f"shard {folder} has arrays of unequal length; prepare it anew")
        return shard


def _fits(shard: OrbitShard) -> bool:
    """Whether every array is as long, and as wide, as the others say."""
    rows, described = len(shard.ids), len(shard.groups)
    if shard.row_start.shape != (rows + 1,) or shard.orbit_start.shape != (described + 1,):
        return False
    shapes = {"properties": (rows, len(scalar_names())), "weights": (rows,), "kinds": (described,)}
    shapes |= {"groups": (described,), "lattice": (described, LATTICE), "orbits": (int(shard.orbit_start[-1]), 5)}
    return shard.row_start[-1] == described and all(getattr(shard, n).shape == shape for n, shape in shapes.items())


def _starts(sizes: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.asarray(sizes, dtype=np.int64))]).astype(np.int64)
