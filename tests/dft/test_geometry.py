from __future__ import annotations

import numpy as np
import pytest

from crystals import MAGNETITE_LIKE, NACL, QUARTZ, SILICON
from materium.crystal import Crystal
from materium.dft.geometry import is_primitive, right_handed


def test_left_handed_cell_is_turned_and_holds_the_same_atoms() -> None:
    swapped = Crystal(QUARTZ.lattice[[1, 0, 2]], QUARTZ.frac_coords[:, [1, 0, 2]], QUARTZ.numbers)
    turned = right_handed(swapped)
    assert np.linalg.det(swapped.lattice) < 0 < np.linalg.det(turned.lattice)
    np.testing.assert_array_equal(turned.numbers, swapped.numbers)
    offsets = turned.frac_coords @ turned.lattice - swapped.frac_coords @ swapped.lattice
    cells = offsets @ np.linalg.inv(swapped.lattice)
    np.testing.assert_allclose(cells, np.round(cells), atol=1e-9)


def test_right_handed_cell_stays() -> None:
    assert right_handed(NACL) is NACL


@pytest.mark.parametrize(
    ("crystal", "expected"), [(NACL, False), (SILICON, True), (QUARTZ, True), (MAGNETITE_LIKE, True)]
)
def test_primitive_cells(crystal: Crystal, *, expected: bool) -> None:
    assert is_primitive(crystal) is expected


def test_oxidation_states_make_no_larger_cell() -> None:
    """Iron at the corner and the centre of a cube is one atom in a primitive cell, whatever charges it was given."""
    lattice, places = np.eye(3) * 2.87, np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
    assert not is_primitive(Crystal(lattice, places, np.array([26, 26]), np.array([2, 3])))
