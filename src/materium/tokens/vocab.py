"""The vocabulary: five marks, species (element and oxidation state), and numbers on a grid."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import TypeAlias

import numpy as np

from materium.errors import TokenError

MARKS = ("[PAD]", "[SOS]", "[ATOMS]", "[LATTICE]", "[EOS]")
PAD, SOS, ATOMS, LATTICE, EOS = range(len(MARKS))
MAX_TOKEN_ELEMENT = 99
"""Elements 1 to 99 have tokens (paper, section 3.1)."""


class Role(IntEnum):
    """What a token is; the role of the next token decides what is legal."""

    SOS = 0
    ATOMS = 1
    SPECIES = 2
    X = 3
    Y = 4
    Z = 5
    LATTICE = 6
    A = 7
    B = 8
    C = 9
    ALPHA = 10
    BETA = 11
    GAMMA = 12
    EOS = 13
    PAD = 14


Species: TypeAlias = tuple[int, int]
"""Atomic number and oxidation state."""


@dataclass(frozen=True)
class Vocabulary:
    """Token ids in the order marks, species, numbers; the numbers are shared by coordinates and lattice.

    Parameters
    ----------
    species
        Distinct pairs of atomic number and oxidation state, each element at least with state 0.
    bins
        Steps of the grid: coordinates use the points 0 to bins - 1, the lattice 0 to bins.
    """

    species: tuple[Species, ...]
    bins: int

    @property
    def first_species(self) -> int:
        """Id of the first species token."""
        return len(MARKS)

    @property
    def first_number(self) -> int:
        """Id of the grid point 0."""
        return len(MARKS) + len(self.species)

    def __len__(self) -> int:
        """Return the number of tokens."""
        return self.first_number + self.bins + 1

    @cached_property
    def species_ids(self) -> dict[Species, int]:
        """Token id of each species."""
        return {pair: self.first_species + i for i, pair in enumerate(self.species)}

    @cached_property
    def species_table(self) -> np.ndarray:
        """Atomic number and oxidation state of each species token, shape (species, 2)."""
        return np.array(self.species, dtype=np.int64)

    def species_id(self, number: int, state: int) -> int:
        """Return the id of a species, with state 0 in place of a state that has no token.

        Raises
        ------
        TokenError
            If the element has no token at all.
        """
        ids = self.species_ids
        found = ids.get((number, state), ids.get((number, 0)))
        if found is None:
            raise TokenError(f"element {number} has no token; the vocabulary ends at element {MAX_TOKEN_ELEMENT}")
        return found

    def names(self) -> list[str]:
        """Return every token as text, in the order of the ids: `[SOS]`, `Fe|+3`, `<504>`."""
        from pymatgen.core import Element

        species = [f"{Element.from_Z(z).symbol}|{state:+d}" for z, state in self.species]
        return [*MARKS, *species, *(f"<{k}>" for k in range(self.bins + 1))]


def known_species(source: str) -> tuple[Species, ...]:
    """Return the species of elements 1 to 99: state 0 and those of pymatgen's tables.

    `common` takes the common oxidation states (the paper's vocabulary), `icsd` adds those seen in the ICSD, from
    which the guess chooses, and `none` leaves the elements alone.
    """
    from pymatgen.core import Element

    def states(element: Element) -> set[int]:
        common = set() if source == "none" else set(element.common_oxidation_states)
        return common | {0} | (set(element.icsd_oxidation_states) if source == "icsd" else set())

    if source not in ("common", "icsd", "none"):
        raise TokenError(f"unknown species source {source!r}; choose common, icsd or none")
    numbers = range(1, MAX_TOKEN_ELEMENT + 1)
    return tuple((z, int(s)) for z in numbers for s in sorted(states(Element.from_Z(z))))
