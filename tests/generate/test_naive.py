"""The plain decoder: what it writes can be read, and follows from seed and number alone."""

from __future__ import annotations

import pytest
import torch

from materium.generate.naive import write_sentence
from materium.generate.request import Request
from tiny import grammar_of, tiny_model

MODEL, GRAMMAR = tiny_model(), grammar_of()


@pytest.mark.parametrize("lattice_first", [False, True])
def test_sentences_can_be_read(lattice_first: bool) -> None:
    request = Request(lattice_first=lattice_first)
    for index in range(5):
        tokens = write_sentence(MODEL, GRAMMAR, request, index)
        crystal = GRAMMAR.tokenizer.decode(tokens.numpy())
        assert 1 <= len(crystal) <= GRAMMAR.tokenizer.config.max_sites


def test_seed_and_number_decide() -> None:
    first = write_sentence(MODEL, GRAMMAR, Request(seed=1), 4)
    assert torch.equal(write_sentence(MODEL, GRAMMAR, Request(seed=1, n=1000), 4), first)
    assert not torch.equal(write_sentence(MODEL, GRAMMAR, Request(seed=2), 4), first)
    assert not torch.equal(write_sentence(MODEL, GRAMMAR, Request(seed=1), 5), first)


def test_cold_sampling_takes_the_likeliest() -> None:
    """At temperature near 0, and with a top_p near 0, every structure is the same: the greedy one."""
    cold = [write_sentence(MODEL, GRAMMAR, Request(seed=s, temperature=1e-6), s) for s in range(3)]
    narrow = [write_sentence(MODEL, GRAMMAR, Request(seed=s, top_p=1e-9), s) for s in range(3)]
    assert all(torch.equal(tokens, cold[0]) for tokens in [*cold, *narrow])
