"""Cells for StructureMatcher: a skewed one is reduced and holds the same crystal, any other is left as it is."""

from __future__ import annotations

import numpy as np
import pytest

from crystals import NACL
from materium.crystal import Crystal
from materium.io.matching import unskewed


def test_a_skewed_cell_is_reduced() -> None:
    metal = np.array([[3.2, 0, 0], [-1.6, 3.2 * 0.75**0.5, 0], [0, 0, 5.2]])
    axes = np.array([[281, -548, 4], [20, -39, 12], [280, -546, 169]])  # determinant 1: the same lattice
    sites = np.array([[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]])
    skewed = Crystal(axes @ metal, sites @ np.linalg.inv(axes.astype(float)), [12, 12], [2, -2])
    reduced = unskewed(skewed)
    np.testing.assert_allclose(np.sort(reduced.lengths_angles[:3]), [3.2, 3.2, 5.2], atol=1e-6)
    assert reduced.min_distance == pytest.approx(Crystal(metal, sites, [12, 12]).min_distance, abs=1e-6)
    np.testing.assert_array_equal(reduced.oxidation_states, [2, -2])


def test_any_other_cell_is_left_alone() -> None:
    assert unskewed(NACL) is NACL
