"""What a crystal should be, as vectors before the sentence: paper, section 3.3, with 'not given' spelt out.

Each property has a type embedding; a value that is not given has an embedding of its own and is never read as zero.
A formula is a set of tokens, one for each element, made from the element and its count.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from materium.crystal import MAX_ATOMIC_NUMBER
from materium.properties import scalar_names, table
from materium.tokens.tokenizer import ORDERS

if TYPE_CHECKING:
    from materium.model.config import ModelConfig

MAX_COUNT = 64
"""Counts of an element in a formula above this share one embedding."""
ANY_COUNT = 0
"""Count that stands for 'occurs', as in a chemical system."""
FREQUENCIES = 8
LAYOUTS_OF_AN_ORDER = 4
LAYOUT_CLASSES = LAYOUTS_OF_AN_ORDER * len(ORDERS)
"""Site order, place of the lattice, and canonical or other setting."""


@dataclass(frozen=True)
class Conditions:
    """Conditions of B sentences, on one device.

    Parameters
    ----------
    scalars
        Encoded values, NaN where not given, shape (B, scalar properties), in the order of `scalar_names()`.
    elements
        Atomic numbers of the formula or chemical system, ascending, then 0 for slots that are left, shape (B, slots).
        Slots have positions, so another order would be another prefix: whoever makes conditions sorts.
    counts
        Their counts in the reduced formula, `ANY_COUNT` for a chemical system, shape (B, slots).
    layout
        Site order, place of the lattice and setting, as `layout_id` numbers them, shape (B,).
    """

    scalars: Tensor
    elements: Tensor
    counts: Tensor
    layout: Tensor

    def to(self, device: torch.device | str) -> Conditions:
        """Return the conditions on a device."""
        return Conditions(*(getattr(self, f.name).to(device) for f in fields(self)))

    def __getitem__(self, rows: Tensor | slice) -> Conditions:
        """Return the conditions of some rows."""
        return Conditions(*(getattr(self, f.name)[rows] for f in fields(self)))

    @property
    def alike(self) -> bool:
        """Whether all sentences are told the same."""
        parts = (getattr(self, f.name) for f in fields(self))
        return all(bool(((part == part[:1]) | (part.isnan() & part[:1].isnan())).all()) for part in parts)

    @classmethod
    def none(cls, batch: int, layout: int = 0) -> Conditions:
        """Return `batch` rows to which nothing is told but the layout."""
        return cls(
            torch.full((batch, len(scalar_names())), float("nan")),
            torch.zeros(batch, 0, dtype=torch.long),
            torch.zeros(batch, 0, dtype=torch.long),
            torch.full((batch,), layout),
        )


def layout_id(order: str, *, lattice_first: bool = False, canonical: bool = True) -> int:
    """Return the number of a layout: site order, place of the lattice, canonical setting or another one."""
    return (ORDERS.index(order) * 2 + int(lattice_first)) * 2 + int(not canonical)


class ConditionEncoder(nn.Module):
    """Conditions to vectors before the sentence, (B, positions, width)."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: ModelConfig) -> None:
        """Make embeddings for every property of the table."""
        super().__init__()
        self.separate = config.prefix == "separate"
        properties = [table()[name] for name in scalar_names()]
        self.classes = [p.classes for p in properties]  # 0 for numbers
        seen = [config.seen.get(p.name) for p in properties]
        self.register_buffer("mean", torch.tensor([s.mean if s else 0.0 for s in seen]), persistent=False)
        self.register_buffer("std", torch.tensor([s.std if s else 1.0 for s in seen]), persistent=False)
        self.kind = nn.Embedding(len(properties) + 1, config.width)
        self.not_given = nn.Embedding(len(properties), config.width)
        self.layout = nn.Embedding(LAYOUT_CLASSES, config.width)
        self.values = nn.ModuleList(
            nn.Linear(1 + 2 * FREQUENCIES, config.width)
            if p.kind == "number"
            else nn.Embedding(p.classes, config.width)
            for p in properties
        )
        self.element = nn.Embedding(MAX_ATOMIC_NUMBER + 1, config.width, padding_idx=0)
        self.count = nn.Embedding(MAX_COUNT + 1, config.width)
        self.mix = nn.Sequential(
            nn.Linear(2 * config.width, config.width), nn.SiLU(), nn.Linear(config.width, config.width)
        )

    def forward(self, conditions: Conditions) -> Tensor:
        """Return the prefix: scalar conditions (one position or one each), then the elements of the formula."""
        columns = [self._scalar(i, conditions.scalars[:, i]) for i in range(len(self.values))]
        scalars = torch.stack(columns, dim=1)
        layout = self.layout(conditions.layout)[:, None]
        head = torch.cat([scalars, layout], dim=1) if self.separate else scalars.sum(1, keepdim=True) + layout
        return torch.cat([head, self._formula(conditions)], dim=1)

    def head(self, prefix: Tensor) -> Tensor:
        """Return the sum of the vectors before those of the formula, (B, width), of a prefix that `forward` gave."""
        return prefix[:, : len(self.values) + 1 if self.separate else 1].sum(1)

    def positions(self, conditions: Conditions) -> int:
        """Return how many positions the prefix takes."""
        return (len(self.values) + 1 if self.separate else 1) + conditions.elements.shape[1]

    def _scalar(self, index: int, encoded: Tensor) -> Tensor:
        given = ~encoded.isnan()
        value = torch.where(given, encoded, 0.0)
        if not self.classes[index]:
            known = self.values[index](waves((value - self.mean[index]) / self.std[index]))
        else:
            known = self.values[index]((value.long() - 1).clamp(0, self.classes[index] - 1))
        kind = self.kind.weight[index]
        return torch.where(given[:, None], known + kind, self.not_given.weight[index])

    def _formula(self, conditions: Conditions) -> Tensor:
        counts = self.count(conditions.counts.clamp(max=MAX_COUNT))
        return self.mix(torch.cat([self.element(conditions.elements), counts], dim=-1)) + self.kind.weight[-1]


def waves(z: Tensor) -> Tensor:
    """Return a standardised value and its waves, (..., 1 + 2 * FREQUENCIES), so that near values can be told apart."""
    angles = z[..., None] * 0.5 * 1.7 ** torch.arange(FREQUENCIES, device=z.device)
    return torch.cat([z[..., None], angles.sin(), angles.cos()], dim=-1)
