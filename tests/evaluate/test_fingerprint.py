from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystals import KNOWN, NACL, PEROVSKITE, QUARTZ, RUTILE, SPACE_GROUPS
from materium.crystal import Crystal
from materium.errors import CrystalError
from materium.evaluate.fingerprint import (
    ALIKE,
    NEIGHBOURS,
    Fingerprint,
    average_minimum_distances,
    distance,
    fingerprint,
    neighbour_distances,
    num_sites,
    reduced_cell,
    structure_type,
)

WYCKOFF = {
    "NaCl": "Cl:1a Na:1b",
    "TiO2": "O:4f Ti:2a",
    "SiO2": "O:6c Si:3a",
    "CaTiO3": "Ca:4c O:4c+8d Ti:4a",
    "Si": "Si:2a",
}


def described_otherwise(crystal: Crystal, seed: int) -> Crystal:
    """Return the crystal in a cell of twice the size, turned, shifted, with its sites shuffled and no charges."""
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    supercell = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 2]])[rng.permutation(3)]
    images = np.array(list(product(range(2), repeat=3)))
    frac = ((crystal.frac_coords + rng.random(3))[:, None] + images).reshape(-1, 3) @ np.linalg.inv(supercell)
    numbers = np.repeat(crystal.numbers, len(images))
    _, first = np.unique(np.round((frac + 1e-9) % 1, 6), axis=0, return_index=True)
    order = rng.permutation(first)
    assert len(order) == 2 * len(crystal)
    return Crystal(supercell @ crystal.lattice @ rotation, frac[order], numbers[order])


def displaced(crystal: Crystal, by: float, seed: int) -> Crystal:
    """Return the crystal with each atom moved by `by` Å in a direction of its own."""
    directions = np.random.default_rng(seed).normal(size=(len(crystal), 3))
    moves = by * directions / np.linalg.norm(directions, axis=1, keepdims=True)
    return Crystal(crystal.lattice, crystal.frac_coords + moves @ np.linalg.inv(crystal.lattice), crystal.numbers)


@pytest.mark.parametrize("formula", KNOWN)
def test_known_crystals_have_their_known_names(formula: str) -> None:
    found = fingerprint(KNOWN[formula])
    assert found.formula == formula
    assert found.space_group == SPACE_GROUPS[formula]
    assert found.wyckoff == WYCKOFF[formula]
    assert found.amd.shape == (NEIGHBOURS + ALIKE,)
    assert found.amd.dtype == np.float32


@pytest.mark.parametrize("formula", KNOWN)
@settings(max_examples=25)
@given(seed=st.integers(0, 1000))
def test_cell_origin_orientation_and_order_change_nothing(formula: str, seed: int) -> None:
    crystal = KNOWN[formula]
    one, other = fingerprint(crystal), fingerprint(described_otherwise(crystal, seed))
    assert (one.formula, one.space_group, one.wyckoff) == (other.formula, other.space_group, other.wyckoff)
    assert distance(one, other) < 1e-5


@pytest.mark.parametrize("formula", KNOWN)
@settings(max_examples=25)
@given(by=st.floats(0, 0.3), seed=st.integers(0, 1000))
def test_distances_change_by_at_most_twice_what_the_atoms_move(formula: str, by: float, seed: int) -> None:
    crystal = KNOWN[formula]
    moved = displaced(crystal, by, seed)
    change = np.abs(average_minimum_distances(moved) - average_minimum_distances(crystal)).max()
    assert change * np.cbrt(crystal.volume / len(crystal)) <= 2 * by + 1e-5


@settings(max_examples=25)
@given(factor=st.floats(0.8, 1.25))
def test_the_scale_does_not_matter(factor: float) -> None:
    scaled = Crystal(factor * RUTILE.lattice, RUTILE.frac_coords, RUTILE.numbers)
    assert distance(fingerprint(scaled), fingerprint(RUTILE)) < 1e-5


def test_neighbours_are_those_of_a_long_list() -> None:
    """The radius that is searched is a guess; a list of all atoms of 11 x 11 x 11 cells is none."""
    for crystal in (PEROVSKITE, QUARTZ, Crystal(np.diag([2.5, 2.5, 30]), np.array([[0, 0, 0.0]]), np.array([6]))):
        images = np.array(list(product(range(-5, 6), repeat=3)))
        images = images if len(crystal) > 1 else np.array(list(product(range(-9, 10), range(-9, 10), (-1, 0, 1))))
        everything = (crystal.frac_coords[:, None] + images).reshape(-1, 3) @ crystal.lattice
        own = crystal.frac_coords @ crystal.lattice
        distances = np.sort(np.linalg.norm(everything[None] - own[:, None], axis=-1), axis=1)[:, 1 : NEIGHBOURS + 1]
        np.testing.assert_allclose(neighbour_distances(*reduced_cell(crystal), NEIGHBOURS), distances, atol=1e-6)


def test_rock_salt_has_its_shells() -> None:
    """Six at a/2, twelve at a/√2, and of the own element twelve at a/√2 alone; the unit is the cube root of a³/8."""
    amd = average_minimum_distances(NACL)
    np.testing.assert_allclose(amd[:6], 1, rtol=1e-6)
    np.testing.assert_allclose(amd[6:18], np.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(amd[NEIGHBOURS:], np.sqrt(2), rtol=1e-6)


def test_elements_that_change_places_are_told_apart() -> None:
    """Layered and checkered orders of two elements on one simple cubic lattice."""
    frac = np.array(list(product((0, 0.5), repeat=3)))
    checkered = np.where((2 * frac).sum(axis=1) % 2 == 0, 29, 79)
    layered = np.where(frac[:, 2] == 0, 29, 79)
    lattice = 5.6 * np.eye(3)
    one, other = fingerprint(Crystal(lattice, frac, checkered)), fingerprint(Crystal(lattice, frac, layered))
    assert np.abs(one.amd[:NEIGHBOURS] - other.amd[:NEIGHBOURS]).max() < 1e-6
    assert distance(one, other) > 0.2


def test_structure_type_leaves_the_elements_out() -> None:
    magnesia = Crystal(NACL.lattice, NACL.frac_coords, np.where(NACL.numbers == 11, 12, 8))
    assert fingerprint(magnesia).structure_type == fingerprint(NACL).structure_type == "225 1a 1b"
    assert structure_type(0, "") == ""


def test_sites_are_counted() -> None:
    assert num_sites("Ca:4c O:4c+8d Ti:4a") == 20
    assert fingerprint(described_otherwise(PEROVSKITE, 3)).num_sites == 20
    assert Fingerprint("X", 0, "", np.zeros(36, dtype=np.float32)).num_sites == 0


def test_a_crystal_without_symmetry_has_no_positions() -> None:
    overlapping = Crystal(5 * np.eye(3), np.array([[0, 0, 0], [0, 0, 1e-3]]), np.array([1, 1]))
    found = fingerprint(overlapping)
    assert (found.space_group, found.wyckoff, found.structure_type) == (0, "", "")


def test_a_sheet_thinner_than_atoms_is_refused() -> None:
    with pytest.raises(CrystalError, match="too thin"):
        fingerprint(Crystal(np.diag([2e-3, 2e-3, 9e4]), np.zeros((1, 3)), np.array([1])))
