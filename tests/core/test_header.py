"""Laws of a header's masks: exactly what can still be completed, by brute force over all headers of few atoms."""

from __future__ import annotations

from functools import cache
from itertools import product
from math import gcd
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from materium.core.completion import HeaderConstraints
from materium.core.header import HeaderMasks
from materium.core.occupancy import RequiredPosition, occupancy
from materium.core.wyckoff import space_group

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from materium.core.completion import Header
    from materium.core.occupancy import Counts

SPECIES = ((3, 1), (8, -2), (8, 0), (26, 2), (26, 3))
GROUPS = (1, 2, 47, 166, 221, 225, 227, 229, 230)


@cache
def compositions(most: int) -> list[frozenset[tuple[int, int]]]:
    """Every reduced composition of at most so many atoms."""
    every = product(range(most + 1), repeat=len(SPECIES))
    reduced = [counts for counts in every if 0 < sum(counts) <= most and gcd(*counts) == 1]
    return [frozenset((i, n) for i, n in enumerate(counts) if n) for counts in reduced]


def cells(given_: HeaderConstraints, pairs: Header, group: int) -> set[int]:
    """Each Z with which a composition keeps the constraints in a group, straight from their words."""
    totals: dict[int, int] = {}
    for index, count in pairs:
        z = SPECIES[index][0]
        totals[z] = totals.get(z, 0) + count
    charge = sum(SPECIES[index][1] * count for index, count in pairs)
    low, high = given_.num_elements
    allowed = totals.keys() if given_.allowed is None else given_.allowed
    fits = low <= len(totals) <= high and given_.required <= totals.keys() <= allowed
    if not fits or (given_.neutral and charge) or group not in given_.groups:
        return set()
    factor = 1
    if given_.formula is not None:
        factor = gcd(*totals.values())
        if {z: n // factor for z, n in totals.items()} != dict(given_.formula):
            return set()
    return {units for units in range(1, given_.sites[1] + 1) if placed(given_, pairs, group, units, factor)}


def placed(given_: HeaderConstraints, pairs: Header, group: int, units: int, factor: int) -> bool:
    counts = tuple(count * units for _, count in pairs)
    (few, many), (low, high) = given_.sites, given_.units
    if not (few <= sum(counts) <= many and low <= units * factor <= high):
        return False
    return any(
        occupancy(group).feasible(left, used)
        for left, used in with_positions(given_.positions, pairs, group, counts, 0)
    )


def with_positions(
    positions: tuple[RequiredPosition, ...], pairs: Header, group: int, counts: Counts, used: int
) -> Iterator[tuple[Counts, int]]:
    """Yield what is left after each way to occupy the required positions."""
    if not positions:
        yield counts, used
        return
    entry = [p for p in space_group(group).positions if positions[0].label in {p.letter, p.label}]
    for place, (index, _) in enumerate(pairs):
        if entry and positions[0].element in {None, SPECIES[index][0]}:
            left, more, _ = occupancy(group).after(counts, place, entry[0].index, used)
            if min(left) >= 0 and not (used & occupancy(group).fixed_mask) >> entry[0].index & 1:
                yield from with_positions(positions[1:], pairs, group, left, more)


@st.composite
def constraints(draw: st.DrawFn) -> HeaderConstraints:
    elements = st.frozensets(st.sampled_from([3, 8, 26]))
    low = draw(st.integers(1, 3))
    formulas = st.sampled_from([((8, 2), (26, 1)), ((8, 4), (26, 3)), ((3, 1), (8, 2), (26, 1))])
    formula = draw(formulas) if (fixed := draw(st.integers(0, 2)) == 0) else None
    sites = draw(st.integers(4 if fixed else 1, 8))
    units = draw(st.integers(1, 3))
    positions = st.builds(RequiredPosition, st.sampled_from(["a", "b", "1a", "c"]), st.sampled_from([None, 3, 8]))
    return HeaderConstraints(
        SPECIES,
        sites=(draw(st.integers(1, max(1, sites - 2))), sites),
        allowed=None if fixed else draw(st.none() | elements.filter(len)),
        required=draw(elements) if draw(st.integers(0, 2)) == 0 else frozenset(),
        num_elements=(low, draw(st.integers(low, 3))) if draw(st.integers(0, 2)) == 0 else (1, 10),
        formula=formula,
        units=(units, draw(st.integers(units, 8))) if draw(st.booleans()) else (1, 1 << 30),
        neutral=draw(st.booleans()),
        groups=draw(st.frozensets(st.sampled_from(GROUPS), min_size=1, max_size=3)),
        positions=tuple(draw(st.lists(positions, max_size=2))) if draw(st.integers(0, 2)) == 0 else (),
        direction=draw(st.sampled_from([0, 0, 1, -1])),
    )


@given(constraints(), st.randoms(use_true_random=False))
def test_masks_allow_exactly_what_can_be_completed(given_: HeaderConstraints, random: Random) -> None:
    masks = HeaderMasks(given_)
    complete = [pairs for pairs in compositions(given_.sites[1]) if any(cells(given_, tuple(pairs), g) for g in GROUPS)]
    assert masks.search.completable(()) == bool(complete)
    header: Header = ()
    while complete:
        species, counts = masks.species_allowed(header), dict[int, np.ndarray]()
        follows = {pair for pairs in complete for pair in pairs - set(header)}
        if given_.direction:  # all that follows must lie beyond the last species, and so the next is the nearest of it
            key = (lambda pair: pair[0]) if given_.direction > 0 else (lambda pair: -pair[0])
            follows = {min(pairs - set(header), key=key) for pairs in complete if pairs - set(header)}
        assert set(np.flatnonzero(species)) == {index for index, _ in follows}, header
        assert [masks.species_possible(header, index) for index in range(len(SPECIES))] == species.tolist()
        for index in np.flatnonzero(species):
            counts[index] = masks.counts_allowed(header, int(index))
            assert set(np.flatnonzero(counts[index])) == {n for i, n in follows if i == index}, (header, index)
        ends = frozenset(header) in complete
        assert masks.search.may_end(header) == ends
        for group in GROUPS:
            z = cells(given_, header, group) if ends else set()
            assert set(np.flatnonzero(masks.units_allowed(header, group))) == z
            assert masks.groups_allowed(header)[group - 1] == bool(z)
        if not follows:
            break
        header = (*header, random.choice(sorted(follows)))
        complete = [pairs for pairs in complete if set(header) <= pairs]
        if given_.direction:
            reach = [i for i in range(len(SPECIES)) if (i - header[-1][0]) * given_.direction > 0]
            complete = [pairs for pairs in complete if {i for i, _ in pairs - set(header)} <= set(reach)]
    assert masks.search.undecided == 0
