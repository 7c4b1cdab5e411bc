from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crystals import KNOWN, NACL, RUTILE, SPACE_GROUPS
from materium.crystal import Crystal, fault, lattice_from_parameters
from materium.data.readers import read
from materium.evaluate import validity
from materium.evaluate.validity import check, contact_ratio, crystal_system, smact_valid

if TYPE_CHECKING:
    from pathlib import Path

SYSTEMS = {"NaCl": "cubic", "TiO2": "tetragonal", "SiO2": "trigonal", "CaTiO3": "orthorhombic", "Si": "cubic"}
PRIMITIVE_SITES = {"NaCl": 2, "TiO2": 6, "SiO2": 9, "CaTiO3": 20, "Si": 2}

lengths = st.floats(0.6, 40)
angles = st.floats(40, 140)
fractions = st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=6)


@st.composite
def any_crystal(draw: st.DrawFn) -> Crystal:
    """Return a crystal of chance: most are not valid."""
    a, b, c = draw(st.tuples(lengths, lengths, lengths))
    alpha = draw(angles)
    frac = np.array(draw(fractions))
    numbers = np.array(draw(st.lists(st.integers(1, 118), min_size=len(frac), max_size=len(frac))))
    return Crystal(lattice_from_parameters([a, b, c, alpha, 90, 90]), frac, numbers)


@pytest.mark.parametrize("formula", KNOWN)
def test_known_crystals_pass(formula: str) -> None:
    facts = check(KNOWN[formula], bond_valence=True)
    assert (facts["valid"], facts["reason"], facts["notes"]) == (True, "", "")
    assert (facts["formula"], facts["num_sites"]) == (formula, PRIMITIVE_SITES[formula])
    assert facts["space_group"] == facts["space_group_fine"] == SPACE_GROUPS[formula]
    assert facts["crystal_system"] == SYSTEMS[formula]
    assert facts["neutral"] is True
    assert facts["bond_valence"] is (None if formula == "Si" else True)


@settings(max_examples=60)
@given(any_crystal())
def test_valid_is_what_the_crystal_type_calls_so_and_json_takes_every_fact(crystal: Crystal) -> None:
    facts = check(crystal)
    assert facts["valid"] is (fault(crystal) is None)
    assert facts["reason"] == (fault(crystal) or "")
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts


def test_contact_is_measured_by_the_sum_of_radii() -> None:
    """Sodium 1.66 Å, chlorine 1.02 Å, a/2 apart; in a chain of one atom its own image is the neighbour."""
    assert contact_ratio(NACL) == pytest.approx(5.6402 / 2 / (1.66 + 1.02))
    chain = Crystal(np.diag([1.5, 9.0, 9.0]), np.zeros((1, 3)), np.array([6]))
    assert contact_ratio(chain) == pytest.approx(1.5 / (2 * 0.76))


def test_contact_does_not_depend_on_the_cell() -> None:
    skewed = np.array([[1, 0, 0], [3, 1, 0], [-2, 4, 1]])
    other = Crystal(skewed @ RUTILE.lattice, RUTILE.frac_coords @ np.linalg.inv(skewed), RUTILE.numbers)
    assert contact_ratio(other) == pytest.approx(contact_ratio(RUTILE))


@pytest.mark.parametrize(
    ("crystal", "reason"),
    [
        (Crystal(4 * np.eye(3), np.array([[0, 0, 0], [0, 0, 0.1]]), np.array([1, 1])), "atoms 0.400 Å apart"),
        (Crystal(2 * NACL.lattice, NACL.frac_coords, NACL.numbers), None),
        (Crystal(7 * np.eye(3), np.zeros((1, 3)), np.array([3])), "volume per atom 343.00 Å³ is outside 3 to 250 Å³"),
    ],
)
def test_a_crystal_that_is_not_valid_has_its_reason(crystal: Crystal, reason: str | None) -> None:
    facts = check(crystal, bond_valence=True)
    assert facts["reason"] == (reason or "")
    if reason:
        assert facts["space_group"] is facts["crystal_system"] is facts["bond_valence"] is None


@pytest.mark.parametrize(
    ("crystal", "note"),
    [
        (Crystal(np.diag([2.0, 4, 4]), np.zeros((1, 3)), np.array([55])), "atoms at 0.41 of the sum of their radii"),
        (Crystal(np.diag([2.5, 2.5, 40]), np.zeros((1, 3)), np.array([6])), "longest axis 16 times the shortest"),
        (NACL.with_oxidation_states([1] * 8), "charges do not balance (given)"),
        (
            Crystal(NACL.lattice, NACL.frac_coords, np.array([11, 11, *[17] * 6])),
            "charges do not balance (no neutral assignment); SMACT calls the composition impossible",
        ),
    ],
)
def test_what_else_is_amiss_is_noted(crystal: Crystal, note: str) -> None:
    facts = check(crystal)
    assert facts["valid"] is True
    assert note in str(facts["notes"])


def test_bond_valences_that_do_not_balance_are_noted() -> None:
    alloy = Crystal(NACL.lattice, NACL.frac_coords, np.where(NACL.numbers == 11, 29, 79))
    assert "bond valences do not balance" in str(check(alloy, bond_valence=True)["notes"])


def test_bond_valences_of_large_cells_are_not_asked_for() -> None:
    large = Crystal(
        np.diag([4, 1, 1]) @ NACL.lattice,
        np.concatenate([(NACL.frac_coords + np.array([i, 0, 0])) / [4, 1, 1] for i in range(4)]),
        np.tile(NACL.numbers, 4),
    )
    assert check(large, bond_valence=True)["bond_valence"] is None
    assert check(large)["num_sites"] == 2


def test_smact_is_asked_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("smact", reason="the extra smact is not installed", exc_type=ImportError)
    assert smact_valid("NaCl") is True
    assert smact_valid("NaCl2") is False
    assert smact_valid("Cu3Au") is True
    assert smact_valid("Xe") is True
    assert smact_valid("LiNaKRbCsCaOF") is None
    smact_valid.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "smact.screening", None)
    assert smact_valid("NaCl") is None
    smact_valid.cache_clear()


@pytest.mark.parametrize(
    ("number", "system"),
    [(1, "triclinic"), (3, "monoclinic"), (167, "trigonal"), (168, "hexagonal"), (195, "cubic"), (230, "cubic")],
)
def test_systems_begin_and_end_where_the_tables_say(number: int, system: str) -> None:
    assert crystal_system(number) == system


@pytest.mark.shared_data
def test_real_crystals_keep_the_usual_distance(shared_data: Path) -> None:
    """The bound is meant to be one that 99.5 % of real crystals keep; of all 1,465 in `val`, all do."""
    rows = list(islice(read(shared_data / "val.parquet"), 0, None, 4))
    ratios = [contact_ratio(row.crystal) for row in rows if row.crystal is not None]
    assert np.mean(np.array(ratios) >= validity.MIN_CONTACT) >= 0.995
