"""A model of orbit sequences, ready to sample crystals and to score known ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch

from materium.core.completion import HeaderConstraints
from materium.core.header import HeaderMasks
from materium.errors import RequestError
from materium.generate import orbit_likelihood
from materium.generate.orbit_decoding import BATCH, BatchedDecoder
from materium.generate.orbit_likelihood import LikelihoodOverOrders, OrbitLikelihood
from materium.generate.orbit_plan import OrbitPlan
from materium.model.orbit_conditions import OrbitConditions, layout_id

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from materium.core.orbits import Orbits
    from materium.crystal import Crystal
    from materium.generate.orbit_rollout import Rollout
    from materium.model.orbit_transformer import OrbitTransformer
    from materium.tokens.orbit_tokenizer import GridOrbits, OrbitTokenizer, Order


@dataclass(frozen=True)
class OrbitSample:
    """A sampled sequence.

    Attributes
    ----------
    index
        Its number.
    grid
        The crystal on the grids of the tokenizer; None where no attempt came to an end.
    orbits
        The same in Å and degrees.
    likelihood
        Nats under the masks of the grammar, at temperature 1, under the conditions and guidance of sampling.
    open_nats
        ln of the probability that the constraints left, summed over all choices.
    dead_ends, rejected
        Attempts that ended without a legal token, and at a token that breaks the constraints.
    crowded
        Choices for which every legal token brings atoms closer than `MIN_DISTANCE`.
    failure
        Why there is no crystal.
    """

    index: int
    grid: GridOrbits | None
    orbits: Orbits | None
    likelihood: OrbitLikelihood | None
    open_nats: float
    dead_ends: int
    rejected: int
    crowded: int
    failure: str | None

    @property
    def group(self) -> int | None:
        """The space group that the crystal is written in."""
        return None if self.grid is None else self.grid.group

    @cached_property
    def crystal(self) -> Crystal | None:
        """The crystal in its primitive cell."""
        return None if self.orbits is None else self.orbits.to_crystal()

    @property
    def log_likelihood(self) -> float | None:
        """Ln p of the sequence, in nats."""
        return None if self.likelihood is None else self.likelihood.log_likelihood


class OrbitGenerator:
    """A network with its tokenizer.

    Parameters
    ----------
    model, tokenizer
        The network, in evaluation mode, and its tokenizer.
    dtype
        Of the blocks' products, float32 or bfloat16: faster, and other crystals than float32's.
    """

    def __init__(self, model: OrbitTransformer, tokenizer: OrbitTokenizer, dtype: torch.dtype = torch.float32) -> None:
        """Keep the two."""
        if model.config.tokenizer != tokenizer.config:
            raise RequestError("the model was made for another tokenizer; take OrbitTokenizer(model.config.tokenizer)")
        self.model, self.tokenizer, self.dtype = model.eval(), tokenizer, dtype

    def sample(
        self, n: int, *, start: int = 0, batch: int = BATCH, plan: OrbitPlan | None = None, **fields: Any
    ) -> Iterator[OrbitSample]:
        """Yield n sequences of a plan, or of its `fields` (see `OrbitPlan`), from number `start` on, in their order.

        Raises
        ------
        RequestError
            If a field is impossible, or the constraints contradict each other.
        """
        plan = OrbitPlan(**fields) if plan is None else plan
        decoder = BatchedDecoder(self.model, self.tokenizer, plan, max(1, min(batch, n)), self.dtype)
        return map(self.read, decoder.run(range(start, start + n)))

    def read(self, rollout: Rollout) -> OrbitSample:
        """Return a finished sequence as a sample."""
        counts = rollout.open_nats, rollout.dead_ends, rollout.rejected, rollout.state.crowded, rollout.failure
        if rollout.failure is not None:
            return OrbitSample(rollout.index, None, None, None, *counts)
        grid = rollout.state.grid()
        likelihood = OrbitLikelihood.of(rollout.state, ((score.slot, score.nats) for score in rollout.scores))
        return OrbitSample(rollout.index, grid, self.tokenizer.orbits(grid), likelihood, *counts)

    def header_masks(self, order: Order, **constraints: Any) -> HeaderMasks:
        """Return masks for `OrbitPlan.constraints` that keep `HeaderConstraints` in the sequences of an order.

        Raises
        ------
        RequestError
            If no crystal can keep them.
        """
        species = self.tokenizer.header_species[order]
        config = {"sites": (1, self.tokenizer.config.max_sites), "direction": int(order != "random"), **constraints}
        masks = HeaderMasks(HeaderConstraints(species, **config))
        if not masks.search.completable(()):
            raise RequestError("no crystal can keep these constraints together; leave one of them out")
        return masks

    def log_likelihoods(
        self, crystals: Sequence[Orbits], order: Order = "high", conditions: OrbitConditions | None = None
    ) -> list[OrbitLikelihood]:
        """Return the likelihood of the canonical sequence of each crystal; see `orbit_likelihood.score`."""
        grids = [self.tokenizer.grid(orbits) for orbits in crystals]
        rows = OrbitConditions.none(len(grids), layout_id(order)) if conditions is None else conditions
        return orbit_likelihood.score(self.model, self.tokenizer, grids, order, rows)

    def log_likelihoods_over_orders(
        self, crystals: Sequence[Orbits], draws: int, conditions: OrbitConditions | None = None, seed: int = 0
    ) -> list[LikelihoodOverOrders]:
        """Return ln p of each crystal over the orders of species and orbits; see `score_over_orders`."""
        grids = [self.tokenizer.grid(orbits) for orbits in crystals]
        rows = OrbitConditions.none(len(grids), layout_id("random")) if conditions is None else conditions
        return orbit_likelihood.score_over_orders(self.model, self.tokenizer, grids, rows, draws, seed)
