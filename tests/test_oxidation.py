"""Oxidation states: textbook compounds, what has none, what is given, and what would take too long."""

from __future__ import annotations

import time
from io import StringIO
from math import gcd

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Element
from pymatgen.io.cif import CifParser

from crystals import KNOWN, MAGNETITE_LIKE, NACL, SILICON
from materium.convert import from_extxyz, from_structure, to_atoms, to_cif, to_structure, write_extxyz_frame
from materium.crystal import Crystal
from materium.oxidation import (
    BUDGET,
    Formula,
    _search_size,
    balanced,
    candidate_states,
    guess,
    reduced_formula,
    with_guess,
)

OVER_BUDGET = "Fe101Mn100Cr103V107O200"


def formula(text: str) -> Formula:
    counts = {element.Z: int(n) for element, n in Composition(text).items()}
    divisor = gcd(*counts.values())
    return tuple((z, counts[z] // divisor) for z in sorted(counts))


def states(text: str) -> tuple[dict[str, int], str]:
    found, how = guess(formula(text))
    return {Element.from_Z(z).symbol: state for z, state in found.items()}, how


def bare(crystal: Crystal) -> Crystal:
    return Crystal(crystal.lattice, crystal.frac_coords, crystal.numbers)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("NaCl", {"Na": 1, "Cl": -1}),
        ("Fe2O3", {"Fe": 3, "O": -2}),
        ("LiFePO4", {"Li": 1, "Fe": 2, "P": 5, "O": -2}),
        ("CaTiO3", {"Ca": 2, "Ti": 4, "O": -2}),
        ("Al2O3", {"Al": 3, "O": -2}),
        ("GaN", {"Ga": 3, "N": -3}),
    ],
)
def test_textbook_compounds(text: str, expected: dict[str, int]) -> None:
    assert states(text) == (expected, "guessed")


@pytest.mark.parametrize(
    "text", ["NaCl", "Fe2O3", "LiFePO4", "Li10GeP2S12", "BaTiO3", "KMnO4", "YBa2Cu3O7", "Cs2AgBiBr6"]
)
def test_a_guess_is_neutral_or_all_zero(text: str) -> None:
    found, how = guess(formula(text))
    assert sum(found[z] * n for z, n in formula(text)) == 0
    assert how == "guessed" or not any(found.values())


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["Li", "Na", "Ca", "Mn", "Fe", "Co", "Cu", "Ce", "P", "N", "S", "O", "F", "Cl", "Xe"]),
        st.integers(1, 5),
        min_size=2,
        max_size=4,
    )
)
def test_the_guess_is_pymatgens(amounts: dict[str, int]) -> None:
    """The slow twin: the first of its solutions in which every element has one whole number."""
    asked = formula("".join(f"{symbol}{count}" for symbol, count in amounts.items()))
    composition = Composition({Element.from_Z(z): n for z, n in asked})
    solutions = composition.oxi_state_guesses()
    whole = [s for s in solutions if all(value == round(value) for value in s.values())]
    found, how = guess(asked)
    if whole:
        assert ({Element.from_Z(z).symbol: v for z, v in found.items()}, how) == (whole[0], "guessed")
    else:
        assert how == ("mixed valence" if solutions else "no neutral assignment")
        assert not any(found.values())


@pytest.mark.parametrize("text", ["Fe3O4", "LiMn2O4", "Co3O4"])
def test_mixed_valence_is_zero_and_says_so(text: str) -> None:
    found, how = states(text)
    assert how == "mixed valence"
    assert set(found.values()) == {0}


@pytest.mark.parametrize("text", ["Si", "Fe", "O2", "He"])
def test_elements_are_neutral(text: str) -> None:
    found, how = states(text)
    assert how == "element"
    assert set(found.values()) == {0}


@pytest.mark.parametrize("text", ["NaK", "Fe24Mn23"])
def test_alloys_have_no_neutral_assignment(text: str) -> None:
    found, how = states(text)
    assert how == "no neutral assignment"
    assert set(found.values()) == {0}


