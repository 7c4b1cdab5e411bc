"""The fast decoder: many sentences at once, keys and values kept, finished sentences dropped; and `load`, the door."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from materium.errors import RequestError
from materium.generate import sample
from materium.generate.request import BATCH, Request
from materium.model.attention import KeyValueCache
from materium.model.checkpoint import load_checkpoint
from materium.model.likelihood import TOKEN_TYPES, exact_nll
from materium.tokens.grammar import Grammar
from materium.tokens.tokenizer import Tokenizer
from materium.tokens.vocab import PAD, SOS, Role

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from materium.convert import Structure
    from materium.crystal import Crystal
    from materium.model.conditions import Conditions
    from materium.model.transformer import Transformer

SCORE_BATCH = 32
ROW_STEP = 16
"""Rows of a batch are a multiple of it: matrix products of fewer rows take another path through the CPU's kernels,
whose last bits differ, and structure i must not depend on the size of the batch."""
KEEP_SHARE = 0.75
"""Finished sentences are dropped from the batch once fewer than this share is still being written."""


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
        ln p of the sentence, in nats, at temperature 1 under the conditions and guidance it was written with.
    """

    index: int
    tokens: NDArray[np.int64]
    log_likelihood: float


class Materium:
    """A model with its tokenizer and grammar, ready to write and to score crystals."""

    def __init__(self, model: Transformer, config: dict[str, Any], device: torch.device | str = "cpu") -> None:
        """Take a model that `load_checkpoint` returned."""
        self.model, self.config, self.device = model, config, torch.device(device)
        self.tokenizer = Tokenizer(model.config.tokenizer)
        separation = model.config.site_separation
        self.grammar = Grammar(self.tokenizer, self.device, site_separation=separation)

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits that change with any weight."""
        return str(self.config["weights_sha256"])[:12]

    def generate(self, n: int = 64, *, seed: int = 0, formula: str | None = None, **options: Any) -> list[Structure]:
        """Return `n` crystals as pymatgen structures, with the row's facts in `properties`.

        Parameters
        ----------
        n, seed
            How many, and the seed.
        formula
            Short for the condition `reduced_formula`.
        options
            Other fields of `Request`; any other name is a condition, such as `density=3.5`.

        Raises
        ------
        RequestError
            On an unknown condition or an impossible value.
        """
        from materium.convert import to_structure

        request = make_request(n, seed, formula, options)
        structures = []
        for written in self.samples(request):
            structure = to_structure(self.tokenizer.decode(written.tokens))
            structure.properties = {"index": written.index, "seed": seed, "log_likelihood": written.log_likelihood}
            structures.append(structure)
        return structures

    def samples(self, request: Request, start: int = 0, batch_size: int = BATCH) -> Iterator[Sample]:
        """Yield the sentences of a request in their order, from number `start` on."""
        if batch_size < 1:
            raise RequestError(f"batch size = {batch_size} is not possible; give at least 1")
        for first in range(start, request.n, batch_size):
            yield from write_batch(self.model, self.grammar, request, range(first, min(first + batch_size, request.n)))

    def log_likelihoods(self, crystals: Sequence[Crystal], request: Request | None = None) -> list[dict[str, float]]:
        """Return ln p in nats, in all and by token type, of the canonical sentence of each crystal; see `score`.

        Raises
        ------
        MateriumError
            If a crystal has no sentence: too many sites, an unusual cell, overlapping atoms.
        """
        request = request or Request()
        return self.score([self.sentence(crystal, request) for crystal in crystals], request)

    def sentence(self, crystal: Crystal, request: Request) -> NDArray[np.int64]:
        """Return the canonical sentence of a crystal in the layout of a request; errors as in `log_likelihoods`."""
        from materium.symmetry import canonical
        from materium.tokens.oxidation import with_guess

        has_states = any(state for _, state in self.tokenizer.config.species)
        charged = with_guess(crystal)[0] if has_states else crystal
        parts = self.tokenizer.parts(canonical(charged.check_distances()))
        return self.tokenizer.sentence(parts, request.order, lattice_first=request.lattice_first)

    def score(self, sentences: Sequence[NDArray[np.int64]], request: Request) -> list[dict[str, float]]:
        """Return ln p in nats, in all and by token type, of sentences under the masks that sampling applies.

        Temperature 1 and guidance 1, whatever the request says; its conditions and its layout count.
        """
        order = sorted(range(len(sentences)), key=lambda i: len(sentences[i]))
        figures: dict[int, dict[str, float]] = {}
        for first in range(0, len(order), SCORE_BATCH):
            chosen = order[first : first + SCORE_BATCH]
            figures |= zip(chosen, self._scored([sentences[i] for i in chosen], request), strict=True)
        return [figures[i] for i in range(len(sentences))]

    @torch.inference_mode()
    def _scored(self, sentences: Sequence[NDArray[np.int64]], request: Request) -> list[dict[str, float]]:
        rows = [torch.from_numpy(tokens) for tokens in sentences]
        tokens = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD).to(self.device)
        roles = self.grammar.roles(tokens, torch.full((len(rows),), request.lattice_first, device=self.device))
        told = request.told(len(rows)).to(self.device)
        costs, kinds = exact_nll(self.model, self.grammar, tokens, roles, told)
        columns = {"log_likelihood": -costs.double().sum(1)}
        for kind, name in enumerate(TOKEN_TYPES):
            columns[name] = -costs.double().where(kinds == kind, 0).sum(1)
        return [dict(zip(columns, row, strict=True)) for row in torch.stack([*columns.values()], dim=1).tolist()]


def load(path: str | Path | None = None, device: torch.device | str = "cpu") -> Materium:
    """Return the model in the folder `path`, or the one that ships, ready to generate; see `materium.load`."""
    model, config = load_checkpoint(None if path is None else Path(path), device)
    return Materium(model, config, device)


def make_request(n: int, seed: int, formula: str | None, options: dict[str, Any]) -> Request:
    """Return the request of keyword arguments: fields of `Request` by name, everything else a condition."""
    own = {name: value for name, value in options.items() if name in Request.__dataclass_fields__}
    conditions = {
        **own.pop("conditions", {}),
        **{k: v for k, v in options.items() if k not in own and k != "conditions"},
    }
    if formula is not None:
        conditions["reduced_formula"] = formula
    return Request(n=n, seed=seed, conditions=conditions, **own)


@torch.inference_mode()
def write_batch(model: Transformer, grammar: Grammar, request: Request, indices: range) -> list[Sample]:
    """Return the sentences of some structures of a request, in their order."""
    batch = Decoding(model, grammar, request, indices)
    while not batch.done():
        batch.step()
        batch.shrink()
    return batch.finished()


class Decoding:
    """Sentences that are being written together; rows beyond the asked ones fill the batch up and are thrown away."""

    def __init__(self, model: Transformer, grammar: Grammar, request: Request, indices: range) -> None:
        """Begin the sentences of structures `indices`: [SOS] is written, and what follows it is known."""
        self.model, self.grammar, self.request, self.asked = model, grammar, request, len(indices)
        count, steps, device = -(-len(indices) // ROW_STEP) * ROW_STEP, grammar.tokenizer.max_tokens, grammar.device
        self.slots = torch.arange(indices.start, indices.start + count)
        self.rows = torch.arange(count)
        self.tokens = torch.full((count, steps), PAD)
        self.likelihood = torch.zeros(count, dtype=torch.float64)
        self.uniforms = sample.uniforms(request.seed, self.slots.tolist(), steps).to(device)
        self.state = grammar.start(torch.full((count,), request.lattice_first, device=device))
        self.column = 0
        self.table = model.embedding.table()
        streams = [request.told(count)] if request.guidance != 0 else []
        streams += [request.untold(count)] if request.guidance != 1 else []
        room = [model.conditions.positions(told) + steps for told in streams]
        self.caches = [KeyValueCache(model.config, count, positions, self.table) for positions in room]
        self.hidden: list[Tensor] = []
        self._take(torch.full((count,), SOS, device=device), [told.to(device) for told in streams])

    def done(self) -> bool:
        """Whether every sentence has ended."""
        return bool((self.state.role == Role.PAD).all())

    def step(self) -> None:
        """Write one token of each sentence."""
        legal = self.grammar.mask(self.state)
        logits = sample.mask(self._logits(), legal)
        request = self.request
        cold = request.temperature if request.geometry_temperature is None else request.geometry_temperature
        warmth = torch.where(self.state.role == Role.SPECIES, request.temperature, cold)[:, None]
        warm = sample.cut(sample.temper(logits, warmth), request.top_p)
        token = sample.draw(warm, self.uniforms[self.rows, self.column - 1])
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

    def finished(self) -> list[Sample]:
        """Return the sentences that were asked for, without padding."""
        lengths = (self.tokens != PAD).sum(1)
        rows = zip(self.slots.tolist(), self.tokens.numpy(), lengths.tolist(), self.likelihood.tolist(), strict=True)
        return [Sample(i, tokens[:length], value) for i, tokens, length, value in rows][: self.asked]

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
        results = [
            self.model(token[:, None], roles, told, cache, self.table)
            for told, cache in zip(conditions, self.caches, strict=True)
        ]
        self.hidden = [hidden[:, -1] for hidden, _ in results]
