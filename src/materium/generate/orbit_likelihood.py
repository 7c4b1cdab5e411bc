"""Exact likelihood of known crystals as sequences of orbits: in one layout, by token type and orbit, and over orders.

ln p of a sequence is a sum over its choices, each under the masks that sampling applies, at temperature 1 and guidance
1: what sampling reports for the same sequence. It belongs to the crystal and the layout, since every description of a
crystal has the same canonical orbits. A crystal that the masks never allow has no sequence, and raises.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations, repeat
from math import factorial, log, sqrt
from typing import TYPE_CHECKING, Self, cast

import numpy as np
import torch

from materium.data.orbit_batch import pack_choices, pack_slots
from materium.errors import RequestError
from materium.generate.orbit_rollout import HEAD_OF
from materium.model.orbit_tensors import SlotTensors
from materium.model.orbit_transformer import costs
from materium.tokens.orbit_sequence import replay
from materium.tokens.orbit_vocab import ANGLES, COORDINATES, LENGTHS, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from materium.model.orbit_conditions import OrbitConditions
    from materium.model.orbit_transformer import OrbitTransformer
    from materium.tokens.orbit_sequence import Choice
    from materium.tokens.orbit_state import OrbitState
    from materium.tokens.orbit_tokenizer import GridOrbits, OrbitTokenizer, Order

BATCH = 64
"""Sequences that are scored together; they come sorted by length, so that little of a batch is padding."""
FEWEST_DRAWS = 2
"""One order alone would say nothing of its error."""
TYPES = ("composition", "group", "units", "lattice", "species", "position", "coordinate")
"""Token types; `species` are those of orbits, where the order leaves a choice."""
_TYPE_OF = {
    Role.COMPONENT: "composition",
    Role.GROUP: "group",
    Role.COUNT: "composition",
    Role.UNITS: "units",
    Role.SPECIES: "species",
    Role.POSITION: "position",
    **dict.fromkeys(COORDINATES, "coordinate"),
    **dict.fromkeys((*LENGTHS, *ANGLES), "lattice"),
}


@dataclass(frozen=True)
class OrbitLikelihood:
    """Nats of one sequence.

    Attributes
    ----------
    log_likelihood
        ln p of the sequence.
    by_type
        The same by token type; the sum is `log_likelihood`.
    by_orbit
        ln p of each orbit, its species, position and coordinates, given all that stands before it, in the order of the
        sequence.
    """

    log_likelihood: float
    by_type: dict[str, float]
    by_orbit: tuple[float, ...]

    @classmethod
    def of(cls, state: OrbitState, nats: Iterable[tuple[int, float]]) -> Self:
        """Sum the nats of the choices of a complete sequence, each with the slot after which it was made."""
        by_type, by_orbit, last = dict.fromkeys(TYPES, 0.0), list[float](), Role.SOS
        for slot, value in nats:
            role = state.slots[slot + 1].role
            by_type[_TYPE_OF[role]] += value
            if role == Role.SPECIES or (role == Role.POSITION and last != Role.SPECIES):
                by_orbit.append(0.0)
            if by_orbit:
                by_orbit[-1] += value
            last = role
        return cls(sum(by_type.values()), by_type, tuple(by_orbit))


@dataclass(frozen=True)
class LikelihoodOverOrders:
    """Nats of a crystal in whatever order its species and orbits are written.

    Attributes
    ----------
    log_likelihood
        ln of the sum of p over all orders, or its estimate: a lower bound in expectation (Jensen).
    error
        Standard error of the estimate (delta method); 0 for the sum. Too small where a few draws carry the mean.
    spread
        Standard deviation of ln p among the orders that were scored.
    draws
        Orders that were scored.
    """

    log_likelihood: float
    error: float
    spread: float
    draws: int


def score(
    model: OrbitTransformer,
    tokenizer: OrbitTokenizer,
    grids: Sequence[GridOrbits],
    order: Order,
    conditions: OrbitConditions,
) -> list[OrbitLikelihood]:
    """Return the likelihood of each crystal in the canonical sequence of an order.

    Parameters
    ----------
    conditions
        One row for each crystal; their layout should be that of the order.

    Raises
    ------
    RequestError
        If the order is `random`, which has no canonical sequence.
    TokenError
        If sampling never gives the crystal, for instance because its atoms are too close.
    """
    if order == "random":
        raise RequestError("the order random has no canonical sequence; choose another one, or sum over orders")
    written = [replay(tokenizer, grid, order, spaced=True) for grid in grids]
    return score_sequences(model, written, conditions)


def score_sequences(
    model: OrbitTransformer, written: Sequence[tuple[OrbitState, list[Choice]]], conditions: OrbitConditions
) -> list[OrbitLikelihood]:
    """Return the likelihood of sequences that `replay` returned with their spaced masks; see `score`."""
    by_length = sorted(range(len(written)), key=lambda i: len(written[i][0].slots))
    found: dict[int, OrbitLikelihood] = {}
    for first in range(0, len(by_length), BATCH):
        chosen = by_length[first : first + BATCH]
        nats = _nats(model, [written[i] for i in chosen], conditions[torch.tensor(chosen)])
        for i, row in zip(chosen, nats, strict=True):
            state, choices = written[i]
            found[i] = OrbitLikelihood.of(state, zip((c.slot for c in choices), row, strict=True))
    return [found[i] for i in range(len(written))]


def score_over_orders(  # noqa: PLR0913, PLR0917 - a model, crystals, conditions, and how finely it is summed
    model: OrbitTransformer,
    tokenizer: OrbitTokenizer,
    grids: Sequence[GridOrbits],
    conditions: OrbitConditions,
    draws: int,
    seed: int = 0,
) -> list[LikelihoodOverOrders]:
    """Return ln p of crystals over the N orders of their species and orbits, in the layout `random`.

    p(crystal) is the sum of p over N = k! n! sequences of k species and n orbits. Where N is at most `draws`, all are
    summed; otherwise `draws` orders are drawn evenly, from the seed and the crystal alone, and N times their mean p is
    taken. Other settings of the crystal (axes, origins, representatives) are not summed over.
    """
    if draws < FEWEST_DRAWS:
        raise RequestError(f"draws = {draws} is not possible; give at least {FEWEST_DRAWS}")
    results = []
    for row, grid in enumerate(grids):
        sizes = len(set(grid.species.tolist())), len(grid.species)
        count = factorial(sizes[0]) * factorial(sizes[1])
        generators = _every(*sizes) if count <= draws else repeat(_drawn(grid, seed), draws)
        written = [replay(tokenizer, grid, "random", rng, spaced=True) for rng in generators]
        own = conditions[torch.full((len(written),), row)]
        nats = np.array([entry.log_likelihood for entry in score_sequences(model, written, own)])
        weights = np.exp(nats - nats.max())
        mean = float(weights.mean())
        error = 0.0 if count <= draws else float(weights.std(ddof=1)) / mean / sqrt(len(nats))
        total = log(count) + float(nats.max()) + log(mean)
        results.append(LikelihoodOverOrders(total, error, float(nats.std()), len(nats)))
    return results


class _Preset:
    """Permutations in place of a random generator's."""

    def __init__(self, *orders: tuple[int, ...]) -> None:
        self.orders = iter(orders)

    def permutation(self, size: int) -> NDArray[np.int64]:
        """Return the next one."""
        order = np.array(next(self.orders))
        if len(order) != size:
            raise ValueError(f"an order of {len(order)} for {size}")
        return order


def _every(species: int, orbits: int) -> Iterator[np.random.Generator]:
    for first in permutations(range(species)):
        for second in permutations(range(orbits)):
            yield cast("np.random.Generator", _Preset(first, second))


def _drawn(grid: GridOrbits, seed: int) -> np.random.Generator:
    facts = np.column_stack([grid.species, grid.positions, grid.points])
    return np.random.default_rng([seed, grid.group, *grid.lattice.tolist(), *facts.ravel().tolist()])


@torch.inference_mode()
def _nats(
    model: OrbitTransformer, written: Sequence[tuple[OrbitState, list[Choice]]], conditions: OrbitConditions
) -> list[list[float]]:
    """Return ln p of each choice of some sequences."""
    slots = SlotTensors.of(pack_slots([s.slots for s, _ in written], [s.components for s, _ in written]))
    packed, contacts = pack_choices([choices for _, choices in written], model.vocab)
    found = {
        head: iter((-nats.double()).tolist())
        for head, nats in costs(model, slots, conditions, packed, contacts).items()
    }
    return [[next(found[HEAD_OF[choice.role]]) for choice in choices] for _, choices in written]
