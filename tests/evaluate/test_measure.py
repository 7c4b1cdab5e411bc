from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from crystals import KNOWN, NACL, RUTILE, SPACE_GROUPS
from materium.crystal import Crystal
from materium.data.readers import read
from materium.errors import MateriumError
from materium.evaluate.measure import MEASURES, measure
from materium.properties import table

if TYPE_CHECKING:
    from pathlib import Path

# A rotation about no axis of symmetry, and a cell of eight with a shifted origin.
ROTATION = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]


def doubled(crystal: Crystal) -> Crystal:
    """Return the crystal in a cell with all axes twice as long."""
    corners = np.stack(np.meshgrid([0, 0.5], [0, 0.5], [0, 0.5]), axis=-1).reshape(-1, 3)
    frac = (crystal.frac_coords / 2 + 0.1 + corners[:, None]).reshape(-1, 3)
    return Crystal(2 * crystal.lattice, frac, np.tile(crystal.numbers, len(corners)))


def rotated(crystal: Crystal) -> Crystal:
    return Crystal(crystal.lattice @ ROTATION, crystal.frac_coords, crystal.numbers)


def of(*symbols: int) -> Crystal:
    """Return a simple crystal of these elements."""
    count = len(symbols)
    return Crystal(np.diag([3.0 * count, 3, 3]), np.outer(np.arange(count) / count, [1, 0, 0]), np.array(symbols))


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("formula", KNOWN)
def test_supercells_and_rotations_change_nothing(name: str, formula: str) -> None:
    found = measure(KNOWN[formula], name)
    for other in (doubled(KNOWN[formula]), rotated(KNOWN[formula])):
        assert measure(other, name) == (pytest.approx(found, rel=1e-9) if isinstance(found, float) else found)


@pytest.mark.parametrize("formula", KNOWN)
def test_known_crystals(formula: str) -> None:
    assert measure(KNOWN[formula], "reduced_formula") == formula
    assert measure(KNOWN[formula], "space_group") == SPACE_GROUPS[formula]
    assert measure(KNOWN[formula], "space_group_fine") == SPACE_GROUPS[formula]


def test_rock_salt() -> None:
    assert measure(NACL, "chemical_system") == "Cl-Na"
    assert measure(NACL, "num_sites") == 2
    assert measure(NACL, "density") == pytest.approx(2.163, abs=0.005)
    sodium, chlorine = 22.98976928, 35.453
    assert measure(NACL, "hhi") == pytest.approx((1100 * sodium + 1500 * chlorine) / (sodium + chlorine))


def test_the_coarser_tolerance_sees_more_symmetry() -> None:
    moved = RUTILE.frac_coords.copy()
    moved[0] += np.array([0.03, 0.01, 0.02]) / RUTILE.lengths_angles[:3]
    crystal = Crystal(RUTILE.lattice, moved, RUTILE.numbers)
    assert measure(crystal, "space_group") == 136
    assert measure(crystal, "space_group_fine") == 1


def test_an_element_without_an_index_leaves_none() -> None:
    assert measure(of(26, 8), "hhi") is not None
    assert measure(of(26, 1), "hhi") is None


def test_atoms_on_top_of_each_other_have_no_symmetry_and_no_error() -> None:
    crystal = Crystal(np.eye(3) * 4, np.array([[0, 0, 0], [0, 0, 0.001]]), np.array([26, 26]))
    assert measure(crystal, "space_group") is None
    assert measure(crystal, "num_sites") is None
    assert measure(crystal, "reduced_formula") == "Fe"


def test_names_are_those_of_the_table() -> None:
    assert {*MEASURES} - {*table()} == {"space_group_fine"}


@pytest.mark.parametrize("name", ["band_gap", "colour"])
def test_what_the_structure_does_not_tell_is_refused(name: str) -> None:
    with pytest.raises(MateriumError, match=f"^{name} does not follow from the structure alone; .* density"):
        measure(NACL, name)


@pytest.mark.shared_data
def test_labels_of_real_crystals_come_back(shared_data: Path) -> None:
    rows = [row for row in read(shared_data / "test.parquet") if row.crystal is not None][::40]
    assert len(rows) > 30
    for row in rows:
        assert row.crystal is not None
        for name in ("reduced_formula", "space_group", "num_sites"):
            assert measure(row.crystal, name) == row.properties[name]
        # Tables with other atomic weights: the last digits of the IUPAC's revisions.
        assert measure(row.crystal, "density") == pytest.approx(row.properties["density"], rel=1e-3)
        index = row.properties.get("hhi")
        assert measure(row.crystal, "hhi") == (None if index is None else pytest.approx(index, rel=1e-12))
