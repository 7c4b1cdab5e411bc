"""What a network is told of its training crystals: ranges of their properties, and volumes of their species."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from materium.data.loader import encode_labels
from materium.model.config import Seen
from materium.properties import scalar_names

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from materium.data.shard import Shard
    from materium.tokens.tokenizer import Tokenizer


def seen_in(shard: Shard, drawn: NDArray[np.bool_] | None = None) -> dict[str, Seen]:
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
