"""Targets as people write them, each read as the number, range or formula that it says."""

from __future__ import annotations

import pytest

from materium.errors import RequestError
from materium.generate.targets import Range, parse_composition, parse_target
from materium.model.config import Seen


@pytest.mark.parametrize(
    ("name", "text", "read"),
    [
        ("density", "3.5", 3.5),
        ("density", 3, 3.0),
        ("density", "1..2", Range(1, 2)),
        ("density", ">5", Range(5, None)),
        ("density", "<=5", Range(None, 5)),
        ("density", (1, 2), Range(1, 2)),
        ("num_sites", ">5", Range(6, None)),
        ("num_sites", ">=5", Range(5, None)),
        ("num_sites", "<5", Range(None, 4)),
        ("num_sites", (None, 5), Range(None, 5)),
        ("reduced_formula", "LiFePO4", "LiFePO4"),
        ("chemical_system", "O-Fe-Li", "Fe-Li-O"),
    ],
)
def test_reads(name: str, text: object, read: object) -> None:
    assert parse_target(name, text) == read  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("density", "2..1", "is empty"),
        ("density", "..", "is no range"),
        ("density", (1, "x"), "is no number"),
        ("density", (None, None), "no bound that is a number"),
        ("band_gap", "-1..2", "starts at 0"),
        ("space_group", "0..3", "from 1 to 230"),
        ("chemical_system", "Fe2O3", "has counts"),
    ],
)
def test_refuses(name: str, text: object, said: str) -> None:
    with pytest.raises(RequestError, match=said):
        parse_target(name, text)  # type: ignore[arg-type]


def test_an_open_end_is_that_of_training() -> None:
    seen = Seen(1.0, 20.0, 5.0, 3.0, 9)
    assert Range(None, 3.0).closed("density", seen) == (1.0, 3.0)
    assert Range(3.0, None).closed("density", seen) == (3.0, 20.0)
    with pytest.raises(RequestError, match="holds nothing"):
        Range(30.0, None).closed("density", seen)
    with pytest.raises(RequestError, match="give both ends"):
        Range(3.0, None).closed("density", None)


def test_compositions_are_by_atomic_number() -> None:
    assert parse_composition("LiFePO4") == [(3, 1), (8, 4), (15, 1), (26, 1)]
