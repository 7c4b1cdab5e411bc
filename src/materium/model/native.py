"""One token further for many sentences on a CPU: products of matrices by PyTorch, all between them by loops in C."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor

from materium.model.loops import NAMES, Loop, compiled, parts_of

if TYPE_CHECKING:
    from materium.model.attention import KeyValueCache
    from materium.model.transformer import Block, Transformer


class Layer(NamedTuple):
    """The weights of a block: of its norms in float32, of its projections, transposed, in the type of the products."""

    norm_attention: Tensor
    qkv: Tensor
    out: Tensor
    norm_feedforward: Tensor
    up: Tensor
    down: Tensor


class Steps(NamedTuple):
    """The loops of a block, in their order."""

    before: Loop
    attend: Loop
    between: Loop
    gate: Loop


class Room(NamedTuple):
    """What is between the products for B sentences: read by one, written by the next."""

    x: Tensor
    normed: Tensor
    qkv: Tensor
    taken: Tensor
    more: Tensor
    up: Tensor
    hidden: Tensor

    def of(self, rows: int) -> Room:
        """Return the room of the first sentences."""
        return Room._make(part[:rows] for part in self)


class Native:
    """The blocks of a model, for the next token of each of many sentences.

    Whatever does not change from token to token is got ready once: a call of Python for each of some 50 small steps
    would be a fifth of the time.
    """

    def __init__(self, model: Transformer, dtype: torch.dtype) -> None:
        """Get ready for one batch, whose products are in `dtype`, float32 or bfloat16: the weights are copied."""
        self.config, self.dtype = model.config, dtype
        self.eps = torch.tensor(model.norm.eps, dtype=torch.float32, device="cpu")
        self.layers = [_layer(cast("Block", block), dtype) for block in model.blocks]
        self.room: Room | None = None
        self.steps: list[Steps] = []

    def read(self, x: Tensor, rotation: tuple[Tensor, Tensor], cache: KeyValueCache) -> Tensor:
        """Return what the blocks make of the next tokens, (B, tokens, width) float32.

        Their keys and values go into the cache. One token after the other: after the prefix and [SOS] there is one.
        """
        if cache.like.dtype != self.dtype or len(cache.rows) != len(x):
            raise ValueError(f"{len(x)} rows of {self.dtype}; the cache is of {len(cache.rows)} and {cache.like.dtype}")
        if self.room is None or len(self.room.x) < len(x):
            self._get_ready(len(x), cache)
        turns = [part.reshape(-1, *part.shape[-2:]) for part in rotation]
        cache.make_room(cache.length + x.shape[1])
        made = []
        for place, token in enumerate(x.unbind(1)):
            cosine, sine = (part[:, place].contiguous() for part in turns)
            self._attend_from(cache, cosine, sine, cache.length + place)
            made.append(self._step(token, cache.length + place))
        return torch.stack(made, dim=1)

    def _get_ready(self, rows: int, cache: KeyValueCache) -> None:
        """Take the memory for so many sentences, and say to each loop where it is."""
        config, dtype = self.config, self.dtype
        head = config.width // config.heads
        widths = (config.width, (config.heads + 2 * config.kv_heads) * head, config.width, config.width)
        normed, qkv, taken, more, up, hidden = (
            torch.zeros(rows, width, dtype=dtype) for width in (*widths, 2 * config.hidden, config.hidden)
        )
        self.room = room = Room(torch.zeros(rows, config.width), normed, qkv, taken, more, up, hidden)
        shape = (0, config.heads, config.kv_heads, head, cache.size, 0)
        self.steps = [
            Steps(
                Loop("add_norm", dtype, (room.x, more, layer.norm_attention, self.eps, normed), (config.width,)),
                Loop("attend", dtype, (qkv, self.eps, self.eps, cache.rows, qkv, qkv, taken), shape),
                Loop("add_norm", dtype, (room.x, more, layer.norm_feedforward, self.eps, normed), (config.width,)),
                Loop("swiglu", dtype, (up, hidden), (config.hidden,)),
            )
            for layer in self.layers
        ]

    def _attend_from(self, cache: KeyValueCache, cosine: Tensor, sine: Tensor, length: int) -> None:
        """Say to the loops of attention where keys and values stand, and how to turn those at position `length`."""
        for number, step in enumerate(self.steps):
            keys, values = cache.addresses(number)
            pointers = ctypes.c_void_p * len(keys)
            for place, tensor in enumerate((cosine, sine, cache.rows), 1):
                step.attend.put(place, tensor)
            for place, array in enumerate((pointers(*keys), pointers(*values)), 4):
                step.attend.put(place, array)
            step.attend.integers[0] = cosine.shape[-1] if len(cosine) > 1 else 0
            step.attend.integers[4:6] = [cache.size, length]

    def _step(self, token: Tensor, length: int) -> Tensor:
        """What the blocks make of a token of each sentence, (B, width), at position `length`."""
        rows, config = len(token), self.config
        x, normed, qkv, taken, more, up, hidden = cast("Room", self.room).of(rows)
        narrow, wide, long = (parts_of(rows, n) for n in (config.width, config.hidden, config.width * length))
        x.copy_(token)
        more.zero_()
        for layer, step in zip(self.layers, self.steps, strict=True):
            step.before(rows, narrow)
            torch.mm(normed, layer.qkv, out=qkv)
            step.attend(rows, long)
            torch.mm(taken, layer.out, out=more)
            step.between(rows, narrow)
            torch.mm(normed, layer.up, out=up)
            step.gate(rows, wide)
            torch.mm(hidden, layer.down, out=more)
        return x + more


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
        projection.weight.detach().to(dtype).T.contiguous()  # products of few rows are up to twice as fast by it
        for projection in (attention.qkv, attention.out, feedforward.up, feedforward.down)
    )
    norms = [layer.weight.detach().float().contiguous() for layer in (block.norm_attention, block.norm_feedforward)]
    return Layer(norms[0], qkv, out, norms[1], up, down)
