"""How a request chooses a token from the scores of a role: what the plain decoder and the fast one have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

from materium.generate import sample
from materium.tokens.vocab import Role

if TYPE_CHECKING:
    from torch import Tensor

    from materium.generate.request import Request
    from materium.tokens.grammar import Grammar

COORDINATES = frozenset((Role.X, Role.Y, Role.Z))
"""Their axes are cyclic."""
NUMBERS = COORDINATES | {Role.A, Role.B, Role.C, Role.ALPHA, Role.BETA, Role.GAMMA}


def choose(  # noqa: PLR0913, PLR0917 - where the sentences stand, what is asked, and scores with a number
    role: Role, grammar: Grammar, request: Request, logits: Tensor, uniform: Tensor, lattice_first: Tensor
) -> Tensor:
    """Return the places within `grammar.spans[role]` that a request draws from masked logits of shape (B, span).

    `lattice_first`, shape (B,), tells which mark ends the atoms.
    """
    if role == grammar.first_of_site:
        logits = sample.weigh(logits, grammar.end(lattice_first) - grammar.spans[role].start, request.end_odds)
    geometry = request.temperature if request.geometry_temperature is None else request.geometry_temperature
    if request.geometry_reach is not None and role in NUMBERS:
        reach, cyclic = int(request.geometry_reach * grammar.tokenizer.config.bins), role in COORDINATES
        believed = sample.cut(logits, request.top_p)
        return sample.settle(believed, uniform, geometry, grammar.axis(role), reach, cyclic=cyclic)
    warm = sample.temper(logits, request.temperature if role == Role.SPECIES else geometry)
    return sample.draw(sample.cut(warm, request.top_p), uniform)
