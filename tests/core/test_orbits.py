"""One crystal, one description in its space group: whatever cell, orientation, origin and order of sites it came in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystals import NACL, PEROVSKITE, QUARTZ, SILICON
from crystals import crystal as written
from descriptions import cell_parameters, redescribed
from materium.core.orbits import Orbits, canonical_orbits
from materium.core.wyckoff import FINE_GRID, space_group
from materium.crystal import Crystal

SPINEL = written(
    [8.08, 8.08, 8.08, 90, 90, 90],
    [(12, 2, p) for p in [[0.125] * 3]] + [(13, 3, [0.5] * 3)] + [(8, -2, [0.2624] * 3)],
)
"""MgAl2O4: representatives alone."""
WURTZITE = written(
    [3.99, 3.99, 6.58, 90, 90, 120],
    [
        *[(31, 3, p) for p in ([1 / 3, 2 / 3, 0.1], [2 / 3, 1 / 3, 0.6])],
        *[(33, -3, p) for p in ([1 / 3, 2 / 3, 0.474], [2 / 3, 1 / 3, 0.974])],
    ],
)
"""GaAs in P6_3mc."""


def completed(crystal: Crystal, number: int) -> Crystal:
    """Return the crystal with all images of its sites, which are representatives in the conventional cell."""
    group = space_group(number)
    sites: dict[tuple[float, ...], int] = {}
    for index, place in enumerate(crystal.frac_coords):
        images = group.rotations @ place + group.translations / 24
        for image in (images[:, None] + group.centring / 24).reshape(-1, 3):
            sites.setdefault(tuple(np.round(image % 1, 6) % 1), index)
    frac, index = np.array([*sites]), np.array([*sites.values()])
    assert crystal.oxidation_states is not None
    return Crystal(crystal.lattice, frac, crystal.numbers[index], crystal.oxidation_states[index])


def rows(orbits: Orbits) -> tuple[object, ...]:
    """Return all that must be equal to the last digit."""
    states = None if orbits.oxidation_states is None else orbits.oxidation_states.tolist()
    return orbits.group, orbits.numbers.tolist(), states, orbits.positions.tolist(), orbits.points.tolist()


def assert_same(one: Orbits, other: Orbits) -> None:
    assert rows(one) == rows(other)
    np.testing.assert_allclose(one.parameters, other.parameters, rtol=1e-5)


def labels(orbits: Orbits) -> list[str]:
    positions = space_group(orbits.group).positions
    return [positions[index].label for index in orbits.positions]


# --- known values ---


def test_rock_salt_is_written_in_two_orbits() -> None:
    orbits = canonical_orbits(NACL)
    assert (orbits.group, orbits.num_sites) == (225, 2)
    np.testing.assert_allclose(orbits.parameters, [5.6402] * 3 + [90] * 3)
    assert rows(orbits)[1:] == ([17, 11], [-1, 1], [0, 1], [[0, 0, 0], [504, 504, 504]])
    assert orbits.composition == {(17, -1): 1, (11, 1): 1}


@pytest.mark.parametrize(
    ("crystal", "group", "expected"),
    [
        (SILICON, 227, ["8a"]),
        (WURTZITE, 186, ["2b", "2b"]),
        (PEROVSKITE, 62, ["4a", "4c", "4c", "8d"]),
        (QUARTZ, 152, ["3a", "6c"]),
        (completed(SPINEL, 227), 227, ["16c", "8b", "32e"]),
    ],
    ids=["diamond", "wurtzite", "perovskite", "quartz", "spinel"],
)
def test_positions_of_known_crystals(crystal: Crystal, group: int, expected: list[str]) -> None:
    """Of the two origins of spinel the smaller description has aluminium, the heaviest, on 16c."""
    orbits = canonical_orbits(crystal)
    assert orbits.group == group
    assert sorted(labels(orbits)) == sorted(expected)


# --- the law ---


def random_orbits(number: int, rng: np.random.Generator) -> Orbits:
    """Return two or three orbits on random positions of a space group, with points away from each other."""
    group, found = space_group(number), False
    while not found:
        positions = rng.integers(len(group.positions), size=rng.integers(2, 4))
        points = np.array(
            [
                group.positions[index].point(rng.integers(FINE_GRID, size=group.positions[index].freedom))
                for index in positions
            ]
        )
        numbers = np.sort(rng.choice([3, 8, 17, 26, 50], len(positions), replace=False))[::-1]
        parameters = np.array(cell_parameters(number, rng))
        parameters[:3] *= 2
        orbits = Orbits(number, parameters, numbers, None, positions, points)
        found = orbits.to_crystal().min_distance > 0.5
    return orbits


@settings(max_examples=100)
@given(number=st.integers(1, 230), seed=st.integers(0, 2**32 - 1), volume=st.integers(1, 2))
def test_every_description_has_the_same_orbits(number: int, seed: int, volume: int) -> None:
    rng = np.random.default_rng(seed)
    crystal = random_orbits(number, rng).to_crystal()
    one = canonical_orbits(crystal)
    assert_same(one, canonical_orbits(redescribed(crystal, rng, volume=volume)))
    assert_same(one, canonical_orbits(one.to_crystal(primitive=False)))
