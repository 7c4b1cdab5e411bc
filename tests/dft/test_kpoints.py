"""Grids are as dense as asked, and paths belong to the lattice, whatever cell it is written in."""

from __future__ import annotations

import numpy as np
import pytest

from crystals import KNOWN, NACL, SILICON
from materium.crystal import Crystal, lattice_from_parameters
from materium.dft.kpoints import ROUNDING, band_path, grid, reciprocal, steps


@pytest.mark.parametrize("name", KNOWN)
@pytest.mark.parametrize("spacing", [0.1, 0.2, 0.5, 3.0])
def test_grid_is_the_coarsest_that_is_dense_enough(name: str, spacing: float) -> None:
    crystal = KNOWN[name]
    divisions = np.array(grid(crystal, spacing))
    lengths = np.linalg.norm(reciprocal(crystal), axis=1)
    assert (lengths / divisions <= spacing * (1 + 2 * ROUNDING)).all()
    coarser = divisions > 1
    assert (lengths[coarser] / (divisions[coarser] - 1) > spacing).all()


def test_grid_of_rock_salt() -> None:
    """2π / 5.6402 Å = 1.114 Å⁻¹: six steps of at most 0.2 Å⁻¹."""
    assert grid(NACL, 0.2) == (6, 6, 6)


def test_rounding_makes_no_finer_grid() -> None:
    cube = Crystal(np.eye(3) * 2 * np.pi, np.zeros((1, 3)), np.array([1]))
    assert grid(cube, 0.1) == (10, 10, 10)


def test_path_of_the_face_centred_lattice() -> None:
    """Lengths of Γ-X and Γ-L in silicon: 2π/a and √3 π/a, with a = √2 · 3.867 Å."""
    a = 3.867 * np.sqrt(2)
    places = {corner.name: np.linalg.norm(corner.frac @ reciprocal(SILICON)) for corner in band_path(SILICON)}
    assert places["G"] == 0
    assert places["X"] == pytest.approx(2 * np.pi / a)
    assert places["L"] == pytest.approx(np.sqrt(3) * np.pi / a)


@pytest.mark.parametrize("change", [[[1, 1, 0], [0, 1, 0], [0, 0, 1]], [[0, 1, 0], [0, 0, 1], [1, 0, 0]]])
@pytest.mark.parametrize("name", ["Si", "SiO2", "TiO2", "CaTiO3"])
def test_path_does_not_depend_on_the_cell(name: str, change: list[list[int]]) -> None:
    crystal, cell = KNOWN[name], np.array(change)
    other = Crystal(cell @ crystal.lattice, crystal.frac_coords @ np.linalg.inv(cell), crystal.numbers)
    expected, found = band_path(crystal), band_path(other)
    assert [(corner.name, corner.goes_on) for corner in found] == [(c.name, c.goes_on) for c in expected]
    lengths = [np.linalg.norm(corner.frac @ reciprocal(other)) for corner in found]
    np.testing.assert_allclose(lengths, [np.linalg.norm(c.frac @ reciprocal(crystal)) for c in expected], atol=1e-6)


def test_triclinic_lattices_have_a_path() -> None:
    lattice = lattice_from_parameters([4.1, 5.2, 6.3, 81, 95, 102])
    path = band_path(Crystal(lattice, np.zeros((1, 3)), np.array([1])))
    assert "G" in {corner.name for corner in path}
    assert not path[-1].goes_on


def test_steps_are_short_enough_and_none_bridges_a_break() -> None:
    path = band_path(SILICON)
    counts = steps(SILICON, path, 0.05)
    places = np.array([corner.frac for corner in path]) @ reciprocal(SILICON)
    for index, (corner, count) in enumerate(zip(path, counts, strict=True)):
        assert (count > 0) is corner.goes_on
        if corner.goes_on:
            assert np.linalg.norm(places[index + 1] - places[index]) / count <= 0.05 * (1 + 2 * ROUNDING)
