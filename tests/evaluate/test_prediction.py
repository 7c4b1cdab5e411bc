"""Predictions against real crystals: what must not matter, what counts, and METRe on an example made by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystals import FCC, KNOWN, MAGNETITE_LIKE, NACL, QUARTZ, RUTILE, crystal
from materium.crystal import Crystal
from materium.data.records import Row
from materium.evaluate.prediction import (
    DEFINITIONS,
    FIGURES,
    SITE_TOLERANCE,
    Reference,
    comparisons,
    everything,
    matching,
    metrics,
    primitive,
    reference,
    rms,
    summary_rows,
)

EXACT = 1e-6
FLUORITE = crystal(
    [4.8, 4.8, 4.8, 90, 90, 90],
    [(22, 4, p) for p in FCC.tolist()]
    + [(8, -2, p) for x in (0.25, 0.75) for p in (np.array([x, 0.25, 0.25]) + FCC).tolist()],
)
"""TiO2 as no one has seen it."""


def supercell(one: Crystal, times: tuple[int, int, int]) -> Crystal:
    offsets = np.array(list(np.ndindex(*times)))
    frac = (one.frac_coords[:, None] + offsets[None]).reshape(-1, 3) / np.array(times)
    return Crystal(one.lattice * np.array(times)[:, None], frac, np.repeat(one.numbers, len(offsets)))


def displaced(one: Crystal, by: float) -> Crystal:
    """Return the crystal with each atom moved by so many Å, each its own way."""
    ways = np.random.default_rng(5).normal(size=(len(one), 3))
    moved = by * ways / np.linalg.norm(ways, axis=1, keepdims=True)
    return Crystal(one.lattice, one.frac_coords + moved @ np.linalg.inv(one.lattice), one.numbers)


# --- two crystals ---


@pytest.mark.parametrize("name", KNOWN)
def test_a_crystal_predicted_as_itself_matches_at_no_distance(name: str) -> None:
    assert rms(KNOWN[name], KNOWN[name]) == pytest.approx(0, abs=EXACT)


@given(st.sampled_from([RUTILE, QUARTZ, MAGNETITE_LIKE]), st.integers(0, 2**32 - 1))
def test_order_of_sites_origin_orientation_and_scale_change_nothing(one: Crystal, seed: int) -> None:
    rng = np.random.default_rng(seed)
    order, (turn, _) = rng.permutation(len(one)), np.linalg.qr(rng.normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    other = Crystal(1.03 * one.lattice @ turn, one.frac_coords[order] + rng.random(3), one.numbers[order])
    assert rms(other, one) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("times", [(2, 1, 1), (1, 2, 2)])
def test_a_supercell_is_the_crystal(times: tuple[int, int, int]) -> None:
    assert rms(supercell(RUTILE, times), RUTILE) == pytest.approx(0, abs=EXACT)


def test_the_distance_grows_with_displacement_and_is_in_units_of_the_spacing() -> None:
    """RMS displacement by the cube root of the volume per atom; the matcher shifts one crystal for the best fit."""
    spacing = (QUARTZ.volume / len(QUARTZ)) ** (1 / 3)
    found = [rms(displaced(QUARTZ, by), QUARTZ) for by in (0.05, 0.1, 0.2)]
    assert found == sorted(found)
    for by, value in zip((0.05, 0.1, 0.2), found, strict=True):
        assert 0.5 * by / spacing <= value <= by / spacing + EXACT


@pytest.mark.parametrize("other", [FLUORITE, QUARTZ, NACL])
def test_other_crystals_do_not_match(other: Crystal) -> None:
    assert rms(other, RUTILE) is None


def test_oxidation_states_do_not_matter() -> None:
    charged = RUTILE.with_oxidation_states([0] * 6)
    assert rms(charged, RUTILE) == pytest.approx(0, abs=EXACT)


def test_processes_find_the_same() -> None:
    tasks = [(RUTILE, [RUTILE, FLUORITE]), (QUARTZ, []), (QUARTZ, [displaced(QUARTZ, 0.1)])]
    with matching() as match:
        alone = list(match(tasks))
    with matching(2) as match:
        assert list(match(tasks)) == alone
    assert [len(found) for found in alone] == [2, 0, 1]


# --- what is asked ---


@pytest.mark.parametrize(
    ("one", "content"), [(NACL, "Na1Cl1"), (RUTILE, "O4Ti2"), (supercell(NACL, (1, 1, 2)), "Na1Cl1")]
)
def test_the_content_of_the_primitive_cell_is_asked_for(one: Crystal, content: str) -> None:
    found = reference(3, Row("x", one))
    assert (found.number, found.id, found.cell_formula, found.reason) == (3, "x", content, None)
    assert rms(one, found.crystal) == pytest.approx(0, abs=EXACT)


def test_a_primitive_cell_stays_as_it_is() -> None:
    """Bringing it to standard form would move its atoms onto the symmetry that a tolerance sees in it."""
    one = displaced(RUTILE, 0.01)
    assert np.array_equal(primitive(one).frac_coords, one.frac_coords)


def test_oxidation_states_make_no_larger_cell() -> None:
    states = [2, 3, 2, 3, -1, -1, -1, -1]
    one = crystal([5.64] * 3 + [90] * 3, [*zip([11] * 4 + [17] * 4, states, [*FCC, *(FCC + 0.5)], strict=True)])
    assert reference(0, Row("x", one)).cell_formula == "Na1Cl1"


def test_what_cannot_be_read_stays_with_its_reason() -> None:
    found = reference(0, Row("x", None, {}, "cut short"))
    assert (found.status, found.reason, found.num_sites, found.formula) == ("unreadable", "cut short", None, None)


# --- figures ---


def sample(number: int, likelihood: float, distance: float | None, **more: Any) -> dict[str, Any]:
    row = {"reference": number, "log_likelihood": likelihood, "rms": distance, "valid": True}
    return {**row, "energy": None, "rms_relaxed": None, **more}


def references() -> list[Reference]:
    return [
        Reference(0, "a", RUTILE),
        Reference(1, "b", NACL),
        Reference(2, "c", QUARTZ, "too many sites", "9 sites"),
        Reference(3, "d", None, "unreadable", "cut short"),
    ]


SAMPLES = [
    sample(0, -3.0, None, energy=-1.0, rms_relaxed=0.3),
    sample(0, -1.0, 0.2, energy=-2.0, rms_relaxed=0.1),
    sample(0, -2.0, 0.1, energy=-1.5, rms_relaxed=None),
    sample(1, -1.0, 0.4),
    sample(1, -0.5, None, valid=False),
]


def test_each_choice_among_the_predictions() -> None:
    first, second, *rest = summary_rows(references(), SAMPLES)
    names = ("samples", "valid", "matched", "rms_first", "rms_any", "rms_likeliest")
    assert [first[name] for name in names] == [3, 3, 2, None, 0.1, 0.2]
    assert (first["rms_lowest_energy"], first["rms_lowest_energy_relaxed"]) == (0.2, 0.1)
    assert [second[name] for name in names] == [2, 1, 1, 0.4, 0.4, 0.4]
    assert second["rms_lowest_energy"] is None
    assert [(row["samples"], row["rms_any"]) for row in rest] == [(0, None)] * 2


def test_nothing_leaves_the_denominator() -> None:
    found = metrics(summary_rows(references(), SAMPLES), ["first", "any"], max_sites=8)
    whole, small = found["all"], found["at_most_8_sites"]
    assert whole["statuses"] == {"predicted": 2, "too many sites": 1, "unreadable": 1}
    assert (whole["crystals"], small["crystals"]) == (4, 2)
    assert (whole["any"]["numerator"], whole["any"]["denominator"], small["any"]["match_rate"]) == (2, 4, 1.0)
    assert whole["any"]["rmse"] == pytest.approx((0.1 + 0.4) / 2)
    assert whole["any"]["crmse"] == pytest.approx((0.1 + 0.4 + 2 * SITE_TOLERANCE) / 4)
    low, high = whole["first"]["interval"]
    assert low < whole["first"]["match_rate"] == 0.25 < high


def test_without_a_match_there_is_no_rmse_and_crmse_is_the_worst() -> None:
    rows = summary_rows(references(), [])
    found = metrics(rows, FIGURES, max_sites=8)["all"]
    assert all(found[name]["rmse"] is None and found[name]["crmse"] == SITE_TOLERANCE for name in FIGURES)
    assert metrics(rows[3:], FIGURES, max_sites=8)["at_most_8_sites"] == {"crystals": 0, "statuses": {}}


def least(predictions: dict[int, list[Crystal]]) -> dict[int, float | None]:
    polymorphs = [Reference(0, "rutile", RUTILE), Reference(1, "fluorite", primitive(FLUORITE)), *references()[1:]]
    polymorphs[2:] = [Reference(2, "salt", NACL), Reference(3, "d", None, "unreadable", "cut short")]
    with matching() as match:
        return dict(everything(polymorphs, predictions, match))


def test_metre_finds_polymorphs_that_were_written_for_each_other() -> None:
    """One for one, none of the two is right; taken together both were found."""
    found = least({0: [FLUORITE], 1: [RUTILE], 2: [NACL]})
    assert found == {0: pytest.approx(0, abs=EXACT), 1: pytest.approx(0, abs=EXACT)}


def test_metre_counts_one_polymorph_written_for_all_once() -> None:
    found = least({0: [RUTILE], 1: [RUTILE, RUTILE]})
    assert found == {0: pytest.approx(0, abs=EXACT), 1: None}


def test_metre_compares_within_a_formula_only() -> None:
    polymorphs = [Reference(number, str(number), one) for number, one in enumerate([RUTILE, FLUORITE, NACL, QUARTZ])]
    assert comparisons(polymorphs, {0: [RUTILE] * 5, 1: [RUTILE], 2: [NACL] * 7, 3: [QUARTZ]}) == (2, 6)


def test_the_definition_says_how_valid_differs_from_the_literature() -> None:
    assert "SMACT's test, which is not asked here" in DEFINITIONS["match"]
