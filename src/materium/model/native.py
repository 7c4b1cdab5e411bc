"""One token further for many sentences on a CPU: products of matrices by PyTorch, all between them by loops in C."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional

from materium.model.loops import NAMES, compiled, parts_of, run

if TYPE_CHECKING:
    from materium.model.attention import KeyValueCache
    from materium.model.transformer import Block, Transformer


class Layer(NamedTuple):
    """The weights of a block: of its norms in float32, of its projections in the type of the products."""

    norm_attention: Tensor
    qkv: Tensor
    out: Tensor
    norm_feedforward: Tensor
    up: Tensor
    down: Tensor


class Native:
    """The blocks of a model, for one token of each of many sentences."""

    def __init__(self, model: Transformer, dtype: torch.dtype) -> None:
        """Take the weights, for one batch: those of the products in `dtype`, float32 (shared) or bfloat16 (a copy)."""
        self.config, self.dtype = model.config, dtype
        self.eps = torch.tensor(model.norm.eps, dtype=torch.float32, device="cpu")
        self.layers = [_layer(cast("Block", block), dtype) for block in model.blocks]

    def step(self, x: Tensor, rotation: tuple[Tensor, Tensor], cache: KeyValueCache) -> Tensor:
        """Return what the blocks make of the next token, (B, 1, width) float32; its key and value go into the cache."""
        if cache.like.dtype != self.dtype or cache.shape[2] != len(x):
            raise ValueError(f"{len(x)} rows of {self.dtype}; the cache is of {cache.shape[2]} and {cache.like.dtype}")
        x = x.reshape(-1, self.config.width).float().clone(memory_format=torch.contiguous_format)
        cosine, sine = (part.reshape(-1, part.shape[-1]).contiguous() for part in rotation)
        turn = cosine.shape[-1] if len(cosine) > 1 else 0
        cache.make_room(cache.length + 1)
        normed, taken, more = (torch.zeros(x.shape, dtype=self.dtype) for _ in range(3))
        hidden = torch.empty(len(x), self.config.hidden, dtype=self.dtype)
        for number, layer in enumerate(self.layers):
            self._add_norm(x, more, layer.norm_attention, normed)
            qkv = functional.linear(normed, layer.qkv)
            self._attend(number, qkv, cosine, sine, turn, cache, taken)
            self._add_norm(x, functional.linear(taken, layer.out), layer.norm_feedforward, normed)
            self._swiglu(functional.linear(normed, layer.up), hidden)
            more = functional.linear(hidden, layer.down)
        return x.add_(more)[:, None]

    def _attend(  # noqa: PLR0913, PLR0917 - the arguments of the loop
        self, layer: int, qkv: Tensor, cosine: Tensor, sine: Tensor, turn: int, cache: KeyValueCache, out: Tensor
    ) -> None:
        config, rows = self.config, len(qkv)
        keys, values = cache.addresses(layer)
        pointers = ctypes.c_void_p * len(keys)
        shape = (turn, config.heads, config.kv_heads, config.width // config.heads, cache.size, cache.length)
        at = (qkv, cosine, sine, pointers(*keys), pointers(*values), out)
        run("attend", self.dtype, rows, parts_of(rows, config.width * cache.length), at, shape)

    def _add_norm(self, x: Tensor, more: Tensor, weight: Tensor, out: Tensor) -> None:
        rows, width = x.shape
        run("add_norm", self.dtype, rows, parts_of(rows, width), (x, more, weight, self.eps, out), (width,))

    def _swiglu(self, up: Tensor, out: Tensor) -> None:
        rows, width = out.shape
        run("swiglu", self.dtype, rows, parts_of(rows, width), (up, out), (width,))


def native_of(model: Transformer, dtype: torch.dtype, positions: int) -> Native | None:
    """Return the blocks in C for sentences of at most so many positions, or None where PyTorch has to do."""
    found, config = compiled(), model.config
    if found is None or model.training or model.norm.weight.device.type != "cpu" or dtype not in NAMES:
        return None
    fits = config.width // config.heads <= found.widest() and positions <= found.longest()
    return Native(model, dtype) if fits else None


def _layer(block: Block, dtype: torch.dtype) -> Layer:
    attention, feedforward = block.attention, block.feedforward
    qkv, out, up, down = (
        projection.weight.detach().to(dtype)
        for projection in (attention.qkv, attention.out, feedforward.up, feedforward.down)
    )
    norms = [layer.weight.detach().float().contiguous() for layer in (block.norm_attention, block.norm_feedforward)]
    return Layer(norms[0], qkv, out, norms[1], up, down)
