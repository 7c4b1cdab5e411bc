"""One crystal, one description in its space group: whatever cell, orientation, origin and order of sites it came in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystals import KNOWN, MAGNETITE_LIKE, NACL, PEROVSKITE, QUARTZ, SILICON
from crystals import crystal as written
from descriptions import orbit, random_orbits, redescribed
from materium.convert import to_structure
from materium.core.orbits import Orbits, all_settings, canonical_orbits
from materium.core.wyckoff import space_group
from materium.crystal import Crystal, lengths_angles
from materium.errors import CrystalError
from materium.symmetry import SYMPREC, dataset_of

SPINEL = written(
    [8.08, 8.08, 8.08, 90, 90, 90],
    [(12, 2, [0.125] * 3), (13, 3, [0.5] * 3), (8, -2, [0.2624] * 3)],
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
    images = [orbit(number, place) for place in crystal.frac_coords]
    index = np.repeat(np.arange(len(images)), [len(one) for one in images])
    every = crystal.select(index)
    return Crystal(crystal.lattice, np.concatenate(images), every.numbers, every.oxidation_states)


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


@settings(max_examples=60)
@given(number=st.integers(1, 230), seed=st.integers(0, 2**32 - 1), volume=st.integers(1, 2))
def test_every_description_has_the_same_orbits(number: int, seed: int, volume: int) -> None:
    rng = np.random.default_rng(seed)
    crystal = random_orbits(number, rng).to_crystal()
    one = canonical_orbits(crystal)
    assert_same(one, canonical_orbits(redescribed(crystal, rng, volume=volume)))
    assert_same(one, canonical_orbits(one.to_crystal(primitive=False)))


@pytest.mark.parametrize("seed", range(5))
def test_cells_that_are_equal_within_the_tolerance_are_one(seed: int) -> None:
    """Cm where a + c is as long as c but for 2e-5: the normaliser interchanges both, the cell stays moyo's."""
    rng = np.random.default_rng(seed)
    drawn = random_orbits(8, rng)
    parameters = np.array([9.60519219, 5.54337978, 5.54366939, 90, 125.25227225, 90]) * [2, 2, 2, 1, 1, 1]
    crystal = Orbits(8, parameters, drawn.numbers, None, drawn.positions, drawn.points).to_crystal()
    standard = lengths_angles(np.array(dataset_of(crystal, SYMPREC).std_cell.basis))
    for orbits in all_settings(crystal):
        np.testing.assert_allclose(orbits.parameters, standard, rtol=1e-9)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_orbits_are_still_the_crystal(name: str) -> None:
    """Pymatgen's matcher knows nothing of orbits; points are rounded by half a step, 0.004 Å in these cells."""
    from pymatgen.core.structure_matcher import StructureMatcher

    matcher = StructureMatcher(ltol=1e-3, stol=5e-3, angle_tol=0.1, scale=False)
    for orbits in all_settings(KNOWN[name]):
        for primitive in (True, False):
            assert matcher.fit(to_structure(orbits.to_crystal(primitive=primitive)), to_structure(KNOWN[name]))


@settings(max_examples=30)
@given(number=st.integers(1, 230), seed=st.integers(0, 2**32 - 1))
def test_all_settings_are_different_and_the_same_crystal(number: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ways = all_settings(random_orbits(number, rng).to_crystal())
    assert len({str(rows(way)) for way in ways}) == len(ways)
    assert_same(ways[0], min(ways, key=lambda way: [*zip(way.positions.tolist(), way.points.tolist(), strict=True)]))
    assert_same(ways[0], canonical_orbits(ways[rng.integers(len(ways))].to_crystal()))


# --- what is one species, and what are two ---


def test_states_of_one_element_are_kept_apart() -> None:
    orbits = canonical_orbits(MAGNETITE_LIKE)
    assert orbits.numbers.tolist()[:2] == [26, 26]
    assert orbits.oxidation_states is not None
    assert orbits.oxidation_states.tolist()[:2] == [3, 2]
    assert orbits.composition[26, 2] == orbits.composition[26, 3] == 1
    bare = canonical_orbits(Crystal(MAGNETITE_LIKE.lattice, MAGNETITE_LIKE.frac_coords, MAGNETITE_LIKE.numbers))
    assert bare.oxidation_states is None
    assert bare.to_crystal().oxidation_states is None


def test_a_chiral_crystal_is_not_its_mirror_image() -> None:
    mirrored = Crystal(QUARTZ.lattice * [1, 1, -1], QUARTZ.frac_coords, QUARTZ.numbers, QUARTZ.oxidation_states)
    assert (canonical_orbits(QUARTZ).group, canonical_orbits(mirrored).group) == (152, 154)


def test_overlapping_atoms_are_refused() -> None:
    with pytest.raises(CrystalError, match="overlapping atoms"):
        canonical_orbits(Crystal(np.eye(3) * 4, [[0, 0, 0], [0, 0, 0]], [11, 17]))
