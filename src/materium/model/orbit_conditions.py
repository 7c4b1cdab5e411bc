"""What a crystal should be, as a vector before its sequence of orbits: scalars, sets of elements, and the description.

A value that is not given has an embedding of its own and is never read as zero (arXiv 2512.07486, section 3.3).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn

from materium.model.conditions import FREQUENCIES, waves
from materium.properties import scalar_names, table
from materium.tokens.orbit_tokenizer import ORDERS

if TYPE_CHECKING:
    from materium.model.orbit_config import OrbitModelConfig

Description = Literal["canonical", "setting", "subgroup"]
DESCRIPTIONS: tuple[Description, ...] = get_args(Description)
"""The crystal in its own group in canonical setting, in another setting of it, and in a subgroup."""
ELEMENTS = 100
"""Length of flags by atomic number."""
MOST_ELEMENTS = 12
"""Numbers of elements above it share one embedding."""


@dataclass(frozen=True)
class OrbitConditions:
    """Conditions of B sequences, on one device.

    Parameters
    ----------
    scalars
        Encoded values, NaN where not given, shape (B, scalar properties), in the order of `scalar_names()`.
    layout
        Order and description, as `layout_id` numbers them, shape (B,).
    required, forbidden
        Which elements the crystal has to have, and must not have, by atomic number, shape (B, ELEMENTS).
    num_elements
        How many elements it has; 0 where not given, shape (B,).
    """

    scalars: Tensor
    layout: Tensor
    required: Tensor
    forbidden: Tensor
    num_elements: Tensor

    def to(self, device: torch.device | str) -> OrbitConditions:
        """Return the conditions on a device."""
        return OrbitConditions(*(getattr(self, f.name).to(device) for f in fields(self)))

    def __getitem__(self, rows: Tensor | slice) -> OrbitConditions:
        """Return the conditions of some rows."""
        return OrbitConditions(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def none(cls, batch: int, layout: int = 0) -> OrbitConditions:
        """Return `batch` rows without conditions."""
        flags = torch.zeros(2, batch, ELEMENTS, dtype=torch.bool)
        scalars = torch.full((batch, len(scalar_names())), float("nan"))
        return cls(scalars, torch.full((batch,), layout), flags[0], flags[1], torch.zeros(batch, dtype=torch.long))


def layout_id(order: str, description: Description = "canonical") -> int:
    """Return the number of an order and a description."""
    return ORDERS.index(order) * len(DESCRIPTIONS) + DESCRIPTIONS.index(description)


class OrbitConditionEncoder(nn.Module):
    """Conditions to one vector each, (B, width)."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: OrbitModelConfig) -> None:
        """Make embeddings for every property of the table."""
        super().__init__()
        properties = [table()[name] for name in scalar_names()]
        self.classes = [p.classes for p in properties]  # 0 for numbers
        seen = [config.seen.get(p.name) for p in properties]
        self.register_buffer("mean", torch.tensor([s.mean if s else 0.0 for s in seen]), persistent=False)
        self.register_buffer("std", torch.tensor([s.std if s else 1.0 for s in seen]), persistent=False)
        self.not_given = nn.Embedding(len(properties), config.width)
        self.layout = nn.Embedding(len(ORDERS) * len(DESCRIPTIONS), config.width)
        self.values = nn.ModuleList(
            nn.Embedding(p.classes, config.width) if p.classes else nn.Linear(1 + 2 * FREQUENCIES, config.width)
            for p in properties
        )
        self.required = nn.Embedding(ELEMENTS, config.width)
        self.forbidden = nn.Embedding(ELEMENTS, config.width)
        self.num_elements = nn.Embedding(MOST_ELEMENTS + 1, config.width)

    def forward(self, conditions: OrbitConditions) -> Tensor:
        """Return the vectors."""
        columns = [self._scalar(i, conditions.scalars[:, i]) for i in range(len(self.values))]
        flags = (conditions.required, self.required), (conditions.forbidden, self.forbidden)
        sets = [given.to(layer.weight.dtype) @ layer.weight for given, layer in flags]
        number = self.num_elements(conditions.num_elements.clamp(max=MOST_ELEMENTS))
        return torch.stack([*columns, *sets, number, self.layout(conditions.layout)]).sum(0)

    def _scalar(self, index: int, encoded: Tensor) -> Tensor:
        given = ~encoded.isnan()
        value = torch.where(given, encoded, 0.0)
        if self.classes[index]:
            known = self.values[index]((value.long() - 1).clamp(0, self.classes[index] - 1))
        else:
            known = self.values[index](waves((value - self.mean[index]) / self.std[index]))
        return torch.where(given[:, None], known, self.not_given.weight[index])
