from __future__ import annotations

from typing import Any

import pytest

from materium.evaluate.adherence import Share
from materium.evaluate.summary import LEMAT, MATTERGEN, METRICS, fractions, means, summarise, verdicts


def row(**columns: Any) -> dict[str, Any]:
    """A row that is valid, unique, novel, converged and on the hull, but for what is said."""
    good = {
        "formula": "NaCl", "valid": True, "min_distance": 2.8, "smact_valid": True, "unique": True, "novel": True,
        "novel_formula": False, "unique_relaxed": True, "novel_relaxed": True, "relax_status": "converged",
        "matched": True, "energy_above_hull": 0.0, "hull_reason": None, "rmsd": 0.01, "num_sites": 2,
        "classes": ["halide"], "element_rarity": "common",
    }  # fmt: skip
    filled = {**good, **columns}
    return {**filled, **verdicts(filled)}


LOST = {"formula": None, "valid": False, "reason": "unreadable CIF", "hull_reason": "unreadable CIF"}
ROWS = [
    row(),
    row(energy_above_hull=0.08, classes=["oxide", "lanthanide"]),
    row(energy_above_hull=0.3),
    row(energy_above_hull=None, hull_reason="no reference"),
    row(energy_above_hull=-0.05, novel_relaxed=False),
    row(unique=False, unique_relaxed=False),
    row(relax_status="max_steps", matched=False, energy_above_hull=0.02),
    {**LOST, **verdicts(LOST)},
]


def values(asked: int = 8, skipped: tuple[str, ...] = ()) -> dict[str, tuple[int, int]]:
    found = summarise(ROWS, asked, skipped)["metrics"]
    return {name: (one["numerator"], one["denominator"]) for name, one in found.items() if "numerator" in one}


def test_every_row_is_in_the_denominator() -> None:
    found = values()
    assert found["parsed"] == (7, 8)
    assert found["valid"] == (7, 8)
    assert found["unique"] == (6, 8)
    assert found["converged"] == (6, 8)
    assert found["relaxed"] == (7, 8)
    assert found["matched"] == (6, 8)
    assert found["placed"] == (6, 8)
    assert found["stable"] == (3, 8)
    assert found["metastable"] == (5, 8)
    assert found["sun"] == (1, 8)
    assert found["msun"] == (3, 8)


def test_movement_of_those_that_kept_their_structure_has_its_own_mean() -> None:
    moved = [row(), row(matched=False, rmsd=1.2)]
    found = summarise(moved, 2, ())["metrics"]
    assert (found["rmsd"]["n"], found["rmsd"]["value"]) == (2, pytest.approx(0.605))
    assert (found["rmsd_of_matched"]["n"], found["rmsd_of_matched"]["value"]) == (1, 0.01)


def test_what_never_arrived_counts_as_failed() -> None:
    assert {of for _, of in values(20).values()} == {20}


def test_figures_are_complete() -> None:
    for name, one in summarise(ROWS, 8, ())["metrics"].items():
        assert one["definition"], name
        if "numerator" in one:
            share = Share(one["numerator"], one["denominator"])
            assert one["value"] == share.value
            assert one["interval"] == list(share.interval)


def test_the_interval_of_a_positive_mean_is_positive_and_tight_ones_are_the_normal_ones() -> None:
    far, near, signed = (
        means([{name: value} for value in values], ())[name]
        for name, values in (
            ("rmsd", (0.0, 0.0, 0.9)),
            ("num_sites", (19, 20, 21)),
            ("energy_change", (-0.2, 0.1, 0.4)),
        )
    )
    assert 0 < far["interval"][0] < far["value"] < far["interval"][1]
    half = 1.96 / 3**0.5
    assert near["interval"] == pytest.approx([20 - half, 20 + half], rel=2e-3)
    assert signed["interval"] == pytest.approx([0.1 - 0.3 * half, 0.1 + 0.3 * half], rel=1e-3)


