"""The fewest operations and bytes that the work needs, counted from the network's shape.

An operation is a multiplication or an addition; those of norms, rotations and softmax, some hundredths, do not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from materium.tokens.tokenizer import LATTICE_TOKENS, TOKENS_PER_SITE
from materium.tokens.vocab import Role, Vocabulary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from materium.model.config import ModelConfig
    from materium.tokens.grammar import Grammar

BACKWARD = 2
"""A backward pass has two products for each one of the forward pass: gradients of weights, and of inputs."""
FLOAT32 = 4
"""Bytes."""
BEGINNING = 3
"""Prefix, [SOS] and [ATOMS], which are alike in all sentences that are told nothing: they are needed once."""


def block_weights(config: ModelConfig) -> int:
    """Return how many weights of the blocks a token is multiplied by."""
    head = config.width // config.heads
    attention = config.width * head * (config.heads + 2 * config.kv_heads) + config.width**2
    return config.layers * (attention + 3 * config.width * config.hidden)


def token_operations(config: ModelConfig, before: int) -> int:
    """Return the operations of the blocks for a token that sees `before` positions, itself among them."""
    return 2 * block_weights(config) + config.layers * 4 * config.width * before


def choice_operations(grammar: Grammar, config: ModelConfig) -> dict[Role, int]:
    """Return the operations of choosing a token of each role among those that may come there."""
    return {role: 2 * config.width * (span.stop - span.start) for role, span in zip(Role, grammar.spans, strict=True)}


def sampling_operations(grammar: Grammar, config: ModelConfig, sites: Sequence[int]) -> float:
    """Return the operations that crystals of so many sites need, told nothing: no token is computed that none follows.

    The prefix is one position; what is alike in all is read once, the last angle and the end never.
    """
    choice = choice_operations(grammar, config)
    of_site = sum(choice[role] for role in (Role.SPECIES, Role.X, Role.Y, Role.Z))
    of_lattice = choice[Role.SPECIES] + sum(choice[Role(role)] for role in range(Role.A, Role.GAMMA + 1))
    counts, crystals = np.unique(np.asarray(sites), return_counts=True)
    total = float(sum(token_operations(config, position) for position in range(1, BEGINNING + 1)))
    for count, times in zip(counts.tolist(), crystals.tolist(), strict=True):
        read = BEGINNING + TOKENS_PER_SITE * count + LATTICE_TOKENS  # … [LATTICE] to beta
        blocks = sum(token_operations(config, position) for position in range(BEGINNING + 1, read + 1))
        total += times * (blocks + of_site * count + of_lattice)
    return total


def sampling_bytes(config: ModelConfig, sites: Sequence[int], batch: int) -> float:
    """Return the bytes that must come from memory: keys and values so far, for each token; weights, for each step."""
    kept = 2 * config.layers * config.kv_heads * (config.width // config.heads) * FLOAT32
    read = [BEGINNING + TOKENS_PER_SITE * count + LATTICE_TOKENS for count in sites]
    steps = max(read, default=0) * -(-len(read) // batch)
    return kept * float(sum(n * (n + 1) / 2 for n in read)) + steps * block_weights(config) * FLOAT32


def training_operations(config: ModelConfig, lengths: Sequence[int]) -> float:
    """Return the operations of one step forwards and backwards on sentences of so many tokens, prefixes apart."""
    vocab = Vocabulary(config.tokenizer.species, config.tokenizer.bins)
    choice = 2 * config.width * (3 * vocab.bins + vocab.first_number) / TOKENS_PER_SITE  # as in a site
    forward = sum(n * choice + sum(token_operations(config, position) for position in range(1, n + 1)) for n in lengths)
    return (1 + BACKWARD) * forward
