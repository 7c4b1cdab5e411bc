"""Which class of compounds a crystal belongs to, and how rare what it is made of is in the training set.

The most electronegative of the elements that are no metals decides the class, on Pauling's scale: an oxychloride and a
phosphate are oxides, a borohydride is a hydride, platinum arsenide a pnictide though platinum's value is the higher.
Each crystal has exactly one of `CLASSES`; `lanthanide` and `actinide` come on top.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from materium.tokens.tokenizer import electronegativities

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from materium.crystal import Crystal

ANIONS: Mapping[str, frozenset[int]] = {
    "oxide": frozenset({8}),
    "halide": frozenset({9, 17, 35, 53, 85}),
    "chalcogenide": frozenset({16, 34, 52, 84}),
    "pnictide": frozenset({7, 15, 33, 51, 83}),
    "carbide/boride": frozenset({5, 6}),
    "hydride": frozenset({1}),
}
"""Class by the element that decides; oxygen is no chalcogen here; bismuth, antimony and tellurium count as anions."""
CLASSES = (*ANIONS, "intermetallic", "element", "other")
"""`element`: a single one. `intermetallic`: two or more, none in `NOT_METALS`. `other`: compounds of noble gases."""
BLOCKS: Mapping[str, range] = {"lanthanide": range(57, 72), "actinide": range(89, 104)}
"""Atomic numbers, lanthanum and actinium among them; a crystal with one of them is of that kind too."""
NOBLE_GASES = frozenset({2, 10, 18, 36, 54, 86, 118})
NOT_METALS = frozenset().union(*ANIONS.values(), NOBLE_GASES)
"""Silicon and germanium are not among them: silicides and germanides stand with the intermetallics."""
ELEMENT_BINS = (100, 1000)
"""Training crystals that hold the crystal's rarest element: fewer than 100, 100 to 999, 1000 and more."""
GROUP_BINS = (10, 100, 1000)
"""Training crystals of the space group."""
SITE_BINS = (5, 9, 13, 21, 33)
"""Numbers of sites in the primitive cell: up to 4, 5 to 8, 9 to 12, 13 to 20, 21 to 32, and more."""


def classes_of(crystal: Crystal) -> tuple[str, ...]:
    """Return the crystal's class, one of `CLASSES`, then `lanthanide` and `actinide` if it holds such an element."""
    numbers = set(np.unique(crystal.numbers).tolist())
    also = (name for name, block in BLOCKS.items() if numbers & set(block))
    return (_class(numbers), *also)


def _class(numbers: set[int]) -> str:
    if len(numbers) == 1:
        return "element"
    if not numbers & NOT_METALS:
        return "intermetallic"
    most = max(sorted(numbers & NOT_METALS), key=lambda z: electronegativities()[z])
    return next((name for name, anions in ANIONS.items() if most in anions), "other")


@dataclass(frozen=True)
class Rarity:
    """How often the training set holds what a crystal is made of.

    Attributes
    ----------
    elements
        Training crystals by the atomic number of an element that they hold.
    space_groups
        Training crystals by space group.
    """

    elements: Mapping[int, int]
    space_groups: Mapping[int, int]

    @classmethod
    def count(cls, numbers: Iterable[Iterable[int]], space_groups: Iterable[int]) -> Rarity:
        """Return the counts of a training set: each crystal's atomic numbers, and each crystal's space group."""
        elements = Counter(z for own in numbers for z in {int(z) for z in own})
        return cls(dict(elements), dict(Counter(int(group) for group in space_groups)))

    def bins(self, crystal: Crystal, space_group: int | None, num_sites: int) -> dict[str, str]:
        """Return the bins of a crystal: `element` and `space_group` by training crystals, `num_sites` by sites.

        Parameters
        ----------
        space_group
            None, where no symmetry is found, gives `none`.
        num_sites
            Atoms of the primitive cell.
        """
        rarest = min(self.elements.get(int(z), 0) for z in np.unique(crystal.numbers))
        group = "none" if space_group is None else bin_of(self.space_groups.get(space_group, 0), GROUP_BINS)
        return {
            "element": bin_of(rarest, ELEMENT_BINS),
            "space_group": group,
            "num_sites": bin_of(num_sites, SITE_BINS),
        }


def bin_of(value: int, edges: tuple[int, ...]) -> str:
    """Return the name of the bin that holds a value: `< 100`, `100-999`, `>= 1000`."""
    return bin_names(edges)[bisect_right(edges, value)]


def bin_names(edges: tuple[int, ...]) -> tuple[str, ...]:
    """Return the names of all bins between ascending edges, in their order."""
    between = (f"{low}-{high - 1}" for low, high in pairwise(edges))
    return (f"< {edges[0]}", *between, f">= {edges[-1]}")
