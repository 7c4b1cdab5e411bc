"""The sums that further species can add, against trying all small sets of species."""

from __future__ import annotations

from itertools import combinations_with_replacement, product
from math import gcd

import pytest

from materium.core.charge_balance import ChargeBalance, places_left
from materium.core.occupancy import occupancy


@pytest.mark.parametrize(("group", "units"), [(1, 1), (2, 1), (221, 1), (225, 1), (227, 2), (230, 4)])
def test_sums_are_those_of_all_sets_of_species(group: int, units: int) -> None:
    solver, charges, atoms = occupancy(group).solver, (2, -1), 7
    balance = ChargeBalance(solver, units, frozenset(charges), atoms)
    found = {1: set(), 2: set(), 3: set()}
    for species in range(5):
        for counts in combinations_with_replacement(range(1, atoms + 1), species):
            cell = tuple(count * units for count in counts)
            if sum(counts) <= atoms and solver.feasible(cell, solver.available):
                for states in product(charges, repeat=species):
                    pair = sum(counts), sum(n * state for n, state in zip(counts, states, strict=True))
                    for divisor, pairs in found.items():
                        pairs.update({pair} if gcd(divisor, *counts) == 1 else ())
    for divisor, pairs in found.items():
        for total, charge in product(range(4), range(-8, 9)):
            expected = (total, charge) in pairs
            holds = balance.holds(solver.available, range(total, total + 1), -charge, divisor)
            assert holds == expected, (divisor, total, charge)


def test_as_many_fixed_positions_as_possible_are_left() -> None:
    solver = occupancy(221).solver  # 1a 1b, 3c 3d, free 6 8 12 24 48
    assert solver.fixed == ((1, 2), (3, 2))
    assert places_left(solver, (1, 3)) == ((1, 1),)
    assert set(places_left(solver, (4,))) == {(1, 1)}
    assert places_left(solver, (2, 1)) == ()
