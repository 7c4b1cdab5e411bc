"""Causal self-attention with rotary positions, written out: on short sentences it beats the fused kernels on CPUs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from materium.model import fused
from materium.model.fused import fusible

if TYPE_CHECKING:
    from materium.model.config import ModelConfig
    from materium.model.native import Native
    from materium.model.tally import Tally

ROPE_BASE = 10_000.0


BLOCK_BYTES = 4096
"""Of the keys of one head of a sentence in a block of the cache: 16 positions in float32 of 64 numbers."""


class KeyValueCache:
    """Keys and values of all layers for B sentences, written in place; `length` positions are filled.

    On CPUs they lie in blocks of some positions, of which all sentences' stand side by side: a block is one stream
    from memory. Rows with room for what is to come, read in part, took two to three times as long. On other devices,
    where each product must be launched, there is one block.

    The loops in C find the row of each sentence in `rows`: whoever is dropped leaves its place empty. For products of
    matrices those that stay move up. `begun` of the sentences are there at first; `spread` gives the others what the
    first one has.

    `tally` holds the sums over the tokens so far, where the network keeps them.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - its shape and type, and who reads
        self,
        config: ModelConfig,
        batch: int,
        positions: int,
        like: Tensor,
        native: Native | None = None,
        begun: int | None = None,
    ) -> None:
        """Get ready for `positions` tokens of the type and device of `like`; memory is taken block by block.

        `native` reads the tokens, where it is given; `begun` is all, and may be less with `native` alone.
        """
        width = config.width // config.heads
        block = max(1, BLOCK_BYTES // (width * like.itemsize)) if like.device.type == "cpu" else positions
        self.size = min(block, positions)
        self.single = self.size == positions
        self.shape = (2, config.layers, batch, config.kv_heads, self.size, width)
        self.like, self.positions, self.native = like, positions, native
        self.blocks: list[Tensor] = []
        self.rows = torch.arange(batch if begun is None else begun)  # used with `native` alone
        self.length = 0
        self.tally: Tally | None = None

    def keep(self, rows: Tensor) -> None:
        """Drop all sentences but `rows`, each of them once; those that keep their place are not copied."""
        if self.tally is not None:
            self.tally.keep(rows)
        if self.native is not None:
            self.rows = self.rows[rows]
            return
        moved = (rows != torch.arange(len(rows), device=rows.device)).nonzero()[:, 0]
        for block in self.blocks:
            block[:, :, moved] = block[:, :, rows[moved]]
        self.blocks = [block[:, :, : len(rows)] for block in self.blocks]
        self.shape = (*self.shape[:2], len(rows), *self.shape[3:])

    def spread(self) -> None:
        """Give all sentences of the batch the keys, values and tally of the first one."""
        batch = self.shape[2]
        for first, block in zip(range(0, self.length, self.size), self.blocks, strict=False):
            filled = block[:, :, :, :, : self.length - first]
            filled[:, :, 1:] = filled[:, :, :1]
        self.rows = torch.arange(batch)
        if self.tally is not None:
            self.tally.keep(torch.zeros(batch, dtype=torch.long))

    def append(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Store (B, heads, new, d), of the type of the cache, after the `length` positions."""
        end = self.length + key.shape[2]
        if key.dtype != self.like.dtype:
            raise ValueError(f"keys are {key.dtype}; the cache holds {self.like.dtype}")
        self.make_room(end)
        for start in range(self.length - self.length % self.size, end, self.size):
            first, last = max(start, self.length), min(start + self.size, end)
            there, here = slice(first - start, last - start), slice(first - self.length, last - self.length)
            block = self.blocks[start // self.size]
            block[0, layer, :, :, there], block[1, layer, :, :, there] = key[:, :, here], value[:, :, here]

    def make_room(self, end: int) -> None:
        """Take the memory for positions up to `end`."""
        if end > self.positions:
            raise ValueError(f"{end} positions; room is for {self.positions}")
        # products take 0 times what stands in places that are not filled, and memory often holds no numbers
        fresh = self.like.new_zeros if self.native is None else self.like.new_empty
        while len(self.blocks) * self.size < end:
            self.blocks.append(fresh(self.shape))

    def addresses(self, layer: int) -> tuple[list[int], list[int]]:
        """Return where the keys and the values of a layer stand in memory, block by block."""
        size = self.like.itemsize
        starts = [(block.data_ptr() + size * layer * block.stride(1), size * block.stride(0)) for block in self.blocks]
        return [start for start, _ in starts], [start + apart for start, apart in starts]

    def attend(self, layer: int, query: Tensor) -> Tensor:
        """Return what the last queries, (B, heads, new, d), take from all that is stored in a layer."""
        new, width = query.shape[2:]
        known = self.length + new
        used = known if self.single else self.size  # blocks of a stream are read whole
        keys, values = zip(*(block[:, layer, :, :, :used].flatten(1, 2) for block in self.blocks), strict=True)
        grouped = query.reshape(len(keys[0]), -1, width)  # heads that share keys stand side by side
        scores = torch.cat([grouped @ key.transpose(1, 2) for key in keys], dim=-1) * width**-0.5
        shares = _causal_softmax(scores.view(*query.shape[:3], -1), known).view_as(scores)
        first, *others = shares.split(self.size, dim=-1)
        mixed = first @ values[0]
        for share, value in zip(others, values[1:], strict=True):
            mixed.baddbmm_(share, value)
        return mixed.view_as(query)


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
        tokens = x.shape[1]
        query, key, value = self._heads(self.qkv(x), rotation)
        if cache is not None:
            cache.append(self.layer, key, value)
            return self._merged(cache.attend(self.layer, query))
        if self.kv_heads != self.heads:
            key, value = (t.repeat_interleave(self.heads // self.kv_heads, dim=1) for t in (key, value))
        scores, scale = query @ key.transpose(-1, -2), self.head_width**-0.5
        if fusible(scores) and fused.fits(tokens):
            return self._merged(fused.causal_softmax(scores, scale) @ value)
        return self._merged(_causal_softmax(scores * scale, tokens) @ value)

    def _heads(self, qkv: Tensor, rotation: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        """Queries and keys, turned, and values, each (B, heads, tokens, d), of (B, tokens, all heads * d)."""
        if fusible(qkv):
            return fused.heads(qkv, rotation, (self.heads, self.kv_heads), self.head_width)
        heads = qkv.view(*qkv.shape[:2], -1, self.head_width).transpose(1, 2)
        turning, value = heads.split([self.heads + self.kv_heads, self.kv_heads], dim=1)
        return (*rotate(turning, rotation).split([self.heads, self.kv_heads], dim=1), value)

    def _merged(self, mixed: Tensor) -> Tensor:
        """The output, (B, tokens, width), of what the heads took, (B, heads, tokens, d)."""
        return self.out(mixed.transpose(1, 2).flatten(2))


def _causal_softmax(scores: Tensor, known: int) -> Tensor:
    """Softmax over the first `known` keys, (B, heads, new, keys); the rest get nothing.

    The last new token sees every known key, the one before all but one.
    """
    new, places = scores.shape[-2:]
    if new > 1 or places > known:
        hidden = torch.ones(new, places, dtype=torch.bool, device=scores.device).triu(known - new + 1)
        scores = scores.masked_fill(hidden, float("-inf"))
    return scores.softmax(dim=-1).to(scores.dtype)
