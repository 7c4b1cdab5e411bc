"""The loops in C, `loops.c`: where they are, and how they are called.

They are compiled when the package is installed. Where no compiler was found, PyTorch does the same in more passes over
memory, and differs in the last digits.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zlib import crc32

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

SOURCE = Path(__file__).with_name("loops.c")
LIBRARY = Path(__file__).with_name("_loops.so")
NAMES = {torch.float32: "float", torch.bfloat16: "bfloat16"}
NUMBERS_OF_A_THREAD = 2**14
"""Fewer are not worth a thread."""


@cache
def compiled() -> ctypes.CDLL | None:
    """Return the compiled loops, or None where there are none, or those of another version of their source."""
    try:
        found = ctypes.CDLL(str(LIBRARY))
        found.source.restype = ctypes.c_uint32
        found.share.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_ssize_t] * 2
        return found if found.source() == crc32(SOURCE.read_bytes()) else None
    except (OSError, AttributeError):
        return None


def parts_of(rows: int, numbers: int) -> int:
    """Return in how many threads a loop over so many rows, of so many numbers each, is to run."""
    return max(1, min(torch.get_num_threads(), rows * numbers // NUMBERS_OF_A_THREAD, rows))


class Loop:
    """A loop with what it works on, to be run as often as that changes in place."""

    def __init__(
        self, name: str, dtype: torch.dtype, at: Sequence[Tensor | ctypes.Array[Any]], shape: Sequence[int]
    ) -> None:
        """Take contiguous tensors, and arrays of C, and integers, both in the loop's order."""
        found = compiled()
        if found is None:
            raise RuntimeError("the loops in C are not compiled; ask `compiled` first")
        self.share, self.loop, self.at = found.share, getattr(found, f"{name}_{NAMES[dtype]}"), list(at)
        self.pointers = (ctypes.c_void_p * len(at))()
        self.integers = (ctypes.c_ssize_t * len(shape))(*shape)
        for place, one in enumerate(at):
            self.put(place, one)

    def put(self, place: int, one: Tensor | ctypes.Array[Any]) -> None:
        """Work on another tensor, or array, from now on."""
        self.at[place] = one
        self.pointers[place] = one.data_ptr() if isinstance(one, torch.Tensor) else ctypes.addressof(one)

    def __call__(self, rows: int, parts: int) -> None:
        """Run over so many rows in so many threads; `parts_of` says how many are worth it."""
        self.share(self.loop, self.pointers, self.integers, rows, parts)


def run(  # noqa: PLR0913, PLR0917 - a loop, its rows, and what it is told
    name: str, dtype: torch.dtype, rows: int, parts: int, at: Sequence[Tensor | ctypes.Array[Any]], shape: Sequence[int]
) -> None:
    """Run a loop once; see `Loop`."""
    Loop(name, dtype, at, shape)(rows, parts)
