"""The loops in C: the same as the blocks in PyTorch, token by token."""

from __future__ import annotations

import shutil
import sys
from itertools import product
from typing import TYPE_CHECKING

import pytest
import torch

from materium.model import loops, native
from materium.model.attention import KeyValueCache, rotary
from tiny import tiny_model

if TYPE_CHECKING:
    from pathlib import Path

    from materium.model.transformer import Transformer

COMPILER = sys.platform != "win32" and any(map(shutil.which, ("cc", "gcc", "clang")))
needs_loops = pytest.mark.skipif(loops.compiled() is None, reason="the loops in C are not compiled here")
PREFIX, STEPS = 3, 37


def test_compiled_where_there_is_a_compiler() -> None:
    assert loops.compiled() is not None or not COMPILER, "install the package again: hatch_build.py compiles the loops"


def through(
    model: Transformer, x: torch.Tensor, positions: torch.Tensor, native_: native.Native | None
) -> torch.Tensor:
    """What the blocks make of tokens (B, tokens, width): the first ones at once, the others one by one.

    Rows are dropped on the way, as sentences end.
    """
    dtype = torch.float32 if native_ is None else native_.dtype
    cache = KeyValueCache(model.config, len(x), x.shape[1], torch.empty(0, dtype=dtype), native_)
    with torch.autocast("cpu", torch.bfloat16, enabled=native_ is None and dtype == torch.bfloat16):
        found, starts = [], [0, *range(PREFIX, x.shape[1])]
        for start, end in zip(starts, [*starts[1:], x.shape[1]], strict=True):
            if start == x.shape[1] // 2:
                rows = torch.tensor([0, len(x) - 1, 2])
                x, positions = x[rows], positions[rows] if len(positions) > 1 else positions
                cache.keep(rows)
            here, rotation = x[:, start:end], rotary(positions[:, start:end], model.config.width // model.config.heads)
            if native_ is not None:
                here = native_.read(here, rotation, cache)
            else:
                for block in model.blocks:
                    here = block(here, rotation, cache)
            cache.length = end
            found.append(here[:3].float())
    return torch.cat(found, dim=1)


def network(kv_heads: int, width: int) -> tuple[Transformer, torch.Tensor]:
    """A network, and the input of its blocks."""
    model = tiny_model(width=width, heads=4, kv_heads=kv_heads, layers=2, hidden=24)
    with torch.no_grad():
        for weight in model.blocks.parameters():
            weight.mul_((32 / width) ** 0.5 if weight.ndim > 1 else 1)  # sums over more numbers stay as large
    return model, torch.randn(5, PREFIX + STEPS, width, generator=torch.Generator().manual_seed(3))


@needs_loops
@pytest.mark.parametrize("block", [1, 3, 16, 100])
@pytest.mark.parametrize(("kv_heads", "width", "threads"), list(product([1, 2, 4], [32, 256], [1, 2])))
@torch.inference_mode()
def test_step_equals_the_blocks(
    monkeypatch: pytest.MonkeyPatch, block: int, kv_heads: int, width: int, threads: int
) -> None:
    """Heads of 64 numbers, which the compiler knows, and of others; queries that share keys; rows in two threads."""
    monkeypatch.setattr("materium.model.attention.BLOCK_BYTES", block * width)
    monkeypatch.setattr(loops, "NUMBERS_OF_A_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    model, x = network(kv_heads, width)
    positions = torch.arange(x.shape[1]).expand(len(x), -1)
    steps = native.native_of(model, torch.float32, x.shape[1])
    assert steps is not None
    torch.testing.assert_close(
        through(model, x, positions, steps), through(model, x, positions, None), rtol=1e-4, atol=1e-4
    )


@needs_loops
@torch.inference_mode()
def test_rows_may_stand_at_positions_of_their_own() -> None:
    model, x = network(2, 32)
    positions = torch.randint(0, 40, (5, x.shape[1]), generator=torch.Generator().manual_seed(4))
    steps = native.native_of(model, torch.float32, x.shape[1])
    expected = through(model, x, positions, None)
    torch.testing.assert_close(through(model, x, positions, steps), expected, rtol=1e-4, atol=1e-4)
    moved = through(model, x, positions[[1, 0, 2, 3, 4]], steps)
    assert not torch.allclose(moved, expected, rtol=1e-2, atol=1e-2)


@needs_loops
@pytest.mark.parametrize(("kv_heads", "threads"), [(4, 1), (2, 2), (1, 3)])
@torch.inference_mode()
def test_bfloat16_is_as_near_as_pytorch_comes(monkeypatch: pytest.MonkeyPatch, kv_heads: int, threads: int) -> None:
    """Against float32; what PyTorch rounds on the way as well, the loops hold in float32."""
    monkeypatch.setattr(loops, "NUMBERS_OF_A_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    model, x = network(kv_heads, 256)
    positions = torch.arange(x.shape[1])[None]
    exact = through(model, x, positions, None)
    steps = native.native_of(model, torch.bfloat16, x.shape[1])
    with torch.autocast("cpu", torch.bfloat16):
        rounded = x
        for block in model.blocks:
            rounded = block(rounded, rotary(positions, 64), None)
    found = through(model, x, positions, steps)
    half = x.shape[1] // 2  # rows are dropped there
    off, allowed = (one[:3, :half] - exact[:, :half] for one in (found, rounded))
    assert 0 < off.norm() < 1.2 * allowed.norm()


@needs_loops
@torch.inference_mode()
def test_extreme_scores_and_gates_stay_numbers() -> None:
    model, x = network(4, 32)
    positions = torch.arange(x.shape[1])[None]
    for weight in (model.blocks[0].attention.qkv.weight, model.blocks[0].feedforward.up.weight):
        weight.mul_(300)
    steps = native.native_of(model, torch.float32, x.shape[1])
    found, expected = through(model, x, positions, steps), through(model, x, positions, None)
    assert found.isfinite().all()
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2 * float(expected.abs().max()))


@pytest.mark.parametrize("why", ["training", "type", "positions", "heads", "library"])
def test_left_to_pytorch_where_the_loops_cannot(monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    model = tiny_model(width=1056, heads=4) if why == "heads" else tiny_model()
    if why == "training":
        model.train()
    if why == "library":
        monkeypatch.setattr(native, "compiled", lambda: None)
    dtype = torch.float64 if why == "type" else torch.float32
    assert native.native_of(model, dtype, 10**4 if why == "positions" else 10) is None


@needs_loops
def test_used_where_they_can() -> None:
    assert native.native_of(tiny_model(), torch.float32, 10) is not None


@needs_loops
def test_a_library_of_another_source_is_not_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """After an update that nobody installed, numbers would be passed to loops that take others."""
    other = tmp_path / "loops.c"
    other.write_bytes(loops.SOURCE.read_bytes() + b"\n")
    monkeypatch.setattr(loops, "SOURCE", other)
    assert loops.compiled.__wrapped__() is None


@needs_loops
@torch.inference_mode()
def test_a_cache_of_another_type_or_size_is_refused() -> None:
    model, x = network(2, 32)
    steps = native.native_of(model, torch.float32, 10)
    assert steps is not None
    rotation = rotary(torch.zeros(1, 1), 8)
    for like, rows in ((torch.empty(0, dtype=torch.bfloat16), 5), (torch.empty(0), 4)):
        with pytest.raises(ValueError, match="the cache is of"):
            steps.read(x[:, :1], rotation, KeyValueCache(model.config, rows, 10, like, steps))
