"""One token further for many sentences on a CPU: products of matrices by PyTorch, all between them by loops in C.

The loops, `decode.c`, are compiled when the package is installed; where no compiler was found, `attention.py` and
`transformer.py` do the same step by step, and differ in the last digits.
"""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from collections.abc import Callable

    from materium.model.attention import KeyValueCache
    from materium.model.transformer import Block, Transformer

LIBRARY = Path(__file__).with_name("_decode.so")
NAMES = {torch.float32: "float", torch.bfloat16: "bfloat16"}
WIDEST, LONGEST = 256, 2048
"""Numbers of a head, and positions, that `decode.c` has room for."""
ROWS_OF_A_THREAD = 64
"""Fewer are not worth a thread."""


class Layer(NamedTuple):
    """The weights of a block: of its norms in float32, of its projections in the type of the products."""

    norm_attention: Tensor
    qkv: Tensor
    out: Tensor
    norm_feedforward: Tensor
    up: Tensor
    down: Tensor


@cache
def library() -> ctypes.CDLL | None:
    """Return the compiled loops, or None where there are none."""
    try:
        return ctypes.CDLL(str(LIBRARY))
    except OSError:
        return None


class Native:
    """The blocks of a model, for one token of each of many sentences."""

    def __init__(self, model: Transformer, dtype: torch.dtype, loops: ctypes.CDLL) -> None:
        """Take the weights as they are now; those of the products in `dtype`, float32 or bfloat16."""
        self.config, self.dtype, self.loops = model.config, dtype, loops
        self.eps = float(model.norm.eps or 0)
        self.layers = [_layer(cast("Block", block), dtype) for block in model.blocks]
        self.threads = torch.get_num_threads()
        self.pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None

    def step(self, x: Tensor, rotation: tuple[Tensor, Tensor], cache: KeyValueCache) -> Tensor:
        """Return what the blocks make of the next token, (B, 1, width) float32; its key and value go into the cache."""
        x = x.reshape(-1, self.config.width).float().clone()
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
        config = self.config
        keys, values = cache.addresses(layer)
        pointers = ctypes.c_void_p * len(keys)
        shape = (config.heads, config.kv_heads, config.width // config.heads, cache.size, cache.length)
        before = (_at(qkv), _at(cosine), _at(sine), _long(turn), pointers(*keys), pointers(*values))
        self._call("attend", len(qkv), before, (*map(_long, shape), _at(out)))

    def _add_norm(self, x: Tensor, more: Tensor, weight: Tensor, out: Tensor) -> None:
        before = (_at(x), _at(more), _at(weight), ctypes.c_float(self.eps))
        self._call("add_norm", len(x), before, (_long(x.shape[1]), _at(out)))

    def _swiglu(self, up: Tensor, out: Tensor) -> None:
        self._call("swiglu", len(up), (_at(up),), (_long(out.shape[1]), _at(out)))

    def _call(self, name: str, rows: int, before: tuple[object, ...], after: tuple[object, ...]) -> None:
        """Run a loop over all rows, in several threads where there are many."""
        loop: Callable[..., None] = getattr(self.loops, f"{name}_{NAMES[self.dtype]}")
        parts = min(self.threads, rows // ROWS_OF_A_THREAD)
        if self.pool is None or parts < 2:
            loop(*before, _long(0), _long(rows), *after)
            return
        borders = [rows * part // parts for part in range(parts + 1)]
        spans = [(_long(start), _long(end)) for start, end in pairwise(borders)]
        list(self.pool.map(lambda span: loop(*before, *span, *after), spans))


def native_of(model: Transformer, dtype: torch.dtype, positions: int) -> Native | None:
    """Return the blocks in C for sentences of at most so many positions, or None where PyTorch has to do."""
    loops, config = library(), model.config
    able = model.norm.weight.device.type == "cpu" and dtype in NAMES and not model.training
    fits = config.width // config.heads <= WIDEST and positions <= LONGEST
    return Native(model, dtype, loops) if loops is not None and able and fits else None


def _layer(block: Block, dtype: torch.dtype) -> Layer:
    attention, feedforward = block.attention, block.feedforward
    qkv, out, up, down = (
        projection.weight.detach().to(dtype)
        for projection in (attention.qkv, attention.out, feedforward.up, feedforward.down)
    )
    norms = (block.norm_attention.weight.detach(), block.norm_feedforward.weight.detach())
    return Layer(norms[0], qkv, out, norms[1], up, down)


def _at(tensor: Tensor) -> ctypes.c_void_p:
    return ctypes.c_void_p(tensor.data_ptr())


_long = ctypes.c_ssize_t
