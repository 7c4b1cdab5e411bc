"""Oxidation states from the composition alone, by pymatgen, memoised and bounded."""

from __future__ import annotations

from collections import Counter
from functools import cache, lru_cache
from itertools import combinations_with_replacement, product
from math import comb, gcd, prod
from typing import TypeAlias

import numpy as np

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
    states = _likeliest(formula)
    if states is not None:
        return dict(zip(zero, states, strict=True)), "guessed"
    return zero, "mixed valence" if _can_balance(formula) else "no neutral assignment"


def with_guess(crystal: Crystal) -> tuple[Crystal, str]:
    """Return the crystal with oxidation states, and where they come from (`given` or a word of `guess`).

    States that the crystal brings are kept, unless all are zero, which databases write for "not known".
    """
    if crystal.oxidation_states is not None and crystal.oxidation_states.any():
        return crystal, "given"
    states, how = guess(reduced_formula(crystal))
    return crystal.with_oxidation_states(np.array([states[int(z)] for z in crystal.numbers])), how


def balanced(crystal: Crystal) -> tuple[Crystal, str]:
    """Return the crystal with the oxidation states that files and structures carry, and where those come from.

    Every writer takes its states from here. A model may write states that do not add up to zero, which other programs
    would read as a charged cell.

    Returns
    -------
    The crystal as it is and `given` if its states add up to zero; with one state for each element and `guessed` if they
    do not, but `guess` finds a neutral assignment; else without states and `none`, also where all are zero, which
    databases write for "not known".
    """
    states = crystal.oxidation_states
    if states is None:
        return crystal, "none"
    if states.any():
        if states.sum() == 0:
            return crystal, "given"
        of_elements, how = guess(reduced_formula(crystal))
        if how == "guessed":
            return crystal.with_oxidation_states([of_elements[z] for z in crystal.numbers.tolist()]), how
    return Crystal(crystal.lattice, crystal.frac_coords, crystal.numbers), "none"


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


def _likeliest(formula: Formula) -> tuple[int, ...] | None:
    """The first of pymatgen's `oxi_state_guesses` in which every element has one whole number; None if there is none.

    That method builds a `Species` for every atom of every combination, which took three quarters of all preparing; here
    the sums of an element are kept. A test holds the two to each other.
    """
    tables = [{total: score for total, score in _sums(z, n).items() if total % n == 0} for z, n in formula]
    neutral = [totals for totals in product(*tables) if sum(totals) == 0]
    if not neutral:
        return None
    best = max(neutral, key=lambda totals: sum(table[total] for table, total in zip(tables, totals, strict=True)))
    return tuple(total // n for total, (_, n) in zip(best, formula, strict=True))


def _can_balance(formula: Formula) -> bool:
    """Whether some states of the single atoms are neutral in sum."""
    totals = {0}
    for z, n in formula:
        totals = {total + own for total in totals for own in _sums(z, n)}
    return 0 in totals


@lru_cache(maxsize=10_000)
def _sums(z: int, n: int) -> dict[int, float]:
    """Every charge that n atoms of an element can have, with the score of its likeliest combination of states.

    A combination's score is the sum of its states' frequencies in the ICSD, which are pymatgen's.
    """
    states = [(state, _frequencies().get((z, state), 0.0)) for state in candidate_states(z)]
    best: dict[int, float] = {}
    for chosen in combinations_with_replacement(states, n):
        total, score = sum(state for state, _ in chosen), sum(frequency for _, frequency in chosen)
        best[total] = max(score, best.get(total, score))
    return best


@cache
def _frequencies() -> dict[tuple[int, int], float]:
    """How often each species occurs in the ICSD, by atomic number and state."""
    from pymatgen.core import Composition

    Composition("NaCl").oxi_state_guesses()  # reads the table
    return {(sp.Z, int(sp.oxi_state)): frequency for sp, frequency in (Composition.oxi_prob or {}).items()}
