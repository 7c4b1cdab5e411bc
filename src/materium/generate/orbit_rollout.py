"""One sequence that is being sampled: its state, random numbers, given tokens and scores, and when it starts anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from materium.data.orbit_batch import HEADS
from materium.generate.orbit_draw import choose
from materium.tokens.orbit_state import OrbitState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from materium.generate.orbit_plan import OrbitPlan
    from materium.tokens.orbit_tokenizer import OrbitTokenizer
    from materium.tokens.orbit_vocab import Role

MAX_CHOICES = 512
"""Random numbers of an attempt: more than the longest sequence has choices."""


UNCONSTRAINED = frozenset({"species", "length", "angle", "coordinate"})
"""Heads whose tokens no constraint forbids."""
HEAD_OF = {role: head for head, roles in HEADS.items() for role in roles}


class TokenScore(NamedTuple):
    """A choice: its role, the slot after which it was made, and its nats under the masks of the grammar."""

    role: Role
    slot: int
    nats: float


class Rollout:
    """A sequence under way, and, once `is_done`, the sample.

    Attributes
    ----------
    index
        Its number.
    state
        What it holds so far, under the masks of grammar and constraints.
    scores
        Its choices.
    open_nats
        Sum of ln of the probability that the constraints left, over all choices: the weight of a sequential Monte
        Carlo sampler.
    dead_ends, rejected
        How many attempts ended without a legal token, and at a token that breaks the constraints.
    failure
        Why there is no crystal; None for a crystal.
    """

    def __init__(self, tokenizer: OrbitTokenizer, plan: OrbitPlan, index: int) -> None:
        """Start the first attempt."""
        self.tokenizer, self.plan, self.index = tokenizer, plan, index
        self.given = plan.given_of(index)
        self.dead_ends = self.rejected = 0
        self.failure: str | None = None
        self._start()

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to choose."""
        return self.state.role is None or self.failure is not None

    @property
    def log_likelihood(self) -> float:
        """Ln p of the tokens, in nats, under the masks of the grammar, at temperature 1."""
        return float(sum(score.nats for score in self.scores))

    @property
    def given_token(self) -> int | None:
        """The token that must come next; None if it is drawn."""
        return self.given[len(self.scores)] if len(self.scores) < len(self.given) else None

    @property
    def uniform(self) -> float:
        """The random number of the next choice."""
        return self.numbers[len(self.scores)]

    def take(self, token: int, nats: float, open_nats: float) -> None:
        """Append a token."""
        self.scores.append(TokenScore(self.state.next_role, len(self.state.slots) - 1, nats))
        self.open_nats += open_nats
        self.state.advance(token)
        if self.grammar is not self.state:
            self.grammar.advance(token)

    def resume(self, tokens: Sequence[int], scores: Sequence[TokenScore], open_nats: float) -> None:
        """Take tokens whose scores are known from another sequence."""
        for token, score in zip(tokens, scores, strict=True):
            self.take(token, score.nats, 0.0)
        self.open_nats = open_nats

    def start_anew(self, *, rejected: bool) -> None:
        """Drop the attempt, and begin the next one if there is one left."""
        role = self.state.next_role.name.lower()
        self.rejected += rejected
        self.dead_ends += not rejected
        if self.dead_ends + self.rejected >= self.plan.max_attempts:
            self.failure = f"no sequence in {self.plan.max_attempts} attempts; the last one ended at its {role}"
        else:
            self._start()

    def _start(self) -> None:
        plan = self.plan
        self.state = OrbitState(self.tokenizer, plan.order, plan.constraints)
        self.grammar = self.state if plan.constraints is None else OrbitState(self.tokenizer, plan.order)
        """What it holds so far, under the masks of the grammar alone: these are what likelihoods refer to."""
        self.scores: list[TokenScore] = []
        self.open_nats = 0.0
        self.numbers = plan.uniforms(self.index, self.dead_ends + self.rejected, MAX_CHOICES)


def advance(rollouts: Sequence[Rollout], head: str, scores: Tensor, apart: Mapping[int, NDArray[np.bool_]]) -> None:
    """Choose the next token of sequences in which tokens of the same head come next; some may start anew.

    Parameters
    ----------
    rollouts
        Sequences of one plan.
    scores
        Logits of the head's tokens, shape (B, span); rows after those of the sequences are not read.
    apart
        The legal grid points of coordinates that are known already, by place of the sequence.
    """
    plan, role = rollouts[0].plan, HEADS[head][0]
    start = rollouts[0].tokenizer.vocab.spans[role].start
    legal: NDArray[np.bool_] = np.zeros(tuple(scores.shape), dtype=bool)
    legal[len(rollouts) :] = True
    open_ = legal if plan.constraints is None else legal.copy()
    for k, rollout in enumerate(rollouts):
        span = rollout.state.span()
        own = slice(span.start - start, span.stop - start)
        legal[k, own] = apart[k] if k in apart else rollout.grammar.legal()
        if plan.constraints is not None:
            open_[k, own] = legal[k, own] if head in UNCONSTRAINED else rollout.state.legal()
    draws = legal if plan.sampler == "rejection" else open_
    possible: NDArray[np.bool_] = np.asarray(draws.any(axis=1))
    if not possible.all():
        draws = np.logical_or(draws, ~possible[:, None])
    among, padding = torch.from_numpy(legal), [0.5] * (len(scores) - len(rollouts))
    given = [-1 if rollout.given_token is None else rollout.given_token - start for rollout in rollouts]
    drawn = choose(
        plan.settings,
        role,
        scores,
        among,
        among if draws is legal else torch.from_numpy(draws),
        torch.tensor([rollout.uniform for rollout in rollouts] + padding, dtype=torch.float64),
        torch.tensor(given + [-1] * len(padding)) if max(given) >= 0 else None,
    )
    chosen = zip(*(part.tolist() for part in drawn), strict=True)
    for k, (rollout, (place, nats, open_nats)) in enumerate(zip(rollouts, chosen, strict=False)):
        if given[k] >= 0 or (possible[k] and open_[k, place]):
            rollout.take(place + start, nats, open_nats)
        else:
            rollout.start_anew(rejected=bool(possible[k]))
