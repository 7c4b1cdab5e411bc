"""Compositions that keep constraints in space groups known by hand; the laws are in `test_header.py`."""

from __future__ import annotations

import pytest

from materium.core.completion import CompletionSearch, HeaderConstraints
from materium.core.occupancy import RequiredPosition, occupancy, undominated
from materium.core.space_groups import find_space_groups

LI, OX, NA, MG, AL, CL, FE = 3, 8, 11, 12, 13, 17, 26
SPECIES = tuple((z, 0) for z in range(1, 100))


def header(*pairs: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple((z - 1, count) for z, count in pairs)


@pytest.mark.parametrize(
    ("pairs", "group", "possible", "impossible"),
    [
        (((NA, 1), (CL, 1)), 225, {1, 2, 6, 7, 8}, {3, 4, 5}),  # fixed positions of 1, 1, 2 and 6 atoms
        (((NA, 1), (CL, 1)), 227, {2, 4, 6, 8}, {1, 3, 5, 7}),  # 2, 2, 4 and 4
        (((MG, 1), (AL, 2), (OX, 4)), 227, {2, 4, 6}, {1, 3, 5, 7}),
        (((FE, 1),), 230, {8, 12, 16, 20}, {1, 2, 4, 6, 10}),  # 8, 8, 12 and 12
    ],
)
def test_units_of_a_space_group(
    pairs: tuple[tuple[int, int], ...], group: int, possible: set[int], impossible: set[int]
) -> None:
    found = set(CompletionSearch(HeaderConstraints(SPECIES, sites=(1, 52))).units(header(*pairs), group))
    assert possible <= found
    assert not impossible & found


def test_a_group_that_takes_no_odd_counts_asks_for_even_units() -> None:
    constraints = HeaderConstraints(SPECIES, formula=((NA, 1), (CL, 1)), groups=frozenset({227}), units=(1, 1))
    assert not CompletionSearch(constraints).completable(())


def test_an_element_must_be_able_to_form_its_required_position() -> None:
    positions = (RequiredPosition("8a", MG), RequiredPosition("16d", AL))
    formula = ((OX, 4), (MG, 1), (AL, 2))
    spinel = HeaderConstraints(SPECIES, formula=formula, groups=frozenset(range(1, 231)), positions=positions)
    search = CompletionSearch(spinel)
    whole = header((MG, 1), (AL, 2), (OX, 4))
    assert search.completable(())
    assert 2 in search.units(whole, 227)
    assert search.units(whole, 225) == []  # it has neither 8a nor 16d
    mixed = (RequiredPosition("8a", LI),)
    assert not CompletionSearch(HeaderConstraints(SPECIES, formula=formula, positions=mixed)).completable(())


def test_one_programme_stands_for_all_centrosymmetric_groups() -> None:
    solvers = list({occupancy(group).solver for group in find_space_groups(centrosymmetric=True)})
    assert undominated(solvers) == [occupancy(2).solver]
    assert undominated([*solvers, occupancy(1).solver]) == [occupancy(1).solver]
