"""Attention: against PyTorch's own, causal, with grouped heads, and with rotary positions that only know distances."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from materium.model.attention import Attention, KeyValueCache, rotary, rotate
from materium.model.config import ModelConfig


def attention(kv_heads: int) -> Attention:
    torch.manual_seed(0)
    return Attention(ModelConfig(width=16, layers=1, heads=4, kv_heads=kv_heads, hidden=8), 0)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_equals_the_attention_of_pytorch(kv_heads: int) -> None:
    layer, x = attention(kv_heads), torch.randn(3, 7, 16)
    rotation = rotary(torch.arange(7)[None], 4)
    heads = layer.qkv(x).view(3, 7, -1, 4).transpose(1, 2)
    query, key, value = heads.split([4, kv_heads, kv_heads], dim=1)
    expected = functional.scaled_dot_product_attention(
        rotate(query, rotation), rotate(key, rotation), value, is_causal=True, enable_gqa=True
    )
    found = layer(x, rotation)
    torch.testing.assert_close(found, layer.out(expected.transpose(1, 2).reshape(3, 7, 16)))


def test_rotation_keeps_lengths_and_products_at_equal_distance() -> None:
    torch.manual_seed(1)
    q, k = torch.randn(2, 1, 1, 1, 8)

    def product(first: int, second: int) -> torch.Tensor:
        positions = [torch.tensor([[p]]) for p in (first, second)]
        return (rotate(q, rotary(positions[0], 8)) * rotate(k, rotary(positions[1], 8))).sum()

    turned = rotate(q, rotary(torch.tensor([[9]]), 8))
    torch.testing.assert_close(turned.norm(), q.norm())
    torch.testing.assert_close(product(3, 1), product(42, 40))
    assert not torch.isclose(product(3, 1), product(3, 2))


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("block", [1, 2, 16])
@pytest.mark.parametrize("pieces", [[7], [1] * 7, [3, 1, 3]])
def test_cache_in_pieces_equals_one_pass(
    monkeypatch: pytest.MonkeyPatch, pieces: list[int], block: int, kv_heads: int
) -> None:
    monkeypatch.setattr("materium.model.attention.BLOCK_BYTES", block * 4 * 4)
    layer, x = attention(kv_heads), torch.randn(2, 7, 16)
    config = ModelConfig(width=16, layers=1, heads=4, kv_heads=kv_heads, hidden=8)
    cache = KeyValueCache(config, 2, 9, x)
    found, start = [], 0
    for piece in pieces:
        positions = torch.arange(start, start + piece)[None]
        found.append(layer(x[:, start : start + piece], rotary(positions, 4), cache))
        cache.length = start = start + piece
    torch.testing.assert_close(torch.cat(found, dim=1), layer(x, rotary(torch.arange(7)[None], 4)))
    assert cache.size == min(block, 9)
    assert len(cache.blocks) == -(-7 // block)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize("block", [1, 2, 3, 16])
@pytest.mark.parametrize("pieces", [[3, 1, 1, 2], [1, 1, 4, 1], [2, 2, 2, 1]])
def test_sentences_that_are_left_go_on_as_if_they_had_been_alone(
    monkeypatch: pytest.MonkeyPatch, pieces: list[int], block: int, kv_heads: int
) -> None:
    """Sentences are dropped, and others move to their places, after each piece."""
    monkeypatch.setattr("materium.model.attention.BLOCK_BYTES", block * 4 * 4)
    layer, x = attention(kv_heads), torch.randn(5, 7, 16)
    cache = KeyValueCache(ModelConfig(width=16, layers=1, heads=4, kv_heads=kv_heads, hidden=8), 5, 9, x)
    standing, start = torch.arange(5), 0
    for piece, rows in zip(pieces, ([0, 4, 2, 3], [3, 1, 2], [0, 2], [1]), strict=True):
        positions = torch.arange(start, start + piece)[None]
        found = layer(x[standing, start : start + piece], rotary(positions, 4), cache)
        whole = layer(x[standing, : start + piece], rotary(torch.arange(start + piece)[None], 4))
        torch.testing.assert_close(found, whole[:, start:])
        cache.length = start = start + piece
        cache.keep(torch.tensor(rows))
        standing = standing[rows]


def test_a_cache_refuses_what_it_has_no_room_or_no_type_for() -> None:
    config = ModelConfig(width=16, layers=1, heads=4, kv_heads=2, hidden=8)
    cache = KeyValueCache(config, 1, 4, torch.zeros(1))
    long, half = torch.zeros(1, 2, 5, 4), torch.zeros(1, 2, 1, 4, dtype=torch.bfloat16)
    for more, reason in ((long, "5 positions; room is for 4"), (half, r"bfloat16; the cache holds torch\.float32")):
        with pytest.raises(ValueError, match=reason):
            cache.append(0, more, more)


def kept(rows: list[int]) -> tuple[KeyValueCache, int]:
    """A cache of four sentences, whose keys are their numbers and whose values the opposite, less some."""
    config = ModelConfig(width=16, layers=1, heads=4, kv_heads=2, hidden=8)
    cache = KeyValueCache(config, 4, 8, torch.zeros(1))
    keys = torch.arange(4.0)[:, None, None, None].expand(4, 2, 3, 4)
    cache.append(0, keys, -keys)
    cache.length, where = 3, cache.blocks[0].data_ptr()
    cache.keep(torch.tensor(rows))
    return cache, where


def test_cache_keeps_the_rows_that_are_named() -> None:
    cache, _ = kept([2, 0])
    keys, values = cache.blocks[0][:, 0, :, 1, 2, 3].tolist()
    assert keys == [2, 0]
    assert values == [-2, 0]
    cache.append(0, torch.full((2, 2, 1, 4), 7.0), torch.full((2, 2, 1, 4), 8.0))
    assert cache.blocks[0][0, 0, :, 0, 3, 0].tolist() == [7, 7]


def test_sentences_that_keep_their_place_are_not_copied() -> None:
    cache, where = kept([0, 3, 2])
    assert cache.blocks[0][0, 0, :, 1, 2, 3].tolist() == [0, 3, 2]
    assert cache.blocks[0].data_ptr() == where


def test_a_new_block_is_as_wide_as_the_sentences_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("materium.model.attention.BLOCK_BYTES", 2 * 4 * 4)
    cache, _ = kept([0, 3])
    cache.append(0, torch.ones(2, 2, 2, 4), torch.ones(2, 2, 2, 4))
    assert [block.shape[2] for block in cache.blocks] == [2, 2, 2]
