"""Causal self-attention with rotary positions, written out: on short sentences it beats the fused kernels on CPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from materium.model.config import ModelConfig
    from materium.model.tally import Tally

ROPE_BASE = 10_000.0


class KeyValueCache:
    """Keys and values of all layers for B sentences, written in place; `length` positions are filled.

    `tally` holds the sums over the tokens so far, where the network keeps them.
    """

    def __init__(self, config: ModelConfig, batch: int, positions: int, like: Tensor) -> None:
        """Reserve room for `positions` tokens, of the type and device of `like`."""
        shape = (config.layers, batch, config.kv_heads, positions, config.width // config.heads)
        self.keys = torch.empty(shape, dtype=like.dtype, device=like.device)
        self.values = torch.empty(shape, dtype=like.dtype, device=like.device)
        self.length = 0
        self.tally: Tally | None = None

    def keep(self, rows: Tensor) -> None:
        """Drop all sentences but `rows`; those that keep their place are not copied."""
        moved = (rows != torch.arange(len(rows), device=rows.device)).nonzero()[:, 0]
        for store in (self.keys, self.values):
            store[:, moved, :, : self.length] = store[:, rows[moved], :, : self.length]
        self.keys, self.values = self.keys[:, : len(rows)], self.values[:, : len(rows)]
        if self.tally is not None:
            self.tally.keep(rows)

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Store (B, heads, new, d) and return all keys and values of the layer so far."""
        end = self.length + key.shape[2]
        self.keys[layer, :, :, self.length : end] = key
        self.values[layer, :, :, self.length : end] = value
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]


def rotary(positions: Tensor, head_width: int) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of the rotations, each (..., 1, tokens, head_width / 2), for positions (..., tokens)."""
    steps = torch.arange(0, head_width, 2, device=positions.device, dtype=torch.float32)
    angles = positions[..., None, :, None].float() * ROPE_BASE ** (-steps / head_width)
    return angles.cos(), angles.sin()


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn the two halves of the last dimension of (B, heads, tokens, d) by the rotary angles."""
    cosine, sine = (part.to(x.dtype) for part in rotation)
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


class Attention(nn.Module):
    """Multi-head attention; fewer heads of keys and values than of queries give grouped-query attention."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        """Make one projection for queries, keys and values together."""
        super().__init__()
        self.layer = layer
        self.heads, self.kv_heads = config.heads, config.kv_heads
        self.head_width = config.width // config.heads
        self.qkv = nn.Linear(config.width, (self.heads + 2 * self.kv_heads) * self.head_width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], cache: KeyValueCache | None = None) -> Tensor:
        """Return (B, tokens, width) for (B, tokens, width); with a cache, the tokens follow those stored in it."""
        batch, tokens, _ = x.shape
        heads = self.qkv(x).view(batch, tokens, -1, self.head_width).transpose(1, 2)
        turned, value = heads.split([self.heads + self.kv_heads, self.kv_heads], dim=1)
        query, key = rotate(turned, rotation).split([self.heads, self.kv_heads], dim=1)
        if cache is not None:
            key, value = cache.append(self.layer, key, value)
        if self.kv_heads != self.heads:
            key, value = (t.repeat_interleave(self.heads // self.kv_heads, dim=1) for t in (key, value))
        scores = _products(query, key) * self.head_width**-0.5
        mixed = _causal_softmax(scores) @ value
        return self.out(mixed.transpose(1, 2).reshape(batch, tokens, -1))


def _products(query: Tensor, key: Tensor) -> Tensor:
    """Each query times each key; with one query in bfloat16, CPUs take twice as long to turn the keys."""
    if query.dtype == torch.bfloat16 and query.shape[2] == 1:
        return (key @ query.transpose(-1, -2)).transpose(-1, -2)
    return query @ key.transpose(-1, -2)


def _causal_softmax(scores: Tensor) -> Tensor:
    """Softmax over the keys, (B, heads, new, all); the last new token sees every key, the one before all but one."""
    new, known = scores.shape[-2:]
    if new > 1:
        hidden = torch.ones(new, known, dtype=torch.bool, device=scores.device).triu(known - new + 1)
        scores = scores.masked_fill(hidden, float("-inf"))
    return scores.softmax(dim=-1).to(scores.dtype)