def test_a_composition_over_budget_returns_at_once() -> None:
    """Pymatgen's search would try more than a thousand million sums here."""
    assert _search_size(formula(OVER_BUDGET)) > 1e9
    begin = time.perf_counter()
    found, how = states(OVER_BUDGET)
    assert time.perf_counter() - begin < 0.2
    assert how == "over budget"
    assert set(found.values()) == {0}


def test_a_composition_near_the_budget_is_bounded() -> None:
    """The budget stands for about half a second; ten are allowed on a machine that has other work."""
    near = formula("V12Mn13O30N8")
    assert BUDGET / 2 < _search_size(near) <= BUDGET
    guess.cache_clear()
    begin = time.perf_counter()
    guess(near)
    assert time.perf_counter() - begin < 10


def test_a_guess_is_made_once() -> None:
    guess(formula("NaCl"))
    before = guess.cache_info().misses
    guess(formula("NaCl"))
    assert guess.cache_info().misses == before


@pytest.mark.parametrize("name", KNOWN)
def test_literature_states_are_guessed(name: str) -> None:
    charged, _ = with_guess(bare(KNOWN[name]))
    np.testing.assert_array_equal(charged.oxidation_states, KNOWN[name].oxidation_states)


def test_given_states_are_kept() -> None:
    """Fe2+ and Fe3+ in one crystal could not be guessed."""
    charged, how = with_guess(MAGNETITE_LIKE)
    assert charged is MAGNETITE_LIKE
    assert how == "given"


def test_all_zero_means_not_known() -> None:
    charged, how = with_guess(NACL.with_oxidation_states(np.zeros(len(NACL))))
    assert how == "guessed"
    np.testing.assert_array_equal(charged.oxidation_states, NACL.oxidation_states)


def test_zero_states_of_an_element_stay() -> None:
    charged, how = with_guess(SILICON)
    assert how == "element"
    assert charged.oxidation_states.tolist() == [0, 0]


def test_the_guess_hangs_on_the_reduced_formula_alone() -> None:
    assert reduced_formula(NACL) == ((11, 1), (17, 1))
    assert reduced_formula(NACL.select([0, 1, 4])) == ((11, 2), (17, 1))


def test_candidates_are_those_seen_in_crystals() -> None:
    assert {2, 3} <= set(candidate_states(26))
    assert candidate_states(2) == ()


def line_of(sites: list[tuple[int, int]]) -> Crystal:
    """Atoms of these numbers and states along the diagonal of a cube."""
    numbers, charges = np.array(sites).T
    return Crystal(9 * np.eye(3), np.arange(len(sites))[:, None] / len(sites) * np.ones(3), numbers, charges)


@pytest.mark.parametrize(
    ("crystal", "expected"),
    [
        pytest.param(NACL, NACL.oxidation_states, id="balanced"),
        pytest.param(MAGNETITE_LIKE, MAGNETITE_LIKE.oxidation_states, id="of two valences"),
        pytest.param(NACL.with_oxidation_states([1] * 8), NACL.oxidation_states, id="guessed"),
        pytest.param(line_of([(31, 3)] * 2 + [(53, -1)] * 2 + [(8, -2)]), [2, 2, -1, -1, -2], id="Ga2I2O"),
        pytest.param(line_of([(26, 2), (26, 3), (28, 2)]), None, id="alloy"),
        pytest.param(NACL.with_oxidation_states([0] * 8), None, id="zeros"),
        pytest.param(bare(NACL), None, id="not known"),
    ],
)
def test_files_carry_states_that_balance(crystal: Crystal, expected: np.ndarray | None) -> None:
    """In CIF, extxyz, pymatgen's structures and ASE's atoms alike; the crystal itself keeps what it has."""
    cif, frame = to_cif(crystal), StringIO()
    write_extxyz_frame(frame, crystal, {})
    read = [balanced(crystal)[0], from_structure(to_structure(crystal)), from_extxyz(frame.getvalue())[0]]
    for one in read:
        np.testing.assert_array_equal(one.oxidation_states, expected)
    np.testing.assert_array_equal(to_atoms(crystal).arrays.get("oxidation_states"), expected)
    assert CifParser.from_str(cif, frac_tolerance=0).parse_structures(primitive=False)[0].charge == 0
    assert ("_oxidation_number" in cif) == (expected is not None)
