"""Arrays of a batch as tensors."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Self

import torch

if TYPE_CHECKING:
    from torch import Tensor


class ArrayTensors:
    """Arrays of a batch as tensors of one device."""

    @classmethod
    def of(cls, arrays: object, device: torch.device | str = "cpu") -> Self:
        """Return the arrays of an object with the same fields."""
        named = {f.name: getattr(arrays, f.name) for f in fields(cls)}  # type: ignore[arg-type]
        return cls(**{n: None if a is None else torch.from_numpy(a).to(device) for n, a in named.items()})


@dataclass(frozen=True)
class SlotTensors(ArrayTensors):
    """See `materium.data.orbit_batch.Slots`."""

    tokens: Tensor
    roles: Tensor
    sites: Tensor
    current: Tensor
    points: Tensor
    cell: Tensor
    components: Tensor
    counts: Tensor
    lacking: Tensor


@dataclass(frozen=True)
class DistanceTensors(ArrayTensors):
    """See `materium.data.orbit_batch.Distances`."""

    choices: Tensor
    start: Tensor
    step: Tensor
    sites: Tensor
    own: Tensor
    image: Tensor
    metric: Tensor
