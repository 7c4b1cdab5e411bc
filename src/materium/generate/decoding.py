"""Many sentences written at once: keys and values kept, finished sentences dropped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from materium.generate import sample
from materium.generate.automaton import Keeper
from materium.model.attention import KeyValueCache
from materium.tokens.vocab import PAD, SOS, Role

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from materium.generate.plan import Plan
    from materium.generate.targets import Value
    from materium.model.conditions import Conditions
    from materium.model.transformer import Transformer
    from materium.tokens.grammar import Grammar

ROW_STEP = 16
"""Rows of a batch are a multiple of it: matrix products of fewer rows take another path through the CPU's kernels,
whose last bits differ, and structure i must not depend on the size of the batch."""
KEEP_SHARE = 0.75
"""Finished sentences are dropped from the batch once fewer than this share is still being written."""
FREE = -1
"""In given tokens: the model chooses."""


@dataclass(frozen=True)
class Sample:
    """A sentence that was written.

    Parameters
    ----------
    index
        Its place in the request.
    tokens
        Shape (tokens,).
    log_likelihood
        ln p of the sentence, in nats, at temperature 1 under the conditions and guidance it was written with. Hard
        constraints do not count: they say what was kept, not what the model believes.
    request
        Number of the combination of targets that it answers.
    targets
        Its targets by property.
    """

    index: int
    tokens: NDArray[np.int64]
    log_likelihood: float
    request: int = 0
    targets: Mapping[str, Value] = field(default_factory=dict)


@torch.inference_mode()
def write_batch(
    model: Transformer, grammar: Grammar, plan: Plan, indices: range, given: Tensor | None = None
) -> list[Sample]:
    """Return the sentences of some structures of a request, in their order.

    `given`, shape (B, tokens), holds the tokens that each sentence must have, and `FREE` where the model chooses.
    """
    batch = Decoding(model, grammar, plan, indices, given)
    while not batch.done():
        batch.step()
        batch.shrink()
    return batch.finished()


class Decoding:
    """Sentences that are being written together; rows beyond the asked ones fill the batch up and are thrown away."""

    def __init__(
        self, model: Transformer, grammar: Grammar, plan: Plan, indices: range, given: Tensor | None = None
    ) -> None:
        """Begin the sentences of structures `indices`: [SOS] is written, and what follows it is known."""
        self.model, self.grammar, self.plan, self.indices = model, grammar, plan, indices
        self.request = plan.request
        count, steps, device = -(-len(indices) // ROW_STEP) * ROW_STEP, grammar.tokenizer.max_tokens, grammar.device
        filled = [*indices, *[indices[-1]] * (count - len(indices))]
        self.rows = torch.arange(count)
        self.tokens = torch.full((count, steps), PAD)
        self.likelihood = torch.zeros(count, dtype=torch.float64)
        within = [plan.within(index) for index in filled]
        self.uniforms = sample.uniforms(self.request.seed, within, steps).to(device)
        self.state = grammar.start(torch.full((count,), self.request.lattice_first, device=device))
        automata = plan.automata(filled)
        self.keeper = Keeper(automata, grammar) if any(automata) else None
        self.given = None if given is None else given[[*range(len(indices)), *[-1] * (count - len(indices))]]
        self.column = 0
        self.table = model.table()
        streams = [plan.told(filled)] if self.request.guidance != 0 else []
        streams += [self.request.untold(count)] if self.request.guidance != 1 else []
        room = [model.conditions.positions(told) + steps for told in streams]
        self.caches = [KeyValueCache(model.config, count, positions, self.table) for positions in room]
        self.hidden: list[Tensor] = []
        self._take(torch.full((count,), SOS, device=device), [told.to(device) for told in streams])

    def done(self) -> bool:
        """Whether every sentence has ended."""
        return bool((self.state.role == Role.PAD).all())

    def step(self) -> None:
        """Write one token of each sentence."""
        logits = sample.mask(self._logits(), self.grammar.mask(self.state))
        token = self._given(self._drawn(logits))
        gained = logits.log_softmax(-1).gather(1, token[:, None])[:, 0]
        self.likelihood[self.rows] += gained.double().cpu()
        self._take(token, [None] * len(self.caches))

    def shrink(self) -> None:
        """Drop ended sentences once they are a quarter of the batch."""
        going = self.state.role != Role.PAD
        count = -(-int(going.sum()) // ROW_STEP) * ROW_STEP
        if count == 0 or count > KEEP_SHARE * len(self.rows):
            return
        kept = torch.argsort(~going, stable=True)[:count]
        self.rows, self.hidden = self.rows[kept.cpu()], [h[kept] for h in self.hidden]
        self.state = self.state.keep(kept)
        for cache in self.caches:
            cache.keep(kept)
        if self.keeper:
            self.keeper.keep(kept)

    def finished(self) -> list[Sample]:
        """Return the sentences that were asked for, without padding."""
        lengths = (self.tokens != PAD).sum(1).tolist()
        rows = zip(self.indices, self.tokens.numpy(), lengths, self.likelihood.tolist(), strict=False)
        return [
            Sample(index, tokens[:length], value, self.plan.cell(index), self.plan.targets(index))
            for index, tokens, length, value in rows
        ]

    def _drawn(self, logits: Tensor) -> Tensor:
        """A token for each sentence, from logits in which only legal ones are possible."""
        request = self.request
        if self.keeper:
            logits = sample.mask(logits, self.keeper.mask(torch.isfinite(logits), self.state))
        cold = request.temperature if request.geometry_temperature is None else request.geometry_temperature
        warmth = torch.where(self.state.role == Role.SPECIES, request.temperature, cold)[:, None]
        warm = sample.cut(sample.temper(logits, warmth), request.top_p)
        return sample.draw(warm, self.uniforms[self.rows, self.column - 1])

    def _given(self, drawn: Tensor) -> Tensor:
        """The given token where there is one; only sentences that are still being written take it."""
        if self.given is None:
            return drawn
        words = self.given[self.rows, self.column].to(drawn.device)
        return torch.where((words == FREE) | (self.state.role == Role.PAD), drawn, words)

    def _logits(self) -> Tensor:
        scores = [self.model.logits(h, self.table) for h in self.hidden]
        if len(scores) == 1:
            return scores[0]
        return sample.guide(scores[0], scores[1], self.request.guidance)

    def _take(self, token: Tensor, conditions: Sequence[Conditions | None]) -> None:
        """Append a token to each sentence, and compute what stands after it."""
        self.tokens[self.rows, self.column] = token.cpu()
        self.column += 1
        roles = self.grammar.role_of(self.state, token)[:, None]
        self.state = self.grammar.advance(self.state, token)
        if self.keeper:
            self.keeper.take(token)
        results = [
            self.model(token[:, None], roles, told, cache, self.table)
            for told, cache in zip(conditions, self.caches, strict=True)
        ]
        self.hidden = [hidden[:, -1] for hidden, _ in results]
