"""Many sentences written at once: keys and values kept, finished sentences dropped."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch

from materium.generate import sample
from materium.generate.automaton import Keeper
from materium.generate.choice import Scores, choose
from materium.model.attention import KeyValueCache
from materium.model.native import native_of
from materium.tokens.vocab import EOS, PAD, SOS, Role

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from materium.generate.plan import Plan
    from materium.generate.targets import Value
    from materium.model.candidates import Outlook
    from materium.model.conditions import Conditions
    from materium.model.transformer import Transformer
    from materium.tokens.grammar import Grammar

ROW_STEP = 16
"""Rows of a batch are a multiple of it: matrix products of fewer rows take another path through the CPU's kernels,
whose last bits differ, and structure i must not depend on the size of the batch."""
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
def write_batch(  # noqa: PLR0913 - as `Decoding`
    model: Transformer,
    grammar: Grammar,
    plan: Plan,
    indices: range,
    given: Tensor | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> list[Sample]:
    """Return the sentences of some structures of a request, in their order.

    `given`, shape (B, tokens), holds the tokens that each sentence must have, and `FREE` where the model chooses.
    `dtype` is the type of the blocks' matrix products, float32 or bfloat16.
    """
    batch = Decoding(model, grammar, plan, indices, given, dtype=dtype)
    with batch.precision():
        while len(batch.rows):
            batch.step()
    return batch.finished()


class Decoding:
    """Sentences that are being written together; rows beyond the asked ones fill the batch up and are thrown away."""

    def __init__(  # noqa: PLR0913 - the parts of a request, and how it is worked out
        self,
        model: Transformer,
        grammar: Grammar,
        plan: Plan,
        indices: range,
        given: Tensor | None = None,
        *,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Begin the sentences of structures `indices`: [SOS] is written, and what follows it is known."""
        self.model, self.grammar, self.plan, self.indices = model, grammar, plan, indices
        self.request, device = plan.request, grammar.device
        filled, steps = _filled(np.array(indices)).tolist(), grammar.tokenizer.max_tokens
        self.rows = torch.arange(len(filled), device=device)
        self.tokens = torch.full((len(filled), steps), PAD, device=device)
        self.likelihood = torch.zeros(len(filled), dtype=torch.float64, device=device)
        within = [plan.within(index) for index in filled]
        self.uniforms = sample.uniforms(self.request.seed, within, steps).to(device)
        self.state = grammar.start(torch.full((len(filled),), self.request.lattice_first, device=device))
        automata = plan.automata(filled)
        self.keeper = Keeper(automata, grammar) if any(automata) else None
        self.given = None if given is None else given[torch.from_numpy(_filled(np.arange(len(indices))))].to(device)
        self.column = 0
        with _exactly(device):
            self.table = model.table()
        streams = [plan.told(filled)] if self.request.guidance != 0 else []
        streams += [self.request.untold(len(filled))] if self.request.guidance != 1 else []
        room = [model.conditions.positions(told) + steps for told in streams]
        like = torch.empty(0, dtype=dtype, device=device)
        native = native_of(model, dtype, max(room))
        self.narrow = dtype == torch.bfloat16 and native is None  # who reads in C has narrow weights of its own
        self.alike = native is not None and len(filled) > ROW_STEP and all(told.alike for told in streams)
        begun = ROW_STEP if self.alike else len(filled)
        self.caches = [KeyValueCache(model.config, len(filled), positions, like, native, begun) for positions in room]
        self.outlooks: list[Outlook] = []
        with self.precision():
            self._take(torch.full((len(filled),), SOS, device=device), [told.to(device) for told in streams])

    def precision(self) -> torch.autocast:
        """Return the context in which PyTorch's products are of the type that was asked for.

        What is outside of the blocks needs none: for each number of sentences, a product in bfloat16 is compiled anew.
        """
        return torch.autocast(self.rows.device.type, torch.bfloat16, enabled=self.narrow)

    def step(self) -> None:
        """Write one token of each sentence, within `precision`; those in which the same role comes next go together.

        So do all lattice parameters but γ, such as a of longer sentences with β of shorter ones: the same tokens are
        legal, and `Candidates.at` tells them apart where it is asked for a length.
        """
        tokens = self.tokens[self.rows, self.column]  # the end, or nothing, of those that fill the batch up
        groups = np.where((self.roles > Role.A) & (self.roles < Role.GAMMA), Role.A, self.roles)
        for group in np.unique(groups[self.roles < Role.EOS]):
            standing = np.flatnonzero(groups == group)
            role = Role(self.roles[standing].min())  # lengths come before angles, and they are what gains
            drawn, gained = self._drawn(role, _filled(standing))
            here = torch.from_numpy(standing).to(tokens.device)
            tokens[here] = drawn[: len(here)]
            self.likelihood[self.rows[here]] += gained[: len(here)]
        self._take(tokens, [None] * len(self.caches))

    def finished(self) -> list[Sample]:
        """Return the sentences that were asked for, without padding."""
        words, lengths = self.tokens.cpu().numpy(), (self.tokens != PAD).sum(1).tolist()
        rows = zip(self.indices, words, lengths, self.likelihood.tolist(), strict=False)
        return [
            Sample(index, tokens[:length], value, self.plan.cell(index), self.plan.targets(index))
            for index, tokens, length, value in rows
        ]

    def _drawn(self, role: Role, places: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """A token for each of some sentences in which `role` comes next, and ln p of it."""
        span, chosen = self.grammar.spans[role], self._chosen(places)
        state, logits = self.state.keep(chosen), self._logits(role, span, chosen)
        legal = self.grammar.mask_at(role, state)
        open_ = self.keeper.mask(role, legal, span.start, places) if self.keeper else legal
        uniform = self.uniforms[self.rows[chosen], self.column - 1]
        scores = Scores(logits, legal, open_)
        place, norm = choose(role, self.grammar, self.request, scores, uniform, state.lattice_first)
        if self.given is not None:
            words = self.given[self.rows[chosen], self.column]
            place = torch.where(words == FREE, place, words - span.start)
            logits = sample.mask(logits, legal)  # what is drawn is legal, and what is given need not be
        return place + span.start, logits.gather(1, place[:, None])[:, 0].double() - norm

    def _chosen(self, places: NDArray[np.int64]) -> Tensor | slice:
        """Some of the sentences; all of them, in their order, are not copied."""
        if np.array_equal(places, np.arange(len(self.rows))):
            return slice(None)
        return torch.from_numpy(places).to(self.rows.device)

    def _logits(self, role: Role, span: slice, chosen: Tensor | slice) -> Tensor:
        with _exactly(self.rows.device):
            scores = [self.model.logits_at(role, span, o.keep(chosen), self.table)[:, 0] for o in self.outlooks]
        if len(scores) == 1:
            return scores[0]
        return sample.guide(scores[0], scores[1], self.request.guidance)

    def _take(self, tokens: Tensor, conditions: Sequence[Conditions | None]) -> None:
        """Append a token to each sentence, and compute what stands after it where there is something left to choose."""
        self.tokens[self.rows, self.column] = tokens
        self.column += 1
        if self.keeper:
            self.keeper.take(tokens)
        roles, self.state = self.grammar.role_of(self.state, tokens), self.grammar.advance(self.state, tokens)
        self.roles = self.state.role.cpu().numpy()  # here the host waits, once a token
        self._close(np.flatnonzero(self.roles == Role.EOS))
        self._diverge(tokens)
        kept = self._shrunk()
        if len(kept):
            self._read(tokens[kept, None], roles[kept, None], conditions)

    def _diverge(self, tokens: Tensor) -> None:
        """Where sentences differ for the first time, give each its own place, before any that has ended is dropped."""
        if self.alike and not bool((tokens == tokens[0]).all()):
            self.alike = False
            for cache in self.caches:
                cache.spread()

    def _read(self, tokens: Tensor, roles: Tensor, conditions: Sequence[Conditions | None]) -> None:
        """Compute what stands after tokens (B, 1): of a few sentences as long as all are one and the same."""
        few = slice(ROW_STEP if self.alike else len(tokens))
        self.outlooks = [
            self.model.read(tokens[few], roles[few], told if told is None else told[few], cache, self.table)
            for told, cache in zip(conditions, self.caches, strict=True)
        ]
        if self.alike:
            self.outlooks = [one.keep(torch.zeros(len(tokens), dtype=torch.long)) for one in self.outlooks]

    def _close(self, places: NDArray[np.int64]) -> None:
        """Write the end of the sentences that are complete but for it."""
        if len(places):
            self.tokens[self.rows[torch.from_numpy(places).to(self.rows.device)], self.column] = EOS

    def _shrunk(self) -> Tensor:
        """Drop ended sentences, by the `ROW_STEP`, and return the places of those that are left."""
        places = _kept(self.roles < Role.EOS)
        self.roles, kept = self.roles[places], torch.from_numpy(places).to(self.rows.device)
        if len(kept) < len(self.rows):
            self.rows, self.state = self.rows[kept], self.state.keep(kept)
            for cache in self.caches:
                cache.keep(kept)
            if self.keeper:
                self.keeper.keep(kept)
        return kept


def _exactly(device: torch.device) -> torch.autocast:
    """In float32 whatever the blocks are in: a product of bfloat16 numbers has two or three digits, and logits are one.

    Autocast stays on around it, for it keeps the weights that it has turned into bfloat16 only as long.
    """
    return torch.autocast(device.type, enabled=False)


def _filled(places: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places, and some of them again up to a multiple of `ROW_STEP`."""
    return np.resize(places, -(-len(places) // ROW_STEP) * ROW_STEP)


def _kept(going: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The places of all that are going, and of others up to a multiple of `ROW_STEP`; few of them change theirs."""
    count = -(-int(going.sum()) // ROW_STEP) * ROW_STEP
    kept, later = np.arange(count), np.flatnonzero(going[count:]) + count
    kept[np.flatnonzero(~going[:count])[: len(later)]] = later
    return kept
