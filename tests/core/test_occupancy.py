"""Laws of placing atoms on Wyckoff positions: never a dead end, equal to brute force, and cells known by hand."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from materium.core.occupancy import Occupancy, RequiredOrbit, occupancy

if TYPE_CHECKING:
    from materium.core.occupancy import Counts, Required

VARIED = [1, 2, 10, 15, 47, 62, 69, 74, 123, 141, 166, 186, 191, 194, 216, 221, 225, 227, 229, 230]
EVERY_SPECIES = ~0


def labels(group: int, mask: np.ndarray) -> set[str]:
    return {occupancy(group).labels[index] for index in np.flatnonzero(mask)}


def brute_force(group: int, state: tuple[Counts, int, Required], ordered: int = -1, floor: int = 0) -> bool:
    """Whether any list of orbits, tried one by one, leaves no atom and no required orbit."""
    cells = occupancy(group)

    @cache
    def completes(state: tuple[Counts, int, Required]) -> bool:
        if not any(state[0]):
            return not state[2]
        return any(
            completes(cells.after(state[0], species, position, *state[1:]))
            for species, count in enumerate(state[0])
            for position, size in enumerate(cells.multiplicities)
            if size <= count and not state[1] >> position & 1 and not (species == ordered and position < floor)
        )

    return completes((state[0], state[1] & cells.fixed_mask, state[2]))


@st.composite
def states(draw: st.DrawFn) -> tuple[int, Counts, int, Required]:
    group = draw(st.sampled_from(VARIED))
    cells = occupancy(group)
    remaining = tuple(draw(st.lists(st.integers(0, 6), min_size=1, max_size=3)))
    if draw(st.booleans()):
        size = draw(st.sampled_from(sorted(set(cells.multiplicities))))
        remaining = tuple(min(size * count, 16) for count in remaining)
    positions = st.integers(0, len(cells.multiplicities) - 1)
    used = sum(1 << index for index in draw(st.sets(positions, max_size=3)))
    who = st.sampled_from([EVERY_SPECIES, *(1 << index for index in range(len(remaining)))])
    required = draw(st.lists(st.builds(RequiredOrbit, positions, who), max_size=2))
    return group, remaining, used, tuple(required)


@given(states(), st.data())
def test_feasible_and_masks_equal_brute_force(state: tuple[int, Counts, int, Required], data: st.DataObject) -> None:
    group, remaining, used, required = state
    cells = occupancy(group)
    assert cells.feasible(remaining, used, required) == brute_force(group, (remaining, used, required))
    species = data.draw(st.integers(0, len(remaining) - 1))
    floor = data.draw(st.none() | st.integers(0, len(cells.multiplicities) - 1))
    mask = cells.positions_allowed(remaining, species, used, required, floor)
    for position, size in enumerate(cells.multiplicities):
        free = not (used & cells.fixed_mask) >> position & 1
        expected = False
        if free and size <= remaining[species] and position >= (floor or 0):
            after = cells.after(remaining, species, position, used & cells.fixed_mask, required)
            ordered = (-1, 0) if floor is None else (species, position)
            expected = brute_force(group, after, *ordered)
        assert mask[position] == expected


@pytest.mark.parametrize("in_order", [False, True])
def test_walks_under_the_masks_always_complete_in_all_groups(in_order: bool) -> None:
    rng = np.random.default_rng(0)
    for group in range(1, 231):
        cells = occupancy(group)
        walks = 0
        while walks < 4:
            sizes = rng.choice(cells.multiplicities, size=rng.integers(1, 5))
            remaining = tuple((sizes * rng.integers(1, 4, len(sizes))).tolist())
            if sum(remaining) > 52 + 2 * max(cells.multiplicities) or not cells.feasible(remaining):
                walks += sum(remaining) < 52
                continue
            walks += 1
            used, required, last, floor = 0, (), -1, 0
            while any(remaining):
                species_mask = cells.species_allowed(remaining, used, required, grouped=in_order, last=last)
                species = int(rng.choice(np.flatnonzero(species_mask)))
                floor = floor if species == last else 0
                mask = cells.positions_allowed(remaining, species, used, required, floor if in_order else None)
                position = int(rng.choice(np.flatnonzero(mask)))
                remaining, used, required = cells.after(remaining, species, position, used, required)
                last, floor = species, position
            assert not any(remaining)


def test_rock_salt_in_225() -> None:
    cells = occupancy(225)
    assert cells.feasible((1, 1))
    assert labels(225, cells.positions_allowed((1, 1), 0)) == {"4a", "4b"}
    remaining, used, _ = cells.after((1, 1), 0, 1)
    assert remaining == (0, 1)
    assert labels(225, cells.positions_allowed(remaining, 1, used)) == {"4a"}
    assert not cells.feasible((1, 1, 1))


def test_spinel_in_227() -> None:
    mg, al, o = range(3)
    cells, counts = occupancy(227), (2, 4, 8)
    assert labels(227, cells.positions_allowed(counts, mg)) == {"8a", "8b"}
    assert labels(227, cells.positions_allowed(counts, al)) == {"16c", "16d"}  # both of 8a, 8b would leave none for Mg
    assert labels(227, cells.positions_allowed(counts, o)) == {"32e"}
    assert not cells.feasible((1, 2, 4))


def test_silicon_in_227() -> None:
    assert labels(227, occupancy(227).positions_allowed((2,), 0)) == {"8a", "8b"}


def test_garnet_in_230_has_24_dodecahedral_sites() -> None:
    y, al, o = range(3)
    cells, counts = occupancy(230), (12, 20, 48)
    assert labels(230, cells.positions_allowed(counts, y)) == {"24c", "24d"}
    assert labels(230, cells.positions_allowed(counts, al)) == {"16a", "16b", "24c", "24d"}
    assert labels(230, cells.positions_allowed(counts, o)) >= {"96h"}


def test_required_orbits_are_kept_for_those_who_may_form_them() -> None:
    cells = occupancy(221)  # 1a, 1b, 3c, 3d: perovskite, the small atoms on the corner
    required = (RequiredOrbit(0, 0b001),)
    assert labels(221, cells.positions_allowed((1, 1, 3), 0, 0, required)) == {"1a"}
    assert labels(221, cells.positions_allowed((1, 1, 3), 1, 0, required)) == {"1b"}
    assert not cells.feasible((1, 1, 3), 0, (RequiredOrbit(0, 0b001), RequiredOrbit(1, 0b100)))


def test_groups_of_equal_multiplicities_share_one_programme() -> None:
    assert len({id(occupancy(group).solver) for group in range(1, 231)}) == 71
    assert isinstance(occupancy(1), Occupancy)
