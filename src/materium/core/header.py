"""Masks of a sequence's header: which species, counts, space groups and Z leave the constraints possible.

They are exact but for searches that were cut short (see `CompletionSearch`): after these a mask may be empty, and the
header is to be drawn anew. A mask takes some milliseconds; where constraints on charge and elements meet groups that
take few counts, it can take some tenths of a second. To draw from the unmasked distribution until `species_possible` or
`search.completable` says yes has the same distribution, and asks once or twice.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from materium.core.completion import CompletionSearch
from materium.core.occupancy import occupancy
from materium.core.space_groups import NUMBERS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from materium.core.completion import Header, HeaderConstraints

CACHE_SIZE = 1 << 14
"""Headers whose masks are remembered."""


class HeaderMasks:
    """What may come next in a header; all masks are read-only.

    Parameters
    ----------
    constraints
        What the header must keep; `search.completable(())` says whether any can.
    """

    def __init__(self, constraints: HeaderConstraints) -> None:
        """Start with nothing remembered."""
        self.search = CompletionSearch(constraints)
        self.num_species, self.max_sites = len(constraints.species), constraints.sites[1]
        self.species_allowed = lru_cache(CACHE_SIZE)(self._species_allowed)
        """(header) -> which species may come next, shape (species,)."""
        self.counts_allowed = lru_cache(CACHE_SIZE)(self._counts_allowed)
        """(header, species) -> which counts it may have, shape (most sites + 1,)."""
        self.groups_allowed = lru_cache(CACHE_SIZE)(self._groups_allowed)
        """(header) -> which space groups may follow, shape (230,), group 1 first; none if it may not end."""
        self.units_allowed = lru_cache(CACHE_SIZE)(self._units_allowed)
        """(header, group) -> which Z may follow, shape (most sites + 1,)."""

    def species_possible(self, header: Header, species: int) -> bool:
        """Return what `species_allowed` says of one species."""
        counts = range(1, self.search.room(frozenset(header)) + 1)
        in_turn = any(index == species for index, _ in self.search.choices(header))
        return in_turn and any(self.search.completable((*header, (species, count))) for count in counts)

    def _species_allowed(self, header: Header) -> NDArray[np.bool_]:
        allowed, answers = np.zeros(self.num_species, dtype=bool), dict[Hashable, bool]()
        for index, kind in self.search.choices(header):
            if kind not in answers:
                answers[kind] = self.species_possible(header, index)
            allowed[index] = answers[kind]
        return _read_only(allowed)

    def _counts_allowed(self, header: Header, species: int) -> NDArray[np.bool_]:
        allowed = np.zeros(self.max_sites + 1, dtype=bool)
        for count in range(1, self.search.room(frozenset(header)) + 1):
            allowed[count] = self.search.completable((*header, (species, count)))
        return _read_only(allowed)

    def _groups_allowed(self, header: Header) -> NDArray[np.bool_]:
        """Ask once for all groups of equal multiplicities, unless positions are required."""
        allowed, answers = np.zeros(len(NUMBERS), dtype=bool), dict[Hashable, bool]()
        for group in self.search.groups:
            same = group if self.search.constraints.positions else id(occupancy(group).solver)
            if same not in answers:
                answers[same] = bool(self.units_allowed(header, group).any())
            allowed[group - 1] = answers[same]
        return _read_only(allowed)

    def _units_allowed(self, header: Header, group: int) -> NDArray[np.bool_]:
        allowed = np.zeros(self.max_sites + 1, dtype=bool)
        allowed[self.search.units(header, group)] = True
        return _read_only(allowed)


def _read_only(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    mask.flags.writeable = False
    return mask
