from __future__ import annotations

from typing import Any

import pytest

from materium.errors import DataError
from materium.report.rows import read_rows

ROW: dict[str, Any] = {
    "id": "1-000000",
    "request": 0,
    "targets": {"density": 5, "space_group": 225},
    "measured": {"density": 5.2, "space_group": 227, "space_group_fine": 1},
    "valid": True,
}


def test_each_target_is_judged() -> None:
    (row,) = read_rows([ROW])
    assert row.met == {"density": True, "space_group": False}
    assert row.failure() == "space group 227, asked 225"


def test_an_invalid_crystal_meets_nothing_whatever_was_measured() -> None:
    (row,) = read_rows([{**ROW, "valid": False, "reason": "atoms 0.3 Å apart"}])
    assert not any(row.met.values())
    assert row.value("density") is None
    assert row.failure() == "not valid: atoms 0.3 Å apart"
    assert row.kinds_of_failure() == ["not valid"]


@pytest.mark.parametrize("measured", [{}, {"density": None, "space_group": None}])
def test_what_was_not_measured_is_named_as_such(measured: dict[str, None]) -> None:
    (row,) = read_rows([{**ROW, "measured": measured}])
    assert row.kinds_of_failure() == ["density not measured", "space group not measured"]
    assert row.failure() == "density not measured, asked 5 g/cm³; space group not measured, asked 225"


def test_no_targets_means_nothing_to_fail_but_validity() -> None:
    (row,) = read_rows([{**ROW, "targets": {}}])
    assert row.failure() == ""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": {"densty": 5}}, "row 0 (id 1-000000): unknown target 'densty'"),
        ({"targets": {"density": None}}, "target of density is empty"),
        ({"targets": {"density": "high"}}, "density = 'high' is no number"),
        ({"measured": {"density": float("nan")}}, "density = nan is not finite; write None"),
        ({"guidance": float("inf")}, "guidance = inf is not finite"),
    ],
)
def test_wrong_rows_are_refused_by_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as caught:
        read_rows([{**ROW, **change}])
    assert message in str(caught.value)


def test_missing_keys_and_missing_rows_are_refused() -> None:
    with pytest.raises(DataError, match="row 1 lacks measured, valid"):
        read_rows([ROW, {key: ROW[key] for key in ("id", "request", "targets")}])
    with pytest.raises(DataError, match="no rows"):
        read_rows([])
