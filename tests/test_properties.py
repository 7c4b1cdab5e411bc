"""The table of properties: what is encoded comes back, and what cannot be encoded is refused by name."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from materium.errors import RequestError
from materium.properties import Property, by_column, scalar_names, table

NUMBERS = [name for name, entry in table().items() if entry.kind == "number"]
CATEGORIES = [name for name, entry in table().items() if entry.kind == "category"]


def test_the_properties_that_the_design_names_are_there() -> None:
    assert {"space_group", "density", "band_gap", "mag_density", "bulk_modulus", "hhi"} <= set(table())
    assert {"energy_above_hull", "reduced_formula", "chemical_system"} <= set(table())


@pytest.mark.parametrize("name", table())
def test_every_entry_says_what_it_is(name: str) -> None:
    entry = table()[name]
    assert entry.name == name
    assert entry.description
    assert entry.kind in ("number", "category", "formula", "elements")
    assert entry.transform in ("identity", "log")
    assert (entry.classes > 0) == (entry.kind == "category")
    assert (entry.offset > 0) == (entry.transform == "log")
    assert entry.scale > 0


@pytest.mark.parametrize("name", NUMBERS)
@given(value=st.floats(0, 1e4))
def test_a_number_comes_back(name: str, value: float) -> None:
    entry = table()[name]
    encoded = entry.encode(value)
    assert math.isfinite(encoded)
    assert entry.decode(encoded) == pytest.approx(value, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", NUMBERS)
@given(one=st.floats(0, 1e4), other=st.floats(0, 1e4))
def test_order_is_kept(name: str, one: float, other: float) -> None:
    entry = table()[name]
    assert (entry.encode(one) <= entry.encode(other)) or one > other


@pytest.mark.parametrize("name", CATEGORIES)
def test_labels_come_back(name: str) -> None:
    entry = table()[name]
    for label in range(1, entry.classes + 1):
        assert entry.decode(entry.encode(label)) == label


@pytest.mark.parametrize("name", CATEGORIES)
@pytest.mark.parametrize("value", [0, -1, 1.5, 1000])
def test_what_is_no_label_is_refused(name: str, value: float) -> None:
    with pytest.raises(RequestError, match=f"{name} = {value:g} is no label; it runs from 1 to"):
        table()[name].encode(value)


@pytest.mark.parametrize("name", [*NUMBERS, *CATEGORIES])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused(name: str, value: float) -> None:
    with pytest.raises(RequestError, match=f"{name} = -?(nan|inf) is not finite"):
        table()[name].encode(value)


@pytest.mark.parametrize("name", [name for name in NUMBERS if table()[name].transform == "log"])
def test_a_logarithm_starts_at_zero(name: str) -> None:
    assert math.isfinite(table()[name].encode(0))
    with pytest.raises(RequestError, match=f"{name} = -0.5 .* is negative; it starts at 0"):
        table()[name].encode(-0.5)


def test_published_transforms() -> None:
    """Paper, section on conditions: ln(gap + 1e-4), ln(magnetisation + 1e-5), bulk modulus by 100, HHI by 1000."""
    assert table()["band_gap"].encode(1.0) == pytest.approx(math.log(1.0001))
    assert table()["mag_density"].encode(0.1) == pytest.approx(math.log(0.10001))
    assert table()["bulk_modulus"].encode(250) == pytest.approx(2.5)
    assert table()["hhi"].encode(1500) == pytest.approx(1.5)


def test_every_column_names_one_property() -> None:
    columns = [column for entry in table().values() for column in (entry.name, *entry.columns)]
    assert len(columns) == len(set(columns)) == len(by_column())
    assert by_column()["dft_band_gap"] == by_column()["band_gap"] == "band_gap"
    assert by_column()["e_above_hull"] == "energy_above_hull"


def test_scalars_are_numbers_and_categories() -> None:
    assert set(scalar_names()) == {*NUMBERS, *CATEGORIES}
    assert "reduced_formula" not in scalar_names()


def test_a_new_property_is_a_new_entry() -> None:
    entry = Property("refractive_index", "number", "", "at 589 nm", transform="log", offset=0.1, scale=2.0)
    assert entry.decode(entry.encode(1.5)) == pytest.approx(1.5)
