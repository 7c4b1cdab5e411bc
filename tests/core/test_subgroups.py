"""Descriptions in subgroups: fewer operations, more orbits, the same crystal."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystals import NACL, PEROVSKITE, QUARTZ
from descriptions import random_orbits
from materium.core.orbits import canonical_orbits
from materium.core.subgroups import in_subgroup, num_orbits, random_subgroup, subgroups
from materium.core.wyckoff import space_group
from materium.errors import CrystalError


@settings(max_examples=60)
@given(number=st.integers(1, 230), seed=st.integers(0, 2**32 - 1), part=st.floats(0, 1))
def test_a_description_in_a_subgroup_is_the_same_crystal(number: int, seed: int, part: float) -> None:
    """Exactly, where coordinates are multiples of 6 steps: no axes of a subgroup divide those further."""
    orbits = canonical_orbits(random_orbits(number, np.random.default_rng(seed), step=6).to_crystal())
    known = subgroups(orbits.group)
    subgroup = known[round(part * (len(known) - 1))]
    other = in_subgroup(orbits, subgroup)
    assert other.group == subgroup.number
    assert other.composition == orbits.composition
    assert len(other) == num_orbits(orbits, subgroup)
    operations = [len(space_group(group).rotations) for group in (orbits.group, other.group)]
    assert operations[0] == operations[1] * subgroup.index
    back = canonical_orbits(other.to_crystal())
    assert back.group == orbits.group
    np.testing.assert_array_equal(back.positions, orbits.positions)
    np.testing.assert_array_equal(back.points, orbits.points)
    np.testing.assert_allclose(back.parameters, orbits.parameters, rtol=1e-6)


def test_rock_salt_in_its_subgroups() -> None:
    orbits = canonical_orbits(NACL)
    numbers = [one.number for one in subgroups(225)]
    assert numbers[0] == 225
    assert {202, 209, 216, 139, 166} < set(numbers)  # the maximal ones of International Tables A1, in part
    in_139 = in_subgroup(orbits, 139)
    np.testing.assert_allclose(in_139.parameters, [5.6402 / 2**0.5, 5.6402 / 2**0.5, 5.6402, 90, 90, 90])
    assert in_139.points.tolist() == [[0, 0, 0], [0, 0, 504]]
    in_p1 = in_subgroup(orbits, 1)
    np.testing.assert_allclose(in_p1.parameters, [5.6402 / 2**0.5] * 3 + [60] * 3)
    assert in_p1.points.tolist() == [[0, 0, 0], [504, 504, 504]]
    assert in_subgroup(orbits, 225) is orbits


@pytest.mark.parametrize(("crystal", "count"), [(QUARTZ, 9), (PEROVSKITE, 20)])
def test_in_p1_every_atom_is_an_orbit(crystal: object, count: int) -> None:
    orbits = canonical_orbits(crystal)  # type: ignore[arg-type]
    assert len(in_subgroup(orbits, 1)) == count


def test_what_is_no_subgroup_is_refused() -> None:
    orbits = canonical_orbits(QUARTZ)
    with pytest.raises(CrystalError, match="14 is no translationengleiche subgroup of 152; give one of 1, 5, 144, 152"):
        in_subgroup(orbits, 14)
    with pytest.raises(CrystalError, match="a subgroup of 225 was given for a crystal in group 152"):
        in_subgroup(orbits, subgroups(225)[1])


def test_random_subgroups_keep_to_the_limit() -> None:
    orbits, rng = canonical_orbits(PEROVSKITE), np.random.default_rng(0)
    drawn = [random_subgroup(orbits, rng, max_orbits=7) for _ in range(40)]
    sizes = {len(in_subgroup(orbits, subgroup)) for subgroup in drawn if subgroup}
    assert sizes <= {5, 6, 7}
    assert len({subgroup.number for subgroup in drawn if subgroup}) > 2
    assert random_subgroup(orbits, rng, max_orbits=3) is None
    assert random_subgroup(in_subgroup(orbits, 1), rng) is None
