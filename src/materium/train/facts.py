"""What a network is told of its training crystals: ranges of their properties, and volumes of their species."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from materium.core.wyckoff import space_group
from materium.data.loader import encode_labels
from materium.model.config import Seen
from materium.model.tally import LEAST_VOLUME, RIDGE
from materium.properties import scalar_names
from materium.tokens.orbit_vocab import LENGTHS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from materium.data.orbit_shard import OrbitShard
    from materium.data.shard import Shard
    from materium.tokens.orbit_tokenizer import OrbitTokenizer
    from materium.tokens.tokenizer import Tokenizer


def seen_in(shard: Shard | OrbitShard, drawn: NDArray[np.bool_] | None = None) -> dict[str, Seen]:
    """Return, for each scalar property, its range, encoded mean and spread, and count in a shard.

    Parameters
    ----------
    drawn
        Which rows are trained on, shape (R,); all by default.
    """
    raw = np.asarray(shard.properties) if drawn is None else np.asarray(shard.properties)[drawn]
    encoded = encode_labels(raw)
    seen = {}
    for column, name in enumerate(scalar_names()):
        good = ~np.isnan(encoded[:, column])
        if good.any():
            values, codes = raw[good, column], encoded[good, column]
            spread = float(codes.std()) or 1.0
            seen[name] = Seen(float(values.min()), float(values.max()), float(codes.mean()), spread, int(good.sum()))
    return seen


def seen_by_both(start: Mapping[str, Seen], now: Mapping[str, Seen]) -> dict[str, Seen]:
    """Return what a model saw that is trained on: `now`, but with the means and spreads by which it reads values."""
    both = {n: replace(s, mean=start[n].mean, std=start[n].std) if n in start else s for n, s in now.items()}
    return {**start, **both}


def species_volumes(counts: NDArray[np.float64], volumes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what an atom of each species fills, (S,), given the atoms of crystals (R, S) and their cells (R,), in Å³.

    Ridge regression towards the mean volume of an atom, relative to the cell: rare species stay at the mean.
    """
    mean = volumes.sum() / counts.sum()
    relative = counts / volumes[:, None]
    normal = relative.T @ relative + RIDGE / mean**2 * np.eye(counts.shape[1])
    off = np.linalg.solve(normal, relative.T @ (1 - mean * relative.sum(1)))
    filled: NDArray[np.float64] = np.maximum(mean + off, LEAST_VOLUME)
    return filled


def orbits_and_volumes(shard: OrbitShard, tokenizer: OrbitTokenizer) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the atoms of each species in the primitive cells of a shard, (R, species), and the cells in Å³, (R,)."""
    counts, volumes = np.zeros((len(shard), len(tokenizer.vocab.species))), np.zeros(len(shard))
    canonical = shard.row_start[:-1]
    starts, ends = shard.orbit_start[canonical], shard.orbit_start[canonical + 1]
    for number in np.unique(shard.groups[canonical]).tolist():
        group, rows = space_group(number), np.flatnonzero(shard.groups[canonical] == number)
        sizes = np.array([len(position.coset) for position in group.positions])
        orbits = np.concatenate([shard.orbits[starts[row] : ends[row], :2] for row in rows])
        owners = np.repeat(rows, (ends - starts)[rows])
        np.add.at(counts, (owners, orbits[:, 0]), sizes[orbits[:, 1]])
        roles, points = tokenizer.lattice_roles(number), shard.lattice[canonical[rows]]
        grids = [
            np.exp(tokenizer.log_lengths) if role in LENGTHS else np.array(tokenizer.angles[role]) for role in roles
        ]
        free = [grid[column] for grid, column in zip(grids, points.T[: len(roles)], strict=True)]
        cells = group.cell(np.stack(free, axis=1))
        cosines = np.cos(np.radians(cells[:, 3:]))
        shape = np.sqrt(1 - (cosines**2).sum(1) + 2 * cosines.prod(1))
        volumes[rows] = cells[:, :3].prod(1) * shape / len(group.centring)
    return counts, volumes


def species_and_volumes(shard: Shard, tokenizer: Tokenizer) -> tuple[Tensor, Tensor]:
    """Return how often each token stands in the crystals of a shard, (R, tokens), and their volumes in Å³, (R,)."""
    counts = torch.zeros(len(shard), len(tokenizer.vocab))
    rows = torch.from_numpy(np.repeat(np.arange(len(shard)), shard.num_sites()))
    species = torch.from_numpy(np.asarray(shard.species, dtype=np.int64))
    counts.index_put_((rows, species), torch.ones(len(rows)), accumulate=True)
    lattice = tokenizer.lattice_values(np.stack([shard.parts(row).lattice for row in range(len(shard))]))
    lengths, cosines = lattice[:, :3], np.cos(np.radians(lattice[:, 3:]))
    volumes = lengths.prod(1) * np.sqrt(1 - (cosines**2).sum(1) + 2 * cosines.prod(1))
    return counts, torch.from_numpy(volumes)
