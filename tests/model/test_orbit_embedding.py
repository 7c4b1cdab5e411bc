"""Tokens share what their facts say: an element over its states, a wave over whole turns, symmetry over positions."""

from __future__ import annotations

import torch

from materium.model.orbit_embedding import cyclic_waves
from orbit_rows import random_model, tokenizer


@torch.no_grad()
def test_without_what_is_learnt_of_each_token_species_of_an_element_are_alike() -> None:
    tokens, vocab = random_model().tokens, tokenizer().vocab
    tokens.token.weight.zero_()
    table, numbers = tokens(), vocab.species_table[:, 0]
    iron = vocab.species_ids.start + torch.from_numpy((numbers == 26).nonzero()[0])
    assert len(iron) > 1
    torch.testing.assert_close(table[iron], table[iron[:1]].expand(len(iron), -1))
    assert not torch.allclose(table[iron[0]], table[vocab.species_ids.start])


@torch.no_grad()
def test_an_atom_that_is_not_there_has_no_vector() -> None:
    tokens = random_model().tokens
    vectors = tokens.atoms(torch.tensor([[-1, -1, -1], [0, 504, 252]]))
    assert not vectors[0].any()
    assert vectors[1].any()


def test_waves_end_where_they_begin() -> None:
    waves = cyclic_waves(1008, 24)
    torch.testing.assert_close(waves[0], waves[-1], atol=1e-4, rtol=0)
    assert torch.unique(waves[:-1].round(decimals=4), dim=0).shape[0] == 1008
