"""Tables that go into shards: what is refused, and what they are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from materium.data.inputs import InputTable, input_tables, short_names
from materium.errors import DataError


def test_a_path_is_a_table_without_settings_of_its_own() -> None:
    found = input_tables({"train": Path("a.csv"), "val": [Path("b.csv"), InputTable(Path("c.csv"))]})
    names = {"train": ["a.csv"], "val": ["b.csv", "c.csv"]}
    assert found == {split: [InputTable(Path(name)) for name in own] for split, own in names.items()}


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
def test_weights_are_numbers_above_zero(weight: float) -> None:
    with pytest.raises(DataError, match=r"weight .* of a\.csv is not possible"):
        InputTable(Path("a.csv"), weight)


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ({"train": [Path("a.csv"), Path("x/../a.csv")]}, r"train: a\.csv is given twice"),
        ({"train": []}, "train: no table is given"),
        (
            {"train": Path("a.csv"), "val": InputTable(Path("b.csv"), 0.5)},
            r"b\.csv has the weight 0\.5; only tables to",
        ),
    ],
)
def test_what_is_refused(sources: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        input_tables(sources)


def test_files_of_one_name_are_told_apart_by_their_paths() -> None:
    assert short_names([Path("a/x.csv"), Path("b/x.csv"), Path("b/y.csv")]) == ["a/x.csv", "b/x.csv", "y.csv"]
