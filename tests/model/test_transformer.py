"""Laws of the network: the cache changes nothing, the future changes nothing, padding changes nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import pytest
import torch

from materium.model.attention import KeyValueCache
from materium.tokens.vocab import PAD, Role
from tiny import TOKENIZER, grammar_of, sentences, tiny_model, told

if TYPE_CHECKING:
    from torch import Tensor

    from materium.model.conditions import Conditions
    from materium.model.transformer import Transformer

SHAPES = list(product(["standard", "blockwise"], ["sum", "separate"], [1, 2], [False, True]))


def logits(model: Transformer, tokens: Tensor, roles: Tensor, conditions: Conditions) -> Tensor:
    hidden, table = model(tokens, roles, conditions)
    return model.logits(hidden, table)


@pytest.mark.parametrize(("positions", "prefix", "kv_heads", "lattice_first"), SHAPES)
@pytest.mark.usefixtures("small_blocks")
@torch.inference_mode()
def test_cached_logits_equal_those_of_one_pass(positions: str, prefix: str, kv_heads: int, lattice_first: bool) -> None:
    model = tiny_model(positions=positions, prefix=prefix, kv_heads=kv_heads)
    tokens, roles = sentences(grammar_of(), lattice_first=lattice_first)
    conditions = told(len(tokens), lattice_first=lattice_first)
    room = model.conditions.positions(conditions) + tokens.shape[1]
    cache = KeyValueCache(model.config, len(tokens), room, model.table())
    found, now = [], conditions
    for column in range(tokens.shape[1]):
        here = slice(column, column + 1)
        hidden, table = model(tokens[:, here], roles[:, here], now, cache)
        found.append(model.logits(hidden, table))
        now = None
    assert cache.length == room
    torch.testing.assert_close(torch.cat(found, dim=1), logits(model, tokens, roles, conditions), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("lattice_first", [False, True])
@torch.inference_mode()
def test_logits_of_a_part_of_the_vocabulary_are_those_of_the_whole(lattice_first: bool) -> None:
    """Whatever role comes next: what candidates gain is left out only where it is nothing."""
    model, grammar = tiny_model(), grammar_of()
    tokens, roles = sentences(grammar, lattice_first=lattice_first)
    whole = logits(model, tokens, roles, told(len(tokens), lattice_first=lattice_first))
    outlook = model.read(tokens, roles, told(len(tokens), lattice_first=lattice_first), None, model.table())
    for role in map(Role, roles[:, 1:].unique().tolist()):
        rows, columns = (roles[:, 1:] == role).nonzero().T
        part = model.logits_at(role, grammar.spans[role], outlook, model.table())[rows, columns]
        expected = whole[rows, columns][:, grammar.spans[role]]
        torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("positions", "prefix"), list(product(["standard", "blockwise"], ["sum", "separate"])))
@torch.inference_mode()
def test_later_tokens_never_change_earlier_logits(positions: str, prefix: str) -> None:
    model, conditions = tiny_model(positions=positions, prefix=prefix), told(6)
    tokens, roles = sentences(grammar_of())
    before = logits(model, tokens, roles, conditions)
    for column in range(1, tokens.shape[1]):
        changed, other = tokens.clone(), roles.clone()
        changed[:, column] = (tokens[:, column] + 3) % len(model.embedding.vocab)
        other[:, column] = Role.BETA
        after = logits(model, changed, other, conditions)
        assert torch.equal(after[:, :column], before[:, :column])
        assert not torch.allclose(after[:, column], before[:, column])


@torch.inference_mode()
def test_padding_on_the_right_changes_nothing() -> None:
    model = tiny_model()
    tokens, roles = sentences(grammar_of())
    conditions = told(len(tokens))
    padded = logits(model, tokens, roles, conditions)
    for row, length in enumerate((tokens != PAD).sum(1).tolist()):
        here = slice(row, row + 1)
        alone = logits(model, tokens[here, :length], roles[here, :length], conditions[here])
        torch.testing.assert_close(padded[here, :length], alone, rtol=1e-4, atol=1e-4)  # kernels go by shape


@torch.inference_mode()
def test_rows_of_a_batch_do_not_see_each_other() -> None:
    model, conditions = tiny_model(), told(6)
    tokens, roles = sentences(grammar_of())
    before = logits(model, tokens, roles, conditions)
    flipped = logits(model, tokens.flip(0), roles.flip(0), conditions[torch.arange(5, -1, -1)])
    torch.testing.assert_close(flipped.flip(0), before, rtol=1e-4, atol=1e-4)


def test_blockwise_positions_repeat_within_the_atoms() -> None:
    """Paper, section 3.2: species and coordinates of every site stand at 0 to 3."""
    model = tiny_model(positions="blockwise")
    roles = torch.from_numpy(grammar_of().tokenizer.roles(2))[None]
    found = model._positions(roles, prefix=3, start=0)
    assert found[0].tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 0, 1, 2, 3, 13, 14, 15, 16, 17, 18, 19, 20]


def test_numbers_know_their_value_and_the_grid_is_periodic_for_coordinates() -> None:
    """With Fourier features alone, 0 and the point after the last are one; without them every number is free."""
    model = tiny_model()
    numbers = model.embedding.vocab.first_number
    torch.nn.init.zeros_(model.embedding.token.weight)
    table = model.table()[numbers:]
    torch.testing.assert_close(table[0], table[-1], atol=1e-4, rtol=0)
    assert table[1].norm() > 0
    assert tiny_model(fourier=False).embedding.value is None


def test_output_is_tied_to_the_embedding() -> None:
    names = [name for name, _ in tiny_model().named_parameters()]
    assert sum("token.weight" in name for name in names) == 1
    assert not any("head" in name for name in names)


def test_dropout_acts_in_training_only() -> None:
    model = tiny_model(dropout=0.5)
    tokens, roles = sentences(grammar_of())
    one, two = (logits(model, tokens, roles, told(6)) for _ in range(2))
    assert torch.equal(one, two)
    model.train()
    assert not torch.equal(logits(model, tokens, roles, told(6)), one)


def test_every_parameter_gets_a_gradient() -> None:
    """A weight without one would be decayed and shipped for nothing; both layouts and a category are told."""
    model = tiny_model(tokenizer=replace(TOKENIZER, max_sites=2))
    tokens, roles = sentences(grammar_of(model.config.tokenizer), 16)
    conditions = told(16)
    conditions.scalars[0] = 1.0
    logits(model, tokens, roles, conditions).square().mean().backward()
    assert [name for name, weight in model.named_parameters() if weight.grad is None] == []
