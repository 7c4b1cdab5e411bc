"""The vocabulary of orbit sequences: special tokens, counts, species, space groups, Wyckoff positions and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from materium.core.space_groups import NUMBERS
from materium.core.wyckoff import space_group
from materium.errors import TokenError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from materium.tokens.vocab import Species

SPECIAL = ("[PAD]", "[SOS]", "[IMAGE]", "[EOS]")
PAD, SOS, IMAGE, EOS = range(len(SPECIAL))
SPACE_GROUPS = len(NUMBERS)


class Role(IntEnum):
    """What a slot of a sequence holds.

    COMPONENT is a species of the composition or, in its place, the space group that ends it; X, Y and Z are the free
    coordinates of an orbit's representative; IMAGE is a further atom of an orbit, which is never sampled.
    """

    PAD = 0
    SOS = 1
    COMPONENT = 2
    COUNT = 3
    GROUP = 4
    UNITS = 5
    A = 6
    B = 7
    C = 8
    ALPHA = 9
    BETA = 10
    GAMMA = 11
    MONOCLINIC_BETA = 12
    SPECIES = 13
    POSITION = 14
    X = 15
    Y = 16
    Z = 17
    IMAGE = 18


LENGTHS = (Role.A, Role.B, Role.C)
ANGLES = (Role.ALPHA, Role.BETA, Role.GAMMA, Role.MONOCLINIC_BETA)
COORDINATES = (Role.X, Role.Y, Role.Z)


@dataclass(frozen=True)
class OrbitVocabulary:
    """Token ids in the order special tokens, counts, species, space groups, positions, coordinates, lengths, angles.

    Parameters
    ----------
    species
        Distinct pairs of atomic number and oxidation state, each element at least with state 0.
    bins
        Steps of the grids: coordinates use the points 0 to bins - 1, lengths and angles 0 to bins.
    max_count
        Largest count of a species in a reduced formula, and largest number of formula units.
    """

    species: tuple[Species, ...]
    bins: int
    max_count: int

    @cached_property
    def counts(self) -> slice:
        """Ids of the counts 1, 2, …; they also stand for formula units."""
        return slice(len(SPECIAL), len(SPECIAL) + self.max_count)

    @cached_property
    def species_ids(self) -> slice:
        """Ids of the species."""
        return slice(self.counts.stop, self.counts.stop + len(self.species))

    @cached_property
    def groups(self) -> slice:
        """Ids of the space groups 1 to 230, directly after the species."""
        return slice(self.species_ids.stop, self.species_ids.stop + SPACE_GROUPS)

    @cached_property
    def first_positions(self) -> NDArray[np.int64]:
        """Id of position `a` of each space group, and one past the last position, shape (232,); entry 0 is unused."""
        sizes = [len(space_group(number).positions) for number in NUMBERS]
        starts: NDArray[np.int64] = self.groups.stop + np.cumsum([0, 0, *sizes])
        return starts

    @cached_property
    def positions(self) -> slice:
        """Ids of the Wyckoff positions, group by group, `a` first."""
        return slice(self.groups.stop, int(self.first_positions[-1]))

    @cached_property
    def coordinates(self) -> slice:
        """Ids of the grid points of fractional coordinates."""
        return slice(self.positions.stop, self.positions.stop + self.bins)

    @cached_property
    def lengths(self) -> slice:
        """Ids of the grid points of a, b and c."""
        return slice(self.coordinates.stop, self.coordinates.stop + self.bins + 1)

    @cached_property
    def angles(self) -> slice:
        """Ids of the grid points of angles."""
        return slice(self.lengths.stop, self.lengths.stop + self.bins + 1)

    def __len__(self) -> int:
        """Return the number of tokens."""
        return int(self.angles.stop)

    def positions_of(self, group: int) -> slice:
        """Return the ids of the positions of a space group."""
        return self.group_positions[group]

    @cached_property
    def group_positions(self) -> tuple[slice, ...]:
        """Ids of the positions of each space group, by its number; entry 0 is empty."""
        starts = self.first_positions.tolist()
        return tuple(slice(start, stop) for start, stop in pairwise(starts))

    @cached_property
    def spans(self) -> dict[Role, slice]:
        """The ids among which a token of each role is chosen; those of positions are all groups'."""
        spans = {
            Role.COMPONENT: slice(self.species_ids.start, self.groups.stop),
            Role.COUNT: self.counts,
            Role.UNITS: self.counts,
            Role.SPECIES: self.species_ids,
            Role.POSITION: self.positions,
        }
        spans |= dict.fromkeys(COORDINATES, self.coordinates)
        return spans | dict.fromkeys(LENGTHS, self.lengths) | dict.fromkeys(ANGLES, self.angles)

    @cached_property
    def species_table(self) -> NDArray[np.int64]:
        """Atomic number and oxidation state of each species, shape (species, 2)."""
        return np.array(self.species, dtype=np.int64)

    @cached_property
    def _index(self) -> dict[Species, int]:
        return {pair: i for i, pair in enumerate(self.species)}

    def species_index(self, number: int, state: int) -> int:
        """Return the place of a species among `species`, that of state 0 for a state that has no token.

        Raises
        ------
        TokenError
            If the element has no token at all.
        """
        found = self._index.get((number, state), self._index.get((number, 0)))
        if found is None:
            raise TokenError(f"element {number} has no token; leave out crystals that have it")
        return found
