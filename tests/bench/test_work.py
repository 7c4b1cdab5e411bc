"""The fewest operations: counted by hand here, and never more than what is really done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from torch.utils.flop_counter import FlopCounterMode

from materium.bench.sampling import sites_of
from materium.bench.work import (
    block_weights,
    choice_operations,
    sampling_bytes,
    sampling_operations,
    token_operations,
    training_operations,
)
from materium.generate.request import Request
from materium.model.config import ModelConfig
from materium.tokens.vocab import Role
from tiny import TOKENIZER, grammar_of, tiny_engine, tiny_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_weights_of_the_blocks_are_those_of_the_network(kv_heads: int) -> None:
    model = tiny_model(kv_heads=kv_heads)
    matrices = [weight.numel() for weight in model.blocks.parameters() if weight.ndim == 2]
    assert block_weights(model.config) == sum(matrices)


def test_choices_are_among_what_may_come() -> None:
    """24 steps of the grid; 12 species after two marks that may end the atoms; 25 points of a lattice; one mark."""
    choices = choice_operations(grammar_of(), ModelConfig.preset("tiny", tokenizer=TOKENIZER))
    roles = (Role.X, Role.SPECIES, Role.GAMMA, Role.EOS)
    assert [choices[role] // (2 * 32) for role in roles] == [24, 2 + 12, 25, 1]


def test_a_crystal_of_one_atom_by_hand() -> None:
    """Thirteen positions are read: the prefix, two marks, four tokens of the site, the third mark, five numbers."""
    config, grammar = ModelConfig.preset("tiny", tokenizer=TOKENIZER), grammar_of()
    blocks = 13 * 2 * block_weights(config) + config.layers * 4 * config.width * (13 * 14 // 2)
    choices = 2 * config.width * (2 * 14 + 3 * 24 + 6 * 25)
    alone = sampling_operations(grammar, config, [1])
    assert alone == blocks + choices
    shared = 3 * 2 * block_weights(config) + config.layers * 4 * config.width * (3 * 4 // 2)
    assert sampling_operations(grammar, config, [1, 1]) == 2 * alone - shared
    assert sampling_operations(grammar, config, [1, 1, 2]) > 3 * alone - 2 * shared


def test_no_more_than_what_is_done(tmp_path: Path) -> None:
    engine = tiny_engine(tmp_path)
    with FlopCounterMode(display=False) as counter:
        samples = list(engine.samples(Request(n=16)))
    needed = sampling_operations(engine.grammar, engine.model.config, sites_of(samples))
    assert 0 < needed < counter.get_total_flops()


def test_sites_of_sentences(tmp_path: Path) -> None:
    engine = tiny_engine(tmp_path)
    samples = list(engine.samples(Request(n=16)))
    assert sites_of(samples) == [len(engine.read(sample)) for sample in samples]


def test_bytes_of_a_crystal_of_five_atoms_by_hand() -> None:
    """Keys and values of two layers, one head of 16 numbers each, for all before; weights once a step and batch."""
    config, positions = ModelConfig.preset("tiny"), 9 + 4 * 5
    keys = 2 * 2 * 16 * 4 * positions * (positions + 1) / 2
    weights = 4 * block_weights(config) * positions
    assert sampling_bytes(config, [5], 1) == keys + weights
    assert sampling_bytes(config, [5] * 8, 1) == 8 * (keys + weights)
    assert sampling_bytes(config, [5] * 8, 8) == 8 * keys + weights


def test_training_is_three_forward_passes() -> None:
    """At least those of the blocks: forwards, and backwards to the weights and to the inputs."""
    config = ModelConfig.preset("base")
    blocks = sum(token_operations(config, position) for position in range(1, 11))
    assert 3 * blocks < training_operations(config, [10]) < 4 * blocks
