"""Oxidation states from the composition alone, by pymatgen, memoised and bounded."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from math import comb, gcd, prod
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from materium.crystal import Crystal

BUDGET = 200_000
"""Combinations that a guess may try, about half a second; counted beforehand, so that every machine gives up alike."""

Formula: TypeAlias = tuple[tuple[int, int], ...]
"""Pairs of atomic number and count, by atomic number, without a common divisor."""


def reduced_formula(crystal: Crystal) -> Formula:
    """Return the crystal's reduced formula."""
    counts = Counter(crystal.numbers.tolist())
    divisor = gcd(*counts.values())
    return tuple((z, counts[z] // divisor) for z in sorted(counts))


@lru_cache(maxsize=200_000)
def guess(formula: Formula) -> tuple[dict[int, int], str]:
    """Return the oxidation state of each element, by atomic number, and how it was found.

    The likeliest charge-neutral assignment of one integer to each element, after the frequencies in the ICSD
    (pymatgen's `oxi_state_guesses`). All zero where there is none; the second value says why: `guessed`, `element`,
    `no neutral assignment`, `mixed valence` or `over budget`.
    """
    zero = {z: 0 for z, _ in formula}
    if len(formula) == 1:
        return zero, "element"
    if _search_size(formula) > BUDGET:
        return zero, "over budget"
    solutions = _solutions(formula)
    whole = [s for s in solutions if all(v == round(v) for v in s.values())]
    if whole:
        return {z: round(v) for z, v in whole[0].items()}, "guessed"
    return zero, "mixed valence" if solutions else "no neutral assignment"


def with_guess(crystal: Crystal) -> tuple[Crystal, str]:
    """Return the crystal with oxidation states, and where they come from (`given` or a word of `guess`).

    States that the crystal brings are kept, unless all are zero, which databases write for "not known".
    """
    if crystal.oxidation_states is not None and crystal.oxidation_states.any():
        return crystal, "given"
    states, how = guess(reduced_formula(crystal))
    return crystal.with_oxidation_states(np.array([states[int(z)] for z in crystal.numbers])), how


def candidate_states(atomic_number: int) -> tuple[int, ...]:
    """Return the oxidation states that a guess considers for an element: ICSD's, else the common ones."""
    from pymatgen.core import Element

    element = Element.from_Z(atomic_number)
    return tuple(element.icsd_oxidation_states or element.common_oxidation_states)


def _search_size(formula: Formula) -> int:
    """How many combinations pymatgen's search would try for the formula."""
    states = {z: candidate_states(z) for z, _ in formula}
    within = sum(comb(len(states[z]) + n - 1, n) for z, n in formula if states[z])
    sums = prod(n * (max(states[z]) - min(states[z])) + 1 for z, n in formula if states[z])
    return within + sums


def _solutions(formula: Formula) -> list[dict[int, float]]:
    from pymatgen.core import Composition, Element

    composition = Composition({Element.from_Z(z): n for z, n in formula})
    return [{Element(s).Z: v for s, v in g.items()} for g in composition.oxi_state_guesses()]
