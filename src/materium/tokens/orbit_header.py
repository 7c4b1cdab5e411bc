"""Which species, counts, space groups and formula units may come next: those that leave a crystal possible."""

from __future__ import annotations

from functools import cache, lru_cache
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from materium.core.completion import MAX_SPECIES
from materium.core.occupancy import occupancy
from materium.core.space_groups import NUMBERS
from materium.errors import TokenError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from materium.core.header import HeaderMasks
    from materium.core.occupancy import Multiplicities, Required
    from materium.tokens.orbit_tokenizer import OrbitTokenizer, Order

COMPOSITIONS = 1 << 12
"""Reduced compositions, elements aside, whose formula units are remembered; 60,000 real crystals have 2,300."""


class HeaderRules:
    """Legal tokens of a header, exactly: after each of them at least one crystal is possible, distances aside.

    Parameters
    ----------
    tokenizer, order
        Whose species, in which order.
    constraints
        What the header must keep besides; its species are `tokenizer.header_species[order]`, their direction is 1, or
        0 in the order `random`. After a search of it that was cut short, no token may be legal.

    Raises
    ------
    TokenError
        If the constraints are on other species, in another direction, or on more sites or species.
    """

    def __init__(self, tokenizer: OrbitTokenizer, order: Order, constraints: HeaderMasks | None = None) -> None:
        """Take the limits from the tokenizer's settings."""
        if constraints is not None:
            _check(tokenizer, order, constraints)
        self.tokenizer, self.constraints = tokenizer, constraints
        self.ordered = order != "random"
        """Whether species come by ascending rank."""
        self.ranks = tokenizer.ranks[order]

    def components(self, species: Sequence[int], counts: Sequence[int]) -> NDArray[np.bool_]:
        """Return which species may come next, or which space group in their place, shape (species + 230,)."""
        config, size = self.tokenizer.config, len(self.ranks)
        legal = np.zeros(size + len(NUMBERS), dtype=bool)
        if len(species) < config.max_components and sum(counts) < config.max_sites:
            if self.ordered and species:
                np.greater(self.ranks, self.ranks[species[-1]], out=legal[:size])
            else:
                legal[:size] = True
                legal[list(species)] = False
        if gcd(*counts) == 1:
            legal[size:] = _units(tuple(sorted(counts)), config.max_sites)[1]
        if self.constraints is not None:
            header = self._header(species, counts)
            legal[:size] &= self.constraints.species_allowed(header)[self.ranks]
            legal[size:] &= self.constraints.groups_allowed(header)
        return legal

    def counts(self, species: Sequence[int], counts: Sequence[int]) -> NDArray[np.bool_]:
        """Return which counts the last of the species may have, shape (max_sites,), beginning with 1."""
        config = self.tokenizer.config
        numbers, room = np.arange(1, config.max_sites + 1), config.max_sites - sum(counts)
        last = self.ordered and self.ranks[species[-1]] == len(self.ranks) - 1
        more = len(species) < min(config.max_components, len(self.ranks)) and not last
        coprime = np.gcd(numbers, gcd(*counts)) == 1
        # One atom of one more species takes away any common divisor.
        legal: NDArray[np.bool_] = (coprime | (numbers < room)) if more else coprime
        legal &= numbers <= room
        if self.constraints is not None:
            rank = int(self.ranks[species[-1]])
            legal &= _from_one(self.constraints.counts_allowed(self._header(species, counts), rank), len(legal))
        return legal

    def units(self, species: Sequence[int], counts: Sequence[int], group: int) -> NDArray[np.bool_]:
        """Return how many formula units the primitive cell may have, shape (max_sites,), beginning with 1."""
        possible, _ = _units(tuple(sorted(counts)), self.tokenizer.config.max_sites)
        legal: NDArray[np.bool_] = possible[_kinds()[1][group - 1]].copy()
        if self.constraints is not None:
            legal &= _from_one(self.constraints.units_allowed(self._header(species, counts), group), len(legal))
        return legal

    def required(self, species: Sequence[int], counts: Sequence[int], group: int) -> Required:
        """Return the orbits that the constraints require, species numbered as in the header."""
        if self.constraints is None:
            return ()
        return self.constraints.search.required_orbits(self._header(species, counts), group)

    def _header(self, species: Sequence[int], counts: Sequence[int]) -> tuple[tuple[int, int], ...]:
        return tuple(zip(self.ranks[list(species)].tolist(), counts, strict=False))


def _check(tokenizer: OrbitTokenizer, order: Order, constraints: HeaderMasks) -> None:
    wanted, config = constraints.search.constraints, tokenizer.config
    if wanted.species != tokenizer.header_species[order] or wanted.direction != (order != "random"):
        raise TokenError(f"constraints are on other species than the order {order} has, or in another direction")
    if wanted.sites[1] > config.max_sites or config.max_components < MAX_SPECIES:
        limits = f"{config.max_sites} sites and {config.max_components} species"
        raise TokenError(
            f"constraints allow {wanted.sites[1]} sites and {MAX_SPECIES} species; sequences hold {limits}"
        )


@cache
def _kinds() -> tuple[tuple[Multiplicities, ...], NDArray[np.int64]]:
    """Groups whose positions have the same multiplicities: what places atoms on them, and the kind of each group."""
    solvers = [occupancy(number).solver for number in NUMBERS]
    distinct = tuple({id(solver): solver for solver in solvers}.values())
    place = {id(solver): kind for kind, solver in enumerate(distinct)}
    return distinct, np.array([place[id(solver)] for solver in solvers])


@lru_cache(COMPOSITIONS)
def _units(counts: tuple[int, ...], max_sites: int) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which formula units each kind of group can hold, (kinds, max_sites), and which groups hold any, (230,)."""
    solvers, kind_of = _kinds()
    possible: NDArray[np.bool_] = np.zeros((len(solvers), max_sites), dtype=bool)
    for units in range(1, max_sites // sum(counts) + 1):
        cell = tuple(count * units for count in counts)
        possible[:, units - 1] = [solver.feasible(cell, solver.available) for solver in solvers]
    groups: NDArray[np.bool_] = np.asarray(possible.any(1))[kind_of]
    for array in (possible, groups):
        array.flags.writeable = False
    return possible, groups


def _from_one(mask: NDArray[np.bool_], size: int) -> NDArray[np.bool_]:
    """A mask over 0, 1, … as one over 1 to `size`."""
    legal = np.zeros(size, dtype=bool)
    legal[: len(mask) - 1] = mask[1 : size + 1]
    return legal
