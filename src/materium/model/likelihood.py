"""Negative log-likelihood of sentences, token by token, over the tokens that the grammar allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from materium.model import fused
from materium.model.fused import fusible
from materium.tokens.vocab import EOS, LATTICE, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from materium.model.conditions import Conditions
    from materium.model.transformer import Transformer
    from materium.tokens.grammar import Grammar

TOKEN_TYPES = ("species", "coordinate", "lattice")
SPECIES_TYPE, COORDINATE_TYPE, LATTICE_TYPE = range(len(TOKEN_TYPES))


def token_types(roles: Tensor) -> Tensor:
    """Return the token type of each role, -1 for marks that the grammar forces; the end of the atoms is a species.

    [LATTICE] after atoms, and [EOS] after atoms, are the choice 'no further site': their cost belongs to species.
    """
    kinds = torch.full_like(roles, -1)
    kinds[roles == Role.SPECIES] = SPECIES_TYPE
    kinds[(roles >= Role.X) & (roles <= Role.Z)] = COORDINATE_TYPE
    kinds[(roles >= Role.A) & (roles <= Role.GAMMA)] = LATTICE_TYPE
    ends = torch.zeros_like(roles, dtype=torch.bool)
    before = (roles[:, :-1] >= Role.SPECIES) & (roles[:, :-1] <= Role.Z)
    ends[:, 1:] = before & ((roles[:, 1:] == Role.LATTICE) | (roles[:, 1:] == Role.EOS))
    kinds[ends] = SPECIES_TYPE
    return kinds


def nll(
    model: Transformer, grammar: Grammar, tokens: Tensor, roles: Tensor, conditions: Conditions
) -> tuple[Tensor, Tensor]:
    """Return nats of each token but the first, and the token types, both (B, tokens - 1); forced marks cost nothing.

    Fast, for training: against `exact_nll`, the end before the first site and a site beyond the last one that fits
    keep their share of the probability, and so does a γ that would leave a flat cell.
    """
    table = model.table()
    outlook = model.read(tokens[:, :-1], roles[:, :-1], conditions, None, table)
    kinds = token_types(roles)[:, 1:]
    targets = tokens[:, 1:]
    slots = _slots(roles[:, 1:], kinds, int(grammar.first_of_site))
    ends = torch.where(roles[:, 1] == Role.LATTICE, EOS, LATTICE)[:, None].expand_as(targets)
    result = torch.zeros(targets.shape, dtype=torch.float32, device=tokens.device)
    for role, chosen, columns in _groups(grammar, slots, kinds):
        logits = model.logits_at(role, columns, outlook.at(chosen), table)[:, 0]
        if columns.start == 0:
            legal = grammar.legal[slots[chosen]][:, columns]
            at_site = slots[chosen] == grammar.first_of_site
            legal = legal.scatter(1, ends[chosen][:, None], at_site[:, None])
            logits = logits.masked_fill(~legal, float("-inf"))
        result = result.masked_scatter(chosen, _costs(logits, targets[chosen] - columns.start))
    return result, kinds


def _costs(logits: Tensor, targets: Tensor) -> Tensor:
    """What targets (rows,) cost in nats by logits (rows, tokens), (rows,) in float32."""
    if fusible(logits):
        return fused.cross_entropy(logits, targets)
    return functional.cross_entropy(logits.float(), targets, reduction="none")


def exact_nll(
    model: Transformer, grammar: Grammar, tokens: Tensor, roles: Tensor, conditions: Conditions
) -> tuple[Tensor, Tensor]:
    """Return what `nll` does, under the very masks of sampling: a row's sum is the exact -ln p at temperature 1.

    A sentence that the grammar forbids costs infinity.
    """
    hidden, table = model(tokens[:, :-1], roles[:, :-1], conditions)
    state = grammar.advance(grammar.start(roles[:, 1] == Role.LATTICE), tokens[:, 0])
    costs = []
    for column, token in enumerate(tokens[:, 1:].T):
        logits = model.logits(hidden[:, column], table).float().masked_fill(~grammar.mask(state), float("-inf"))
        costs.append(functional.cross_entropy(logits, token, reduction="none"))
        state = grammar.advance(state, token)
    return torch.stack(costs, dim=1), token_types(roles)[:, 1:]


def _slots(roles: Tensor, kinds: Tensor, first_of_site: int) -> Tensor:
    """The role that the grammar expects at each token: an end of the atoms stands where a site could begin."""
    is_end = (kinds == SPECIES_TYPE) & (roles != Role.SPECIES)
    return torch.where(is_end, first_of_site, roles)


def _groups(grammar: Grammar, slots: Tensor, kinds: Tensor) -> Iterator[tuple[Role, Tensor, slice]]:
    """A role, the tokens that share its range of the vocabulary, and that range: nothing is computed in vain."""
    vocab = grammar.tokenizer.vocab
    starts_site = (slots == grammar.first_of_site) & (kinds >= 0)
    if grammar.tokenizer.config.species_first:
        yield Role.SPECIES, starts_site, slice(0, vocab.first_number)
    else:
        yield Role.X, starts_site, slice(0, len(vocab))
        yield Role.SPECIES, slots == Role.SPECIES, slice(0, vocab.first_number)
    coordinate = (kinds == COORDINATE_TYPE) & ~starts_site
    yield Role.X, coordinate, slice(vocab.first_number, vocab.first_number + vocab.bins)
    yield Role.A, kinds == LATTICE_TYPE, slice(vocab.first_number, len(vocab))
