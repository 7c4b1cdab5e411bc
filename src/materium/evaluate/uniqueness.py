"""Which crystals are the same: the first of equals counts, the others are its copies.

Two crystals are equal if pymatgen's StructureMatcher, as it comes (ltol 0.2, stol 0.3, angle_tol 5°, primitive cells,
scaled to one volume), says so; oxidation states are ignored. That relation is neither symmetric nor transitive, so the
order is part of the definition: a crystal is a copy of the first earlier one that it matches and that is no copy.

What spares work here never changes that answer: the matcher itself refuses other formulas and other numbers of sites in
the primitive cell, reduced cells are kept, and a crystal that is bit for bit an earlier one has that one's answer.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from materium.convert import formula, to_structure
from materium.crystal import Crystal
from materium.io.matching import unskewed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pymatgen.core.structure_matcher import StructureMatcher

    from materium.convert import Structure


@cache
def matcher() -> StructureMatcher:
    """Return pymatgen's StructureMatcher with the settings it comes with, which are the field's for uniqueness."""
    from pymatgen.core.structure_matcher import StructureMatcher

    return StructureMatcher()


class Reduced:
    """A crystal for many comparisons: its primitive, Niggli-reduced structure is made when it is first asked for.

    Parameters
    ----------
    crystal
        Its oxidation states are ignored: a reference has none, or other ones.
    """

    def __init__(self, crystal: Crystal) -> None:
        self._crystal = crystal
        self._structure: Structure | None = None

    @property
    def structure(self) -> Structure:
        """The structure that the matcher compares."""
        if self._structure is None:
            self._structure = to_structure(_bare(self._crystal)).get_reduced_structure().get_primitive_structure()
        return self._structure

    def equals(self, other: Reduced) -> bool:
        """Tell whether the matcher calls both equal; `self` is the earlier one."""
        one, two = self.structure, other.structure
        return len(one) == len(two) and bool(matcher().fit(one, two, skip_structure_reduction=True))


class Uniques:
    """Crystals one after the other, of which only the first of equals are kept."""

    def __init__(self) -> None:
        self._firsts: dict[str, list[tuple[int, Reduced]]] = {}
        self._answers: dict[bytes, int] = {}
        self._count = 0

    def __len__(self) -> int:
        """Return the number of crystals that are the first of their kind."""
        return sum(len(group) for group in self._firsts.values())

    def add(self, crystal: Crystal) -> int | None:
        """Return the index of the earlier crystal that this one is a copy of, or None if it is the first.

        Indices count the calls, from 0.
        """
        index, self._count = self._count, self._count + 1
        key = _bits(crystal)
        if key not in self._answers:
            self._answers[key] = self._first_equal(crystal, index)
        first = self._answers[key]
        return None if first == index else first

    def _first_equal(self, crystal: Crystal, index: int) -> int:
        group, own = self._firsts.setdefault(formula(crystal), []), Reduced(crystal)
        for first, other in group:
            if other.equals(own):
                return first
        group.append((index, own))
        return index


def first_of_equals(crystals: Iterable[Crystal]) -> list[int]:
    """Return for each crystal the index of the first that it equals, its own if it is the first, shape (n,)."""
    known = Uniques()
    found = [known.add(crystal) for crystal in crystals]
    return [index if first is None else first for index, first in enumerate(found)]


def _bare(crystal: Crystal) -> Crystal:
    """Return the crystal without oxidation states, and in its reduced cell if its own is skewed."""
    return unskewed(Crystal(crystal.lattice, crystal.frac_coords, crystal.numbers))


def _bits(crystal: Crystal) -> bytes:
    """What tells two crystals apart bit for bit."""
    return np.concatenate([crystal.lattice.ravel(), crystal.frac_coords.ravel(), crystal.numbers]).tobytes()
