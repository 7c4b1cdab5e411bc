"""Filters of rows: what a label below the hull is, what is rejected, and which crystals are the same."""

from __future__ import annotations

from typing import Any

import pytest

from crystals import NACL, PEROVSKITE
from materium.data.filters import SOURCE, Duplicates, on_hull, rejection
from materium.data.records import Row

LIMITS: dict[str, Any] = {"max_energy_above_hull": 0.1, "keep_unlabelled": True, "exclude_elements": ()}


@pytest.mark.parametrize(("given", "expected"), [(0.2, 0.2), (0.0, 0.0), (-0.01, 0.0), (-0.3, 0.0)])
def test_a_bit_below_the_hull_is_on_it(given: float, expected: float) -> None:
    row = on_hull(Row("a", NACL, {"energy_above_hull": given, SOURCE: "dft"}))
    assert row.properties == {"energy_above_hull": expected, SOURCE: "dft"}
    assert not row.left_out


def test_far_below_the_hull_is_no_label() -> None:
    row = on_hull(Row("a", NACL, {"energy_above_hull": -0.31, SOURCE: "dft", "band_gap": 1.0}))
    assert row.properties == {"band_gap": 1.0}
    assert row.left_out == {"energy_above_hull": "-0.31"}


@pytest.mark.parametrize(
    ("properties", "change", "reason"),
    [
        ({"energy_above_hull": 0.1}, {}, None),
        ({"energy_above_hull": 0.101}, {}, "energy above hull over 0.1 eV/atom"),
        ({}, {}, None),
        ({}, {"keep_unlabelled": False}, "no energy above hull"),
        ({"energy_above_hull": 0.0}, {"keep_unlabelled": False}, None),
        ({}, {"exclude_elements": ("Na", "O")}, "contains O"),
    ],
)
def test_reasons(properties: dict[str, float], change: dict[str, Any], reason: str | None) -> None:
    assert rejection(PEROVSKITE, properties, **{**LIMITS, **change}) == reason


def test_the_same_crystal_of_another_table_is_a_duplicate() -> None:
    found = Duplicates()
    assert found.add("one", "a", "NaCl", b"1") is None
    assert found.add("one", "a", "NaCl", b"1") is None
    assert found.add("two", "b", "NaCl", b"1") == "same crystal in another table: a in one"
    assert found.add("two", "a", "NaCl", b"2") == "same id and formula in another table: a in one"
    assert found.add("two", "a", "KCl", b"3") is None
    assert found.add("three", "c", "NaCl", b"2") is None  # a rejected crystal rejects no other
