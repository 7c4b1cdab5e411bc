"""Normalisers: their motions take a group to itself, and each setting is another one."""

from __future__ import annotations

import numpy as np
import pytest

from crystals import KNOWN, SPACE_GROUPS
from materium.core.normalizer import modulo_group, normalizer, polar_axes, projector
from materium.core.space_groups import NUMBERS, space_group_type
from materium.core.wyckoff import FINE_GRID, space_group
from materium.symmetry import dataset_of


@pytest.mark.parametrize(("name", "settings"), [("NaCl", 2), ("TiO2", 4), ("SiO2", 4), ("CaTiO3", 8), ("Si", 2)])
def test_numbers_of_settings(name: str, settings: int) -> None:
    """Index of the group in its Euclidean normaliser, International Tables A, table 3.5.2.3 to 3.5.2.5.

    P3_121 has P6_222 (a + b, b, c / 2), index 4, all of it proper.
    """
    dataset = dataset_of(KNOWN[name], 0.01)
    lattice = np.array(dataset.std_cell.basis)
    found = normalizer(dataset, lattice @ lattice.T)
    assert found.number == SPACE_GROUPS[name]
    assert len(found.rotations) == settings
    again = modulo_group(space_group(found.number), found.rotations, found.translations)
    np.testing.assert_array_equal(again[0], found.rotations)


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_images_that_have_the_form_are_all_of_them(name: str) -> None:
    """Points of a position, moved by a motion of its forms, are points of the target position."""
    dataset = dataset_of(KNOWN[name], 0.01)
    lattice = np.array(dataset.std_cell.basis)
    found = normalizer(dataset, lattice @ lattice.T)
    rng = np.random.default_rng(0)
    for position in space_group(found.number).positions:
        forms = found.forms(position.index)
        point = position.point(rng.integers(FINE_GRID, size=position.freedom))
        moved = (forms.rotations @ point + forms.translations) % FINE_GRID
        for target, images in zip(forms.targets, moved, strict=True):
            goal = space_group(found.number).positions[target]
            np.testing.assert_array_equal(goal.point(goal.free_values(images)), images)
            assert goal.multiplicity == position.multiplicity


def test_polar_axes() -> None:
    for number in NUMBERS:
        assert polar_axes(number).any() == space_group_type(number).polar
    assert [polar_axes(number).tolist() for number in (1, 4, 7, 36)] == [
        [True, True, True],
        [False, True, False],
        [True, False, True],
        [False, False, True],
    ]


def test_projectors_leave_points_of_the_form() -> None:
    for number in NUMBERS:
        for position in space_group(number).positions:
            one = projector(position)
            np.testing.assert_array_equal(one @ position.matrix, position.matrix)
            np.testing.assert_array_equal(one @ one, one)
