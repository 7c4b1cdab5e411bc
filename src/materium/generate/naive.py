"""The decoder in its plainest form: one sentence, no cache, the whole prefix again for every token.

It defines what the fast engine must give: the same sentences for the same seeds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from materium.generate import sample
from materium.generate.automaton import Keeper
from materium.generate.choice import Scores, choose
from materium.generate.plan import Plan
from materium.tokens.vocab import SOS, Role

if TYPE_CHECKING:
    from materium.generate.request import Request
    from materium.model.conditions import Conditions
    from materium.model.transformer import Transformer
    from materium.tokens.grammar import Grammar


@torch.inference_mode()
def write_sentence(model: Transformer, grammar: Grammar, request: Request, index: int) -> torch.Tensor:
    """Return the tokens of structure `index` of a request, shape (tokens,)."""
    plan = Plan(request, model.config.seen, grammar.tokenizer)
    told, untold = plan.told([index]), request.untold(1)
    keeper = Keeper(plan.automata([index]), grammar)
    state = grammar.advance(grammar.start(torch.tensor([request.lattice_first])), torch.tensor([SOS]))
    tokens, roles = torch.tensor([[SOS]]), torch.tensor([[int(Role.SOS)]])
    for uniform in sample.uniforms(request.seed, [plan.within(index)], grammar.tokenizer.max_tokens)[0]:
        if state.role == Role.PAD:
            break
        logits = model.logits(*_last(model, tokens, roles, told))
        if request.guidance != 1:
            logits = sample.guide(logits, model.logits(*_last(model, tokens, roles, untold)), request.guidance)
        role, legal = Role(int(state.role)), grammar.mask(state)
        open_, span = keeper.mask(role, legal, 0, np.zeros(1, dtype=int)), grammar.spans[role]
        scores = Scores(logits[:, span], legal[:, span], open_[:, span])
        token = choose(role, grammar, request, scores, uniform[None], state.lattice_first)[0] + span.start
        roles = torch.cat([roles, grammar.role_of(state, token)[:, None]], dim=1)
        tokens = torch.cat([tokens, token[:, None]], dim=1)
        state = grammar.advance(state, token)
        keeper.take(token)
    return tokens[0]


def _last(
    model: Transformer, tokens: torch.Tensor, roles: torch.Tensor, conditions: Conditions
) -> tuple[torch.Tensor, torch.Tensor]:
    hidden, table = model(tokens, roles, conditions)
    return hidden[:, -1], table
