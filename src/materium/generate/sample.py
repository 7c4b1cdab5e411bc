"""The links of sampling: guide, mask, temper, cut, draw; each a pure function of logits of shape (B, tokens)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

NEVER = float("-inf")


def guide(told: Tensor, untold: Tensor, weight: float) -> Tensor:
    """Return logits that press the condition by `weight`: 0 is the untold model, 1 the told one (classifier-free)."""
    return torch.lerp(untold, told, weight)


def mask(logits: Tensor, legal: Tensor) -> Tensor:
    """Return logits in which only legal tokens are possible."""
    return logits.masked_fill(~legal, NEVER)


def temper(logits: Tensor, temperature: Tensor | float) -> Tensor:
    """Return logits at a temperature, a number or one for each row, shape (B, 1)."""
    return logits / temperature


def cut(logits: Tensor, top_p: float) -> Tensor:
    """Return logits of the likeliest tokens that together hold `top_p`; the first is always kept."""
    if top_p >= 1:
        return logits
    ordered, places = logits.softmax(-1).sort(dim=-1, descending=True)
    kept = ordered.cumsum(-1) - ordered < top_p
    return logits.masked_fill(~kept.gather(1, places.argsort(-1)), NEVER)


def draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """Return a token for each row by inverting the cumulative distribution at `uniform`, shape (B,), in [0, 1)."""
    heights = logits.softmax(-1, dtype=torch.float64).cumsum(-1)
    total = heights[:, -1:]
    below = torch.minimum(uniform[:, None] * total, total.nextafter(torch.zeros_like(total)))
    return torch.searchsorted(heights, below, right=True)[:, 0]  # below the total: where it rises, a token is possible


def uniforms(seed: int, indices: Iterable[int], steps: int) -> Tensor:
    """Return the random numbers of structures, (B, steps): those of structure i follow from (seed, i) alone."""
    rows = [np.random.Generator(np.random.Philox(key=[seed, int(i)])).random(steps) for i in indices]
    return torch.from_numpy(np.stack(rows))
