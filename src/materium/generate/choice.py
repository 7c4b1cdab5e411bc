"""How a request chooses a token from the scores of a role: what the plain decoder and the fast one have in common."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch

from materium.generate import sample
from materium.model.loops import compiled, parts_of, run
from materium.tokens.vocab import Role

if TYPE_CHECKING:
    from torch import Tensor

    from materium.generate.request import Request
    from materium.tokens.grammar import Grammar

COORDINATES = frozenset((Role.X, Role.Y, Role.Z))
"""Their axes are cyclic."""
NUMBERS = COORDINATES | {Role.A, Role.B, Role.C, Role.ALPHA, Role.BETA, Role.GAMMA}


class Scores(NamedTuple):
    """What is chosen from: B sentences, in all of which the same role comes next.

    Attributes
    ----------
    logits
        Of the tokens in the span of the role, (B, span).
    legal
        Which of them the grammar allows, bool, (B, span), or (1, span) where they are the same for all.
    open
        Which the request allows besides, likewise; all its tokens are legal.
    """

    logits: Tensor
    legal: Tensor
    open: Tensor


class Way(NamedTuple):
    """How a token is drawn: from all tokens, and then perhaps once more from those near it.

    Attributes
    ----------
    marked, odds
        The token of each row of which the odds are multiplied, (B,), and by what; None for none.
    temperature, again
        Of the first draw and of the second one; None where the first one stands.
    axis, reach, cyclic
        As in `sample.settle`.
    """

    marked: Tensor | None
    odds: float
    temperature: float
    again: float | None = None
    axis: slice = slice(0, 1)
    reach: int = 0
    cyclic: bool = False


def choose(  # noqa: PLR0913, PLR0917 - where the sentences stand, what is asked, and scores with a number
    role: Role, grammar: Grammar, request: Request, scores: Scores, uniform: Tensor, lattice_first: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the places within `grammar.spans[role]` that a request draws, and ln of the sum of exp over the legal.

    Parameters
    ----------
    uniform
        Random numbers in [0, 1), (B,), float64.
    lattice_first
        Shape (B,); tells which mark ends the atoms.
    """
    way = _way(role, grammar, request, lattice_first)
    types = scores.logits.dtype, uniform.dtype
    fits = scores.logits.device.type == "cpu" and types == (torch.float32, torch.float64) and request.top_p >= 1
    if fits and compiled() is not None:
        return _in_loops(scores, way, uniform)
    return _in_steps(scores, way, uniform, request.top_p)


def _way(role: Role, grammar: Grammar, request: Request, lattice_first: Tensor) -> Way:
    starts = role == grammar.first_of_site and request.end_odds != 1
    marked = grammar.end(lattice_first) - grammar.spans[role].start if starts else None
    geometry = request.temperature if request.geometry_temperature is None else request.geometry_temperature
    if request.geometry_reach is not None and role in NUMBERS:
        reach = int(request.geometry_reach * grammar.tokenizer.config.bins)
        return Way(marked, request.end_odds, 1.0, geometry, grammar.axis(role), reach, role in COORDINATES)
    return Way(marked, request.end_odds, request.temperature if role == Role.SPECIES else geometry)


def _in_steps(scores: Scores, way: Way, uniform: Tensor, top_p: float) -> tuple[Tensor, Tensor]:
    """The links of `sample`, one after the other."""
    norms = sample.mask(scores.logits, scores.legal).logsumexp(-1).double()
    logits = sample.mask(scores.logits, scores.open)
    if way.marked is not None:
        logits = sample.weigh(logits, way.marked, way.odds)
    warm = sample.cut(sample.temper(logits, way.temperature), top_p)
    if way.again is None:
        return sample.draw(warm, uniform), norms
    return sample.settle(warm, uniform, way.again, way.axis, way.reach, cyclic=way.cyclic), norms


def _in_loops(scores: Scores, way: Way, uniform: Tensor) -> tuple[Tensor, Tensor]:
    """The same in one pass over each row: 1,000 numbers do not leave the processor's nearest cache."""
    logits, legal, open_ = (part.contiguous() for part in scores)
    rows, tokens = logits.shape
    marked = torch.full((rows,), -1) if way.marked is None else way.marked.contiguous()
    odds = 0.0 if way.marked is None else math.log(way.odds)
    again = 0.0 if way.again is None else 1 / way.again
    settings = torch.tensor([odds, 1 / way.temperature, again, sample.FINER], dtype=torch.float64)
    apart = [0 if len(part) == 1 else tokens for part in (legal, open_)]
    first, room, parts = way.axis.start, tokens + 2 * way.reach + 1, parts_of(rows, tokens)
    places, norms = torch.empty(rows, dtype=torch.long), torch.empty(rows, dtype=torch.float64)
    at = (logits, legal, open_, uniform.contiguous(), marked, settings, torch.empty(parts, room), places, norms)
    shape = (*apart, tokens, first, way.axis.stop - first, way.reach, way.cyclic, room)
    run("choose", torch.float32, rows, parts, at, shape)
    return places, norms
