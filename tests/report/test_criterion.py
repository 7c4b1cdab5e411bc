from __future__ import annotations

import pytest

from materium.evaluate.adherence import AT_ZERO, meets, tolerance
from materium.properties import table
from materium.report.criterion import wording


@pytest.mark.parametrize("target", [0.05, 2.5, 5.0, 300.0, 5000.0])
def test_numbers_meet_within_ten_percent_of_the_target_and_no_further(target: float) -> None:
    assert meets("density", target, 1.1 * target)
    assert meets("density", target, 0.9 * target)
    assert not meets("density", target, 1.101 * target)
    assert not meets("density", target, 0.899 * target)


def test_a_target_of_zero_has_a_tolerance_in_the_propertys_unit() -> None:
    assert meets("band_gap", 0, 0.09)
    assert not meets("band_gap", 0, 0.11)
    assert meets("mag_density", 0, 0.004)
    assert not meets("mag_density", 0, 0.006)


def test_each_numeric_property_says_what_counts_as_zero() -> None:
    assert {name for name, entry in table().items() if entry.kind == "number"} == set(AT_ZERO)
    assert all(tolerance(name, 0) > 0 for name in AT_ZERO)


def test_labels_are_exact() -> None:
    assert meets("space_group", 225, 225.0)
    assert not meets("space_group", 225, 227)


@pytest.mark.parametrize("spelling", ["MgAl2O4", "Al2MgO4", "Mg2Al4O8", "Mg(AlO2)2"])
def test_formulas_are_compared_as_compositions(spelling: str) -> None:
    assert meets("reduced_formula", "MgAl2O4", spelling)
    assert not meets("reduced_formula", "MgAl2O3", spelling)


def test_chemical_systems_are_compared_as_sets() -> None:
    assert meets("chemical_system", "Li-Fe-O", "O-Li-Fe")
    assert not meets("chemical_system", "Li-Fe-O", "Li-O")


def test_text_that_is_no_formula_meets_only_itself() -> None:
    assert meets("reduced_formula", "<script>", "<script>")
    assert not meets("reduced_formula", "<script>", "NaCl")


@pytest.mark.parametrize("name", ["density", "space_group", "reduced_formula", "chemical_system"])
def test_what_was_not_measured_meets_nothing(name: str) -> None:
    assert not meets(name, 1 if table()[name].kind in {"number", "category"} else "NaCl", None)


def test_the_wording_states_the_numbers_of_the_criterion() -> None:
    assert wording("density", (2.5, 5.0)) == "within ±10\N{NO-BREAK SPACE}%"
    assert wording("band_gap", (0.0,)) == "within ±0.1 eV"
    assert wording("band_gap", (0.0, 1.0)).endswith("(target 0: within ±0.1 eV)")
    assert wording("space_group") == "exactly"
