"""Vectors of the tokens of orbit sequences: learned, plus what a token's facts say (values of numbers, symmetry)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from materium.core.wyckoff import space_group
from materium.model.config import WAVES
from materium.model.orbit_features import LENGTH_WAVES
from materium.tokens.orbit_vocab import OrbitVocabulary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materium.model.orbit_config import OrbitModelConfig


class TokenTable(nn.Module):
    """The vectors of all tokens, (tokens, width), to which the output is tied."""

    coordinate_waves: Tensor
    length_waves: Tensor
    elements: Tensor
    group_facts: Tensor
    position_facts: Tensor
    position_numbers: Tensor

    def __init__(self, config: OrbitModelConfig) -> None:
        """Make the layers and the tables of facts."""
        super().__init__()
        self.vocab = OrbitVocabulary(config.tokenizer.species, config.tokenizer.bins, config.tokenizer.max_sites)
        bins, width = config.tokenizer.bins, config.width
        self.token = nn.Embedding(len(self.vocab), width)
        self.element = nn.Embedding(int(self.vocab.species_table[:, 0].max()) + 1, width)
        self.register_buffer("elements", torch.from_numpy(self.vocab.species_table[:, 0]), persistent=False)
        self.register_buffer("coordinate_waves", cyclic_waves(bins, WAVES)[:-1], persistent=False)
        self.register_buffer("length_waves", cyclic_waves(bins, LENGTH_WAVES), persistent=False)
        self.coordinate = nn.Linear(2 * WAVES, width, bias=False)
        self.length = nn.Linear(2 * LENGTH_WAVES, width, bias=False)
        self.angle = nn.Linear(2 * LENGTH_WAVES, width, bias=False)
        self.atom = nn.Linear(3 * 2 * WAVES, width, bias=False)
        groups = [space_group(number) for number in range(1, 231)]
        facts = [(g.system, g.point_group, g.symbol[0]) for g in groups]
        self.register_buffer("group_facts", _numbered(facts), persistent=False)
        self.group_fact = nn.Embedding(int(self.group_facts.max()) + 1, width)
        positions = [(g, p) for g in groups for p in g.positions]
        of_positions = [(p.site_symmetry, p.letter, "".join(p.free), str(g.number)) for g, p in positions]
        self.register_buffer("position_facts", _numbered(of_positions), persistent=False)
        self.position_fact = nn.Embedding(int(self.position_facts.max()) + 1, width)
        numbers = [(math.log(len(p.coset)), p.freedom, p.freedom == 0, *_where(p.offset)) for _, p in positions]
        self.register_buffer("position_numbers", torch.tensor(numbers, dtype=torch.float32), persistent=False)
        self.position_number = nn.Linear(self.position_numbers.shape[1], width, bias=False)

    def forward(self) -> Tensor:
        """Return the vectors."""
        vocab, scale = self.vocab, WAVES**-0.5
        parts = [
            (vocab.species_ids, self.element(self.elements)),
            (vocab.groups, self.group_fact(self.group_facts).sum(1)),
            (vocab.positions, self.position_fact(self.position_facts).sum(1)
             + self.position_number(self.position_numbers)),
            (vocab.coordinates, self.coordinate(self.coordinate_waves) * scale),
            (vocab.lengths, self.length(self.length_waves) * scale),
            (vocab.angles, self.angle(self.length_waves) * scale),
        ]  # fmt: skip
        facts = torch.cat([part for _, part in parts])
        return self.token.weight + nn.functional.pad(facts, (0, 0, parts[0][0].start, 0))

    def atoms(self, points: Tensor) -> Tensor:
        """Return vectors of atoms at grid points, (..., width) for (..., 3); 0 for negative points."""
        waves = self.coordinate_waves[points.clamp(min=0)].flatten(-2)
        return self.atom(waves) * (WAVES**-0.5) * (points[..., :1] >= 0)


def cyclic_waves(bins: int, count: int) -> Tensor:
    """Return sines and cosines of 1 to `count` turns along an axis, (bins + 1, 2 count)."""
    angles = torch.arange(bins + 1)[:, None] * (2 * math.pi / bins) * torch.arange(1, count + 1)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _where(offset: np.ndarray) -> list[float]:
    """Sine and cosine of an offset in 1/24 along each axis."""
    angles = np.asarray(offset) * (2 * math.pi / 24)
    return [*np.sin(angles).tolist(), *np.cos(angles).tolist()]


def _numbered(facts: Sequence[tuple[str, ...]]) -> Tensor:
    """A number for each different entry of each column, (rows, columns), no number in two columns."""
    columns, start = [], 0
    for column in zip(*facts, strict=True):
        known = {entry: start + i for i, entry in enumerate(sorted(set(column)))}
        columns.append([known[entry] for entry in column])
        start += len(known)
    return torch.tensor(columns).T.contiguous()
