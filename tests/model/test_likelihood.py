"""Likelihood: a distribution over sentences, split by token type, and where the fast one differs from the exact one."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import pytest
import torch

from materium.model.conditions import Conditions, layout_id
from materium.model.likelihood import COORDINATE_TYPE, LATTICE_TYPE, SPECIES_TYPE, exact_nll, nll, token_types
from materium.tokens.vocab import ATOMS, EOS, LATTICE, PAD, SOS, Role
from tiny import TOKENIZER, grammar_of, sentences, tiny_model, told

if TYPE_CHECKING:
    from torch import Tensor

    from materium.tokens.grammar import Grammar

LAYOUTS = list(product([True, False], [False, True]))


def by_hand(grammar: Grammar, tokens: Tensor, logits: Tensor, lattice_first: bool) -> list[float]:
    """Nats of each token but the first of one sentence, from the grammar's masks, one step at a time."""
    state = grammar.start(torch.tensor([lattice_first]))
    costs = []
    for column, token in enumerate(tokens):
        if column:
            legal = logits[column - 1].masked_fill(~grammar.mask(state)[0], -torch.inf)
            costs.append(-float(legal.log_softmax(-1)[token]))
        state = grammar.advance(state, token[None])
    return costs


@pytest.mark.parametrize(("species_first", "lattice_first"), LAYOUTS)
@torch.inference_mode()
def test_exact_likelihood_is_that_of_the_masked_logits(species_first: bool, lattice_first: bool) -> None:
    config = replace(TOKENIZER, species_first=species_first)
    model, grammar = tiny_model(tokenizer=config), grammar_of(config)
    tokens, roles = sentences(grammar, lattice_first=lattice_first)
    conditions = told(len(tokens), lattice_first=lattice_first)
    hidden, table = model(tokens, roles, conditions)
    costs, _ = exact_nll(model, grammar, tokens, roles, conditions)
    for row, words in enumerate(tokens):
        expected = by_hand(grammar, words, model.logits(hidden[row], table), lattice_first)
        torch.testing.assert_close(costs[row], torch.tensor(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("species_first", "lattice_first"), LAYOUTS)
@torch.inference_mode()
def test_fast_likelihood_differs_only_where_it_says(species_first: bool, lattice_first: bool) -> None:
    """The end before the first site, sites beyond the last, and flat cells keep their share in the fast one."""
    config = replace(TOKENIZER, species_first=species_first)
    model, grammar = tiny_model(tokenizer=config), grammar_of(config)
    tokens, roles = sentences(grammar, 24, lattice_first=lattice_first)
    conditions = told(len(tokens), lattice_first=lattice_first)
    exact, kinds = exact_nll(model, grammar, tokens, roles, conditions)
    fast, same_kinds = nll(model, grammar, tokens, roles, conditions)
    assert torch.equal(kinds, same_kinds)
    state, bounded = grammar.start(torch.full((24,), lattice_first)), []
    for column in tokens.T:
        at_site = state.role == grammar.first_of_site
        edge = at_site & ((state.sites == 0) | (state.sites == config.max_sites))
        bounded.append(edge | (state.role == Role.GAMMA))
        state = grammar.advance(state, column)
    inside = ~torch.stack(bounded, dim=1)[:, 1:]
    torch.testing.assert_close(fast[inside], exact[inside], rtol=1e-4, atol=1e-4)
    assert (fast[~inside] >= exact[~inside] - 1e-4).all()
    assert (fast[~inside] > exact[~inside] + 1e-3).any()


@torch.inference_mode()
def test_probabilities_of_all_sentences_sum_to_one() -> None:
    """On a grid small enough to write down every sentence; flat cells are left out by the grammar."""
    config = replace(TOKENIZER, bins=1, max_sites=2, species=((11, 0), (17, 0)), angle_range=(60.0, 90.0))
    model, grammar = tiny_model(tokenizer=config), grammar_of(config)
    first = grammar.tokenizer.vocab.first_number
    sites = [[species, first, first, first] for species in (5, 6)]
    atoms = [*([s] for s in sites), *([s, t] for s in sites for t in sites)]
    lattices = list(product([first, first + 1], repeat=6))
    total = torch.zeros(())
    for written in atoms:
        body = [SOS, ATOMS, *(token for site in written for token in site), LATTICE]
        tokens = torch.tensor([[*body, *lattice, EOS] for lattice in lattices])
        roles = grammar.roles(tokens, torch.zeros(len(tokens), dtype=torch.bool))
        costs, _ = exact_nll(model, grammar, tokens, roles, Conditions.none(len(tokens)))
        total += (-costs.double().sum(1)).exp().sum()
    assert total.item() == pytest.approx(1, abs=1e-4)


@torch.inference_mode()
def test_forbidden_sentence_costs_infinity() -> None:
    model, grammar = tiny_model(), grammar_of()
    empty = torch.tensor([[SOS, ATOMS, LATTICE, *[grammar.tokenizer.vocab.first_number] * 6, EOS]])
    roles = torch.tensor([[0, 1, 6, 7, 8, 9, 10, 11, 12, 13]])
    costs, _ = exact_nll(model, grammar, empty, roles, Conditions.none(1))
    assert costs.sum().isinf()


@pytest.mark.parametrize("cost", [nll, exact_nll])
@torch.inference_mode()
def test_padding_costs_nothing(cost: object) -> None:
    assert callable(cost)
    model, grammar = tiny_model(), grammar_of()
    tokens, roles = sentences(grammar)
    conditions = told(len(tokens))
    padded, kinds = cost(model, grammar, tokens, roles, conditions)
    assert not padded[tokens[:, 1:] == PAD].any()
    assert (kinds[tokens[:, 1:] == PAD] == -1).all()
    for row, length in enumerate((tokens != PAD).sum(1).tolist()):
        here = slice(row, row + 1)
        alone, _ = cost(model, grammar, tokens[here, :length], roles[here, :length], conditions[here])
        torch.testing.assert_close(alone.sum(), padded[row].sum(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("lattice_first", [False, True])
def test_token_types_count_the_end_of_the_atoms_as_a_species(lattice_first: bool) -> None:
    roles = torch.from_numpy(grammar_of().tokenizer.roles(3, lattice_first=lattice_first))[None]
    kinds = token_types(roles)[0]
    counts = {kind: int((kinds == kind).sum()) for kind in (SPECIES_TYPE, COORDINATE_TYPE, LATTICE_TYPE, -1)}
    assert counts == {SPECIES_TYPE: 4, COORDINATE_TYPE: 9, LATTICE_TYPE: 6, -1: 3}
    end = roles[0].tolist().index(Role.EOS if lattice_first else Role.LATTICE)
    assert kinds[end] == SPECIES_TYPE


@pytest.mark.parametrize("cost", [nll, exact_nll])
@torch.inference_mode()
def test_forced_marks_are_free(cost: object) -> None:
    assert callable(cost)
    model, grammar = tiny_model(), grammar_of()
    tokens, roles = sentences(grammar)
    costs, kinds = cost(model, grammar, tokens, roles, told(len(tokens)))
    assert not costs[kinds == -1].any()
    assert (costs[kinds >= 0] >= 0).all()


def test_conditions_and_layout_change_the_likelihood() -> None:
    model, grammar = tiny_model(), grammar_of()
    tokens, roles = sentences(grammar)
    rows = [told(6), Conditions.none(6), Conditions.none(6, layout_id("low"))]
    with torch.inference_mode():
        sums = [nll(model, grammar, tokens, roles, conditions)[0].sum() for conditions in rows]
    assert len({round(float(total), 3) for total in sums}) == 3