def test_relaxed_verdict_goes_before_that_as_made() -> None:
    one = {"unique": True, "novel": True, "novel_relaxed": False, "energy_above_hull": -1, "hull_reason": None}
    assert verdicts(one)["sun"] is False
    assert verdicts({**one, "novel_relaxed": None})["sun"] is True


def test_rounding_is_no_instability() -> None:
    assert row(energy_above_hull=3e-8)["stable"]
    assert row(energy_above_hull=5e-5)["stable"]  # noise of float32 and of batches
    assert not row(energy_above_hull=1e-3)["stable"]


def test_stable_ones_are_not_metastable_for_others() -> None:
    """LeMat-GenBench counts each structure once; MatterGen judges the relaxed structure."""
    found = summarise([*ROWS, row(unique_relaxed=False)], 9, ())
    assert (found["metrics"]["metastable"]["numerator"], found["metrics"]["metastable_only"]["numerator"]) == (6, 2)
    assert found["lemat_genbench"]["metastable"]["numerator"] == 2
    assert (found["metrics"]["msun"]["numerator"], found["lemat_genbench"]["msun"]["numerator"]) == (3, 2)
    names = ("frac_unique_structures", "frac_novel_structures", "frac_novel_unique_structures")
    assert [found["mattergen"][name]["numerator"] for name in names] == [6, 7, 5]
    made = ("unique", "novel", "unique_novel")
    assert [found["metrics"][name]["numerator"] for name in made] == [7, 8, 7]


def test_what_is_not_valid_fails_what_ran() -> None:
    lost = {"valid": False, "hull_reason": "unreadable"}
    found = verdicts(lost, {"unique", "novel"})
    assert (found["unique_final"], found["novel_final"], found["sun"], found["msun"]) == (False,) * 4
    assert verdicts(lost, {"unique"})["novel_final"] is None
    assert verdicts({"valid": True, "novel": None}, {"novel"})["novel_final"] is None


def test_how_sure_a_verdict_at_zero_is_stands_beside_it() -> None:
    found = summarise(ROWS, 8, ())["metrics"]
    assert all("coin toss" in found[name]["definition"] for name in ("stable", "sun"))


def test_skipped_stages_have_no_figures_rather_than_zeros() -> None:
    assert not {"converged", "matched", "stable", "sun", "msun"} & set(values(8, ("relax", "hull")))
    assert not {"converged", "matched"} & set(values(8, ("move",)))
    assert "relaxed" in values(8, ("move",))
    assert verdicts({"valid": True})["stable"] is None
    assert "sun" not in values(8, ("novel",))


@pytest.mark.parametrize(("names", "key"), [(MATTERGEN, "mattergen"), (LEMAT, "lemat_genbench")])
def test_names_of_others(names: dict[str, str], key: str) -> None:
    found = summarise(ROWS, 8, ())
    for name, ours in names.items():
        if ours in found["metrics"]:
            assert found[key][name]["value"] == found["metrics"][ours]["value"]
    known = {metric.name for metric in METRICS} | {"rmsd", "energy_above_hull"}
    assert set(names.values()) <= known
    assert "frac_novel_unique_stable_structures" in MATTERGEN


def test_groups_have_their_own_denominators() -> None:
    groups = summarise(ROWS, 8, ())["groups"]
    assert groups["class"]["oxide"]["metastable"]["denominator"] == 1
    assert groups["class"]["lanthanide"]["metastable"]["value"] == 1
    assert groups["class"]["halide"]["valid"]["denominator"] == 6
    assert groups["rarity_of_elements"]["common"]["valid"]["numerator"] == 7
    assert groups["rarity_of_space_group"] == {}


def test_reasons_are_counted_without_their_numbers() -> None:
    rows = [{"reason": f"atoms {0.1 * n:.3f} Å apart"} for n in range(3)] + [{"reason": "unreadable"}]
    assert summarise(rows, 4, ())["counts"]["reason"] == {"atoms # Å apart": 3, "unreadable": 1}


def test_order_of_rows_changes_nothing() -> None:
    assert fractions(ROWS[::-1], 8, ()) == fractions(ROWS, 8, ())
