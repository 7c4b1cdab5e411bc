"""Dropout whose random numbers cost little: by the loops in C two for a whole layer, else a quarter of PyTorch's."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from materium.model import fused
from materium.model.fused import fusible

STEPS = 2**16
"""A random integer has 64 bits, and 16 of them are enough to decide on an entry; `loops.c` halves 32 bits likewise."""


class Dropout(nn.Module):
    """Entries become 0 with a probability, to within 1 / 65,536, and the others larger, so that the mean stays.

    But for the rounding of the type: in bfloat16, at a probability of 0.1, the mean shrinks by 0.15 %, as PyTorch's.
    """

    def __init__(self, probability: float) -> None:
        """Take the probability, from 0 to below 1."""
        super().__init__()
        self.probability = probability
        self.dropped = min(round(probability * STEPS), STEPS - 1)

    def onto(self, x: Tensor, branch: Tensor) -> Tensor:
        """Return x with what is left of a branch, (..., width) both."""
        if self.training and self.dropped and fusible(branch) and x.dtype == torch.float32:
            return fused.add_dropped(x, branch, self.dropped)
        return x + self(branch)

    def forward(self, x: Tensor) -> Tensor:
        """Return x, in training with some entries dropped; they follow from PyTorch's generator."""
        if not self.training or self.dropped == 0:
            return x
        if x.device.type != "cpu":
            return functional.dropout(x, self.probability)
        draws = torch.empty(math.ceil(x.numel() / 4), dtype=torch.int64).random_(-(2**63), None)
        bits = draws.view(torch.int16)[: x.numel()].view_as(x)
        kept = (bits >= self.dropped - STEPS // 2).to(x.dtype)
        return x * kept.mul_(STEPS / (STEPS - self.dropped))
