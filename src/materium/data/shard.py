"""A shard: one split of prepared crystals as flat, memory-mapped arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from materium.errors import DataError
from materium.properties import scalar_names
from materium.tokens.tokenizer import Parts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

ARRAYS = ("site_start", "view_start", "point_start", "species", "points", "lattice", "properties", "weights")


@dataclass(frozen=True)
class Shard:
    """R crystals, each with its species, and with one or more views: settings of axes and origin on the grid.

    Parameters
    ----------
    ids
        Identifiers, R.
    site_start, view_start, point_start
        Where a crystal's species, views and points begin, shape (R + 1,).
    species
        Token ids of all sites, uint16.
    points
        Grid points of all sites of all views, uint16, shape (…, 3).
    lattice
        Grid points of a, b, c, α, β, γ of all views, uint16, shape (views, 6).
    properties
        float32, shape (R, scalar properties), in the order of `scalar_names()`; NaN where a label is missing.
    weights
        float32, shape (R,): how often each crystal is drawn in an epoch, on average.
    """

    ids: Sequence[str]
    site_start: NDArray[np.int64]
    view_start: NDArray[np.int64]
    point_start: NDArray[np.int64]
    species: NDArray[np.uint16]
    points: NDArray[np.uint16]
    lattice: NDArray[np.uint16]
    properties: NDArray[np.float32]
    weights: NDArray[np.float32]

    @classmethod
    def pack(
        cls,
        ids: list[str],
        views: list[list[Parts]],
        properties: list[dict[str, float]],
        weights: Sequence[float] | None = None,
    ) -> Shard:
        """Return the shard of crystals given as lists of views, the canonical one first; weights are 1 by default."""
        names = scalar_names()
        labels = [[p.get(name, np.nan) for name in names] for p in properties]
        return cls(
            ids=ids,
            site_start=_starts([len(v[0].species) for v in views]),
            view_start=_starts([len(v) for v in views]),
            point_start=_starts([len(v) * len(v[0].species) for v in views]),
            species=_flat([v[0].species for v in views], ()),
            points=_flat([view.points for v in views for view in v], (3,)),
            lattice=_flat([view.lattice[None] for v in views for view in v], (6,)),
            properties=np.array(labels, dtype=np.float32).reshape(len(ids), len(names)),
            weights=np.ones(len(ids), np.float32) if weights is None else np.array(weights, dtype=np.float32),
        )

    def __len__(self) -> int:
        """Return the number of crystals."""
        return len(self.site_start) - 1

    def num_sites(self) -> NDArray[np.int64]:
        """Return the sites of each crystal, shape (R,)."""
        return np.diff(self.site_start)

    def num_views(self, row: int) -> int:
        """Return how many settings of a crystal are stored."""
        return int(self.view_start[row + 1] - self.view_start[row])

    def site_separation(self, bins: int) -> int:
        """Return the grid steps by which any two sites of a crystal differ in at least one coordinate; 0 if no pair."""
        smallest = bins
        for row in np.flatnonzero(self.num_sites() > 1):
            points = self.parts(int(row)).points
            first, second = np.triu_indices(len(points), 1)
            apart = np.abs(points[first] - points[second])
            smallest = min(smallest, int(np.minimum(apart, bins - apart).max(axis=1).min()))
        return 0 if smallest == bins else smallest

    def parts(self, row: int, view: int = 0) -> Parts:
        """Return a crystal on the grid, in its canonical setting (0) or another one."""
        species = self.species[self.site_start[row] : self.site_start[row + 1]].astype(np.int64)
        start = self.point_start[row] + view * len(species)
        points = self.points[start : start + len(species)].astype(np.int64)
        return Parts(species, points, self.lattice[self.view_start[row] + view].astype(np.int64))


def write_shard(folder: Path, shard: Shard, rejected: list[tuple[str, str]]) -> None:
    """Write a shard and the table of rejected rows into `folder`, which is made."""
    write_arrays(folder, {name: getattr(shard, name) for name in ARRAYS}, shard.ids, rejected)


def read_shard(folder: Path) -> Shard:
    """Return the shard in `folder`, memory-mapped.

    Raises
    ------
    DataError
        If a file is missing, cut short or altered.
    """
    ids, arrays = read_arrays(folder, ARRAYS)
    shard = Shard(ids=ids, **arrays)
    if not _fits(shard):
        raise DataError(f"shard {folder} has arrays of unequal length; prepare it anew")
    return shard


def write_arrays(
    folder: Path, arrays: Mapping[str, NDArray[Any]], ids: Sequence[str], rejected: Sequence[tuple[str, str]]
) -> None:
    """Write arrays, ids, and ids with the reasons why they were rejected into `folder`, which is made."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    pq.write_table(pa.table({"id": pa.array(list(ids), pa.string())}), folder / "ids.parquet")
    names, reasons = zip(*rejected, strict=True) if rejected else ((), ())
    columns = {"id": pa.array(names, pa.string()), "reason": pa.array(reasons, pa.string())}
    pq.write_table(pa.table(columns), folder / "rejected.parquet")


def read_arrays(folder: Path, names: Sequence[str]) -> tuple[list[str], dict[str, NDArray[Any]]]:
    """Return the ids and the arrays that `write_arrays` wrote, memory-mapped; errors as in `read_shard`."""
    import pyarrow.parquet as pq

    try:
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}
        ids: list[str] = pq.read_table(folder / "ids.parquet")["id"].to_pylist()
    except (OSError, EOFError, KeyError, ValueError) as error:
        raise DataError(f"shard {folder} cannot be read ({error}); prepare it anew") from error
    return ids, arrays


def _fits(shard: Shard) -> bool:
    """Whether every array is as long, and as wide, as the others say."""
    starts = (shard.site_start, shard.view_start, shard.point_start)
    if any(start.shape != (len(shard.ids) + 1,) for start in starts):
        return False
    sites, views, points = (int(start[-1]) for start in starts)
    shapes = {"species": (sites,), "points": (points, 3), "lattice": (views, 6)}
    shapes |= {"properties": (len(shard.ids), len(scalar_names())), "weights": (len(shard.ids),)}
    return all(getattr(shard, name).shape == shape for name, shape in shapes.items())


def _starts(lengths: list[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64)


def _flat(arrays: list[NDArray[np.int64]], tail: tuple[int, ...]) -> NDArray[np.uint16]:
    return np.concatenate([np.zeros((0, *tail), np.int64), *arrays]).astype(np.uint16)
