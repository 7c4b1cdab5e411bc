from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from materium.report import summary
from materium.report.rows import read_rows
from materium.report.summary import Share

if TYPE_CHECKING:
    from materium.report.rows import Row


def rows(*entries: tuple[dict[str, Any], dict[str, Any]], **more: object) -> list[Row]:
    plain = [
        {"id": str(number), "request": 0, "targets": targets, "measured": measured, "valid": True, **more}
        for number, (targets, measured) in enumerate(entries)
    ]
    return read_rows(plain)


@pytest.mark.parametrize(
    ("met", "of", "low", "high"),
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
)
def test_wilsons_interval_has_its_published_values(met: int, of: int, low: float, high: float) -> None:
    """81 of 263 is the example of Newcombe, Stat. Med. 17, 857 (1998)."""
    assert Share(met, of).interval == pytest.approx((low, high), abs=1e-4)


def test_failures_stay_in_the_denominator() -> None:
    good, bad = {"density": 5.0}, {"density": None}
    found = read_rows(
        [
            {"id": "a", "request": 0, "targets": {"density": 5}, "measured": good, "valid": True},
            {"id": "b", "request": 0, "targets": {"density": 5}, "measured": good, "valid": False},
            {"id": "c", "request": 0, "targets": {"density": 5}, "measured": bad, "valid": True},
            {"id": "d", "request": 0, "targets": {"density": 5}, "measured": {"density": 9.0}, "valid": True},
        ]
    )
    (outcome,) = summary.outcomes(found, "density")
    assert outcome.share == Share(1, 4)
    assert (outcome.invalid, outcome.missing, outcome.values) == (1, 1, (5.0, 9.0))
    assert outcome.quartiles == (6.0, 7.0, 8.0)
    assert summary.validity(found) == Share(3, 4)


def test_targets_come_in_ascending_order_as_numbers() -> None:
    found = rows(*(({"space_group": g}, {"space_group": g}) for g in (225, 14, 62)))
    assert [outcome.target for outcome in summary.outcomes(found, "space_group")] == [14, 62, 225]


def test_a_range_is_cut_into_bins_that_hold_every_row() -> None:
    targets = [10.0 - 0.01 * number for number in range(500)]
    found = summary.outcomes(rows(*(({"density": t}, {"density": t}) for t in targets)), "density")
    assert len(found) == summary.BINS
    assert sum(outcome.share.of for outcome in found) == sum(outcome.share.met for outcome in found) == 500
    assert found[0].target == "5.01 to 5.62"


def test_rare_labels_are_counted_together() -> None:
    found = rows(*(({"space_group": 1 + n % 230}, {"space_group": 1}) for n in range(460)))
    outcomes = summary.outcomes(found, "space_group")
    assert len(outcomes) == summary.MAX_LABELS
    assert outcomes[-1].target == f"{230 - summary.MAX_LABELS + 1} others"
    assert sum(outcome.share.of for outcome in outcomes) == 460


def test_combinations_give_the_share_of_each_and_of_all() -> None:
    targets = {"density": 5.0, "reduced_formula": "NaCl"}
    found = rows(
        (targets, {"density": 5.0, "reduced_formula": "NaCl"}),
        (targets, {"density": 5.0, "reduced_formula": "KCl"}),
        (targets, {"density": 1.0, "reduced_formula": "NaCl"}),
        (targets, {}),
    )
    (((combination,),),) = (summary.combinations(found),)
    assert combination.each == {"reduced_formula": Share(2, 4), "density": Share(2, 4)}
    assert combination.together == Share(1, 4)
    assert combination.label == "NaCl, 5"


def test_too_many_combinations_become_one() -> None:
    found = rows(*(({"density": 1 + n, "hhi": 1000.0}, {"density": 1.0 + n}) for n in range(100)))
    (((combination,),),) = (summary.combinations(found),)
    assert combination.each == {"density": Share(100, 100), "hhi": Share(0, 100)}


def test_pairs_hold_the_points_that_have_both_values() -> None:
    targets = {"density": 5, "hhi": 1000}
    found = rows((targets, {"density": 5.0, "hhi": 1050.0}), (targets, {"density": 5.0, "hhi": None}))
    (pair,) = summary.pairs(found, "density", "hhi")
    assert pair.asked == (5.0, 1000.0)
    assert pair.points == [(5.0, 1050.0)]
    assert pair.share == Share(1, 2)


def test_guidance_counts_distinct_crystals_among_all() -> None:
    told = {"density": 5}
    salt = {"density": 5.0, "reduced_formula": "NaCl", "space_group": 225}
    zinc = {**salt, "space_group": 216}
    weak = rows((told, salt), (told, zinc), (told, {**salt, "density": 9.0}), guidance=1.0)
    strong = rows((told, salt), (told, salt), guidance=2.0)
    points = summary.guidance_points([*strong, *weak])
    assert [point.weight for point in points] == [1.0, 2.0]
    assert [point.adherence for point in points] == [Share(2, 3), Share(2, 2)]
    assert [point.diversity for point in points] == [2 / 3, 1 / 2]
