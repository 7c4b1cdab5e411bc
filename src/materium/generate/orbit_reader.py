"""The network for sequences of different lengths: whatever slots they have not read yet go through it together.

Each slot is a row of its own, and attends to the slots before it in its sequence. Products of matrices therefore are as
large as the batch, however long the sequences in it are, and a finished one makes room for the next at once.
"""

from __future__ import annotations

import ctypes
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch import Tensor

from materium.model.attention import BLOCK_BYTES, rotary, rotate
from materium.model.loops import NAMES, Loop, compiled, parts_of
from materium.model.native import Layer, Room, _layer
from materium.model.orbit_transformer import Outlook
from materium.tokens.orbit_vocab import Role

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materium.model.orbit_conditions import OrbitConditions
    from materium.model.orbit_tensors import SlotTensors
    from materium.model.orbit_transformer import OrbitTransformer
    from materium.model.transformer import Block

ROW_STEP = 16
"""Rows of a product are a multiple of it: products of fewer rows take another path through the CPU's kernels, whose
last bits differ, and a structure must not depend on the size of the batch."""


class SlotReader:
    """A model that reads slots of `places` sequences; conditions and keys of each lie at its place.

    Parameters
    ----------
    model
        The network, in evaluation mode.
    places
        How many sequences there is room for.
    positions
        Most slots of a sequence.
    dtype
        Of the blocks' products, float32 or bfloat16.
    """

    def __init__(
        self, model: OrbitTransformer, places: int, positions: int, dtype: torch.dtype = torch.float32
    ) -> None:
        """Work out all that does not change from slot to slot."""
        self.model, self.config = model, model.config
        self.vectors = model.vectors()
        self.table = self.vectors.table
        device = self.table.device
        head = model.config.width // model.config.heads
        cosine, sine = (part[0].contiguous() for part in rotary(torch.arange(positions, device=device), head))
        self.turns = cosine, sine
        self.first = self.table.new_zeros(places, model.config.width)
        self.others = torch.zeros_like(self.first)
        self.conditions = model_conditions(places, device)
        found = compiled()
        fits = found is not None and head <= found.widest() and positions <= found.longest()
        usable = fits and device.type == "cpu" and not model.training
        self.blocks = _CompiledBlocks(model, places, dtype) if usable else _PlainBlocks(model, places, positions, dtype)

    def begin(self, places: Sequence[int], conditions: OrbitConditions) -> None:
        """Put new sequences with these conditions, one row each, at places whose sequences have ended."""
        at = torch.tensor(places, device=self.first.device)
        filled = torch.arange(-(-len(at) // ROW_STEP) * ROW_STEP) % len(at)
        conditions = conditions.to(self.first.device)
        given = self.model.conditions(conditions[filled])
        self.first[at], self.others[at] = given[: len(at)], self.model.conditioned(given)[: len(at)]
        for name, values in vars(self.conditions).items():
            values[at] = getattr(conditions, name)

    def copy(self, source: int, targets: Sequence[int]) -> None:
        """Give other sequences, which have begun, the keys and values of all slots that one has read."""
        self.blocks.copy(source, list(targets))

    def read(self, places: Tensor, positions: Tensor, slots: SlotTensors) -> Outlook:
        """Return what stands after slots: (N, 1, width) for N slots, fields of shape (N, 1, …).

        Parameters
        ----------
        places, positions
            The sequence of each slot, and the slot's number in it, shape (N,); N is a multiple of `ROW_STEP`, and
            positions ascend.
        """
        model = self.model
        starts = (slots.roles == Role.SOS)[..., None]
        given = torch.where(starts, self.first[places, None], self.others[places, None])
        x, after, room = model.embed(slots, self.conditions[places], given, self.vectors)
        x = self.blocks(x[:, 0], places, positions, self.turns)
        return Outlook(model.norm(x)[:, None] + after, room, self.table, slots)


def model_conditions(places: int, device: torch.device) -> OrbitConditions:
    """Return room for the conditions of sequences."""
    from materium.model.orbit_conditions import OrbitConditions

    return OrbitConditions.none(places).to(device)


class _PlainBlocks:
    """The blocks in PyTorch."""

    def __init__(self, model: OrbitTransformer, places: int, positions: int, dtype: torch.dtype) -> None:
        config, like = model.config, model.norm.weight
        self.config, self.dtype, self.layers = config, dtype, [cast("Block", block) for block in model.blocks]
        self.width = config.width // config.heads
        self.keys, self.values = (
            torch.zeros(config.layers, places, config.kv_heads, positions, self.width, dtype=dtype, device=like.device)
            for _ in range(2)
        )

    def __call__(self, x: Tensor, places: Tensor, positions: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        """Return (N, width) for (N, width), and keep keys and values."""
        rotation = tuple(part[positions][:, None, None] for part in turns)
        known = int(positions.max()) + 1
        hidden = torch.arange(known, device=x.device) > positions[:, None]
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.dtype == torch.bfloat16):
            for number, block in enumerate(self.layers):
                qkv = block.attention.qkv(block.norm_attention(x)).view(len(x), -1, 1, self.width)
                query, key, value = qkv.split([self.config.heads, self.config.kv_heads, self.config.kv_heads], dim=1)
                query, key = (rotate(part, cast("tuple[Tensor, Tensor]", rotation)) for part in (query, key))
                self.keys[number, places, :, positions] = key[:, :, 0].to(self.dtype)
                self.values[number, places, :, positions] = value[:, :, 0].to(self.dtype)
                keys, values = (part[number, places, :, :known] for part in (self.keys, self.values))
                grouped = query.reshape(len(x), self.config.kv_heads, -1, self.width)
                scores = grouped @ keys.transpose(-1, -2) * self.width**-0.5
                shares = scores.masked_fill(hidden[:, None, None], float("-inf")).softmax(-1).to(values.dtype)
                x = x + block.attention.out((shares @ values).reshape(len(x), -1))
                x = x + block.feedforward(block.norm_feedforward(x))
        return x.float()

    def copy(self, source: int, targets: list[int]) -> None:
        """Copy keys and values of all positions."""
        for part in (self.keys, self.values):
            part[:, targets] = part[:, source, None]


class _Step(NamedTuple):
    """The compiled loops of a block between its products; attention is called by itself."""

    before: Loop
    between: Loop
    gate: Loop


class _CompiledBlocks:
    """The blocks as products by PyTorch and loops in C between them; see `materium.model.native`."""

    def __init__(self, model: OrbitTransformer, places: int, dtype: torch.dtype) -> None:
        config = model.config
        self.config, self.dtype, self.head = config, dtype, config.width // config.heads
        self.eps = torch.tensor(model.norm.eps, dtype=torch.float32)
        self.layers: list[Layer] = [_layer(cast("Block", block), dtype) for block in model.blocks]
        like = torch.empty(0, dtype=dtype)
        self.size = max(1, BLOCK_BYTES // (self.head * like.itemsize))
        self.shape = (2, config.layers, places, config.kv_heads, self.size, self.head)
        self.cache: list[Tensor] = []
        """Keys and values of so many positions of all sequences; memory is taken as they become longer."""
        self.pointers: list[tuple[ctypes.Array[ctypes.c_void_p], ctypes.Array[ctypes.c_void_p]]] = []
        self.room: Room | None = None
        self.steps: list[_Step] = []
        found = compiled()
        if found is None:
            raise RuntimeError("the loops in C are not compiled; ask `compiled` first")
        self.share, self.attend = found.share, getattr(found, f"attend_{NAMES[dtype]}")

    def __call__(self, x: Tensor, places: Tensor, positions: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
        """Return (N, width) for (N, width), and keep keys and values."""
        rows, config = len(x), self.config
        if self.room is None or len(self.room.x) < rows:
            self._get_ready(rows)
        self._make_room(int(positions[-1]) + 1)
        groups = self._groups(places, positions, turns)
        own, normed, qkv, taken, more, up, hidden = cast("Room", self.room).of(rows)
        narrow, wide = parts_of(rows, config.width), parts_of(rows, config.hidden)
        own.copy_(x)
        more.zero_()
        for layer, step, pointers in zip(self.layers, self.steps, self.pointers, strict=True):
            step.before(rows, narrow)
            torch.mm(normed, layer.qkv, out=qkv)
            keys, values = map(ctypes.addressof, pointers)
            for at, shape, count, parts in groups:  # a slot's key is there before later slots look at it
                at[4], at[5] = keys, values
                self.share(self.attend, at, shape, count, parts)
            torch.mm(taken, layer.out, out=more)
            step.between(rows, narrow)
            torch.mm(normed, layer.up, out=up)
            step.gate(rows, wide)
            torch.mm(hidden, layer.down, out=more)
        return own + more

    def copy(self, source: int, targets: list[int]) -> None:
        """Copy keys and values of all positions."""
        for part in self.cache:
            part[:, :, targets] = part[:, :, source, None]

    def _groups(
        self, places: Tensor, positions: Tensor, turns: tuple[Tensor, Tensor]
    ) -> list[tuple[ctypes.Array[ctypes.c_void_p], ctypes.Array[ctypes.c_ssize_t], int, int]]:
        """Slots of equal positions: pointers and integers of their attention, how many, and in how many threads."""
        room, config, rows = cast("Room", self.room), self.config, len(places)
        arrays = (room.qkv, *turns, places, room.taken)
        starts = [part.data_ptr() for part in arrays]
        strides = [part.stride(0) * part.itemsize for part in arrays]
        edges = [0, *((positions[1:] != positions[:-1]).nonzero()[:, 0] + 1).tolist(), rows]
        groups = []
        for start, end in pairwise(edges):
            position = int(positions[start])
            along = (start, position, position, start, start)
            qkv, cosine, sine, own, taken = (a + s * k for a, s, k in zip(starts, strides, along, strict=True))
            at = (ctypes.c_void_p * 7)(qkv, cosine, sine, own, 0, 0, taken)
            shape = (ctypes.c_ssize_t * 6)(0, config.heads, config.kv_heads, self.head, self.size, position)
            groups.append((at, shape, end - start, parts_of(end - start, config.width * (position + 1))))
        return groups

    def _make_room(self, positions: int) -> None:
        """Take the memory for so many positions, and note where keys and values of each layer are."""
        if len(self.cache) * self.size >= positions:
            return
        while len(self.cache) * self.size < positions:
            self.cache.append(torch.empty(self.shape, dtype=self.dtype))
        pointers = ctypes.c_void_p * len(self.cache)
        self.pointers = [
            (
                pointers(*(part[0, n].data_ptr() for part in self.cache)),
                pointers(*(part[1, n].data_ptr() for part in self.cache)),
            )
            for n in range(self.config.layers)
        ]

    def _get_ready(self, rows: int) -> None:
        """Take the memory for what is between the products of so many slots."""
        config, dtype, room = self.config, self.dtype, rows + rows // 4
        widths = (config.width, (config.heads + 2 * config.kv_heads) * self.head, config.width, config.width)
        normed, qkv, taken, more, up, hidden = (
            torch.zeros(room, width, dtype=dtype) for width in (*widths, 2 * config.hidden, config.hidden)
        )
        x = torch.zeros(room, config.width)
        self.room = Room(x, normed, qkv, taken, more, up, hidden)
        self.steps = [
            _Step(
                Loop("add_norm", dtype, (x, more, layer.norm_attention, self.eps, normed), (config.width,)),
                Loop("add_norm", dtype, (x, more, layer.norm_feedforward, self.eps, normed), (config.width,)),
                Loop("swiglu", dtype, (up, hidden), (config.hidden,)),
            )
            for layer in self.layers
        ]
