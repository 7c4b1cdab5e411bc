"""The links of sampling: guide, mask, weigh, temper, cut, draw, settle; each a pure function of logits (B, tokens)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterable

NEVER = float("-inf")
FINER = 2.0**26
"""The binary digits of a random number below 1 / FINER make the second of two draws.

They follow neither from the first draw, whose borders they touch in 1 of some 50,000, nor from the scores: where the
number falls within the share of the first token would magnify each rounding of it."""


def guide(told: Tensor, untold: Tensor, weight: float) -> Tensor:
    """Return logits that press the condition by `weight`: 0 is the untold model, 1 the told one (classifier-free)."""
    return torch.lerp(untold, told, weight)


def mask(logits: Tensor, legal: Tensor) -> Tensor:
    """Return logits in which only legal tokens are possible."""
    return logits.masked_fill(~legal, NEVER)


def temper(logits: Tensor, temperature: Tensor | float) -> Tensor:
    """Return logits at a temperature, a number or one for each row, shape (B, 1)."""
    return logits / temperature


def weigh(logits: Tensor, places: Tensor, odds: float) -> Tensor:
    """Return logits in which the odds of one token of each row, `places` of shape (B,), are multiplied."""
    if odds == 1:
        return logits
    rows = torch.arange(len(logits), device=logits.device)
    return logits.index_put((rows, places), logits[rows, places] + math.log(odds))


def cut(logits: Tensor, top_p: float) -> Tensor:
    """Return logits of the likeliest tokens that together hold `top_p`; the first is always kept."""
    if top_p >= 1:
        return logits
    ordered, places = logits.softmax(-1).sort(dim=-1, descending=True)
    kept = ordered.cumsum(-1) - ordered < top_p
    return logits.masked_fill(~kept.gather(1, places.argsort(-1)), NEVER)


def draw(logits: Tensor, uniform: Tensor) -> Tensor:
    """Return a token for each row by inverting the cumulative distribution at `uniform`, shape (B,), in [0, 1)."""
    heights, below = _heights(logits, uniform)
    return torch.searchsorted(heights, below, right=True)[:, 0]  # below the total: where it rises, a token is possible


def settle(  # noqa: PLR0913 - a distribution, a number, and what near means
    logits: Tensor, uniform: Tensor, temperature: float, axis: slice, reach: int, *, cyclic: bool
) -> Tensor:
    """Return a token for each row, drawn as it is believed, and then once more at a temperature among its neighbours.

    Which of several places is taken stays as likely as the model holds it, and only how exactly it is hit changes;
    a temperature alone makes the likeliest place, such as the origin, likelier still.

    Parameters
    ----------
    uniform
        Shape (B,), in [0, 1), float64: the digits that are left once the first token is decided decide the second.
    axis
        The tokens that stand for points of an axis; a token that is none of them stays.
    reach
        Neighbours on either side.
    cyclic
        Whether the last point of the axis is the first's neighbour.
    """
    if uniform.dtype != torch.float64:
        raise TypeError(f"random numbers of {uniform.dtype} have digits for one draw; float64 is needed for two")
    heights, below = _heights(logits, uniform)
    first = torch.searchsorted(heights, below, right=True)
    near = first - axis.start + torch.arange(-reach, reach + 1, device=logits.device)
    size = axis.stop - axis.start
    there = (near == near % size) | cyclic
    near = near % size + axis.start
    stays = first < axis.start
    warm = mask(temper(logits.gather(1, near), temperature), there).masked_fill(stays, 0)  # it has no neighbours
    second = near.gather(1, draw(warm, (uniform * FINER).frac())[:, None])
    return torch.where(stays, first, second)[:, 0]


def _heights(logits: Tensor, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """The cumulative distribution, (B, tokens), and the height at which it is cut, (B, 1), below its end."""
    heights = logits.softmax(-1, dtype=torch.float64).cumsum(-1)
    total = heights[:, -1:]
    return heights, torch.minimum(uniform[:, None] * total, total.nextafter(torch.zeros_like(total)))


def uniforms(seed: int, indices: Iterable[int], steps: int) -> Tensor:
    """Return the random numbers of structures, (B, steps): those of structure i follow from (seed, i) alone."""
    rows = [np.random.Generator(np.random.Philox(key=[seed, int(i)])).random(steps) for i in indices]
    return torch.from_numpy(np.stack(rows))
