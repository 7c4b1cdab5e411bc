"""MP2020: what is corrected and by how much, in which cells, and that uncorrected and corrected energies stay apart."""

from __future__ import annotations

import numpy as np
import pytest

from crystals import NACL, PEROVSKITE, QUARTZ, RUTILE, SILICON
from materium.crystal import Crystal
from materium.errors import MateriumError
from materium.evaluate.corrections import mp2020, on_hull_scale

HEMATITE_LIKE = Crystal(4.3 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [26, 8])
"""FeO in the CsCl structure."""


def published(values: dict[str, tuple[float, int]], atoms: int) -> float:
    """Sum up corrections per atom of each kind, from table 2 of the paper, over the atoms of the cell."""
    return sum(value * count for value, count in values.values()) / atoms


@pytest.mark.parametrize(
    ("crystal", "expected"),
    [
        (SILICON, 0.0),  # elements have none
        (QUARTZ, published({"oxide": (-0.687, 2)}, 3)),
        (RUTILE, published({"oxide": (-0.687, 2)}, 3)),  # no U on titanium
        (PEROVSKITE, published({"oxide": (-0.687, 3)}, 5)),
        (NACL, published({"Cl": (-0.614, 1)}, 2)),
        (HEMATITE_LIKE, published({"oxide": (-0.687, 1), "Fe": (-2.256, 1)}, 2)),
    ],
)
def test_corrections_are_the_published_ones(crystal: Crystal, expected: float) -> None:
    assert mp2020(crystal) == pytest.approx(expected, abs=1e-9)


LARGE = [
    ({3: 20, 8: 9, 17: 2}, {"oxide": (-0.687, 9), "Cl": (-0.614, 2)}),
    ({3: 20, 17: 17, 7: 1}, {"Cl": (-0.614, 17), "N": (-0.361, 1)}),
    ({3: 40, 8: 19, 9: 2}, {"oxide": (-0.687, 19), "F": (-0.462, 2)}),
    ({11: 30, 16: 14, 35: 2}, {"S": (-0.503, 14), "Br": (-0.534, 2)}),
    ({3: 10, 8: 10, 79: 3}, {"oxide": (-0.687, 10)}),
]
"""Cells with more than 20 atoms in the formula; the last has no neutral assignment that pymatgen would find."""


@pytest.mark.parametrize(("formula", "parts"), LARGE)
def test_formulas_beyond_twenty_atoms_get_every_part(
    formula: dict[int, int], parts: dict[str, tuple[float, int]]
) -> None:
    numbers = [z for z, count in formula.items() for _ in range(count)]
    grid = np.stack(np.meshgrid(*[np.arange(4) / 4] * 3), axis=-1).reshape(-1, 3)
    crystal = Crystal(12 * np.eye(3), grid[: len(numbers)], numbers)
    assert mp2020(crystal) == pytest.approx(published(parts, len(numbers)), abs=1e-9)


def test_metals_have_a_u_beside_oxygen_and_fluorine_only() -> None:
    iron = {anion: Crystal(4.3 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5]], [26, anion]) for anion in (9, 17)}
    assert mp2020(iron[9]) == pytest.approx((-0.462 - 2.256) / 2)
    assert mp2020(iron[17]) == pytest.approx(-0.614 / 2)


def test_bonded_oxygen_is_a_peroxide() -> None:
    barium = Crystal(np.diag([4.0, 4.0, 7.0]), [[0, 0, 0], [0.5, 0.5, 0.393], [0.5, 0.5, 0.607]], [56, 8, 8])
    assert mp2020(barium) == pytest.approx(-0.465 * 2 / 3)


def test_supercells_and_oxidation_states_change_nothing() -> None:
    lattice = np.diag([2.0, 1.0, 1.0]) @ RUTILE.lattice
    frac = np.concatenate([RUTILE.frac_coords, RUTILE.frac_coords + np.array([1, 0, 0])]) / [2, 1, 1]
    doubled = Crystal(lattice, frac, np.tile(RUTILE.numbers, 2))
    assert RUTILE.oxidation_states is not None
    assert mp2020(doubled) == pytest.approx(mp2020(RUTILE))
    wrong = RUTILE.with_oxidation_states(np.zeros(len(RUTILE), dtype=int))
    assert mp2020(wrong) == pytest.approx(mp2020(RUTILE))


@pytest.mark.parametrize("noble", [2, 10, 18, 36, 54])
def test_elements_without_electronegativity_are_no_obstacle(noble: int) -> None:
    strange = Crystal(5 * np.eye(3), [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0]], [noble, 8, 26])
    assert np.isfinite(mp2020(strange))


def test_only_uncorrected_energies_are_corrected() -> None:
    assert on_hull_scale(NACL, -3.0, "uncorrected") == pytest.approx(-3.0 - 0.307)
    assert on_hull_scale(NACL, -3.0, "MP2020") == -3.0
    assert on_hull_scale(NACL, -3.0, "none") == -3.0
    with pytest.raises(MateriumError, match="unknown energy scale 'mp'"):
        on_hull_scale(NACL, -3.0, "mp")
