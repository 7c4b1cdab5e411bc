"""Labels from side tables: joined by id, in the order of precedence that was asked for, and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crystals import NACL
from materium.data.records import Row
from materium.data.side_labels import LabelSources, SideLabels
from materium.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [
    Row("a", NACL, {"mag_density": 0.5, "band_gap": 1.0}),
    Row("b", NACL, {"mag_density": 0.25}),
    Row("c", NACL, {"energy_above_hull_source": "chgnet", "energy_above_hull": 0.2}),
]
SIDE = {"id": ["a", "b", "x"], "gap": [2.0, None, 4.0], "mag_dft": [0.0, None, None], "bulk_modulus": [10.0, 20.0, 3.0]}


def side_table(path: Path, columns: dict[str, list[Any]] | None = None) -> Path:
    pq.write_table(pa.table(columns or SIDE), path)
    return path


def labels_of(sources: LabelSources) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    side = SideLabels(sources)
    return [dict(side.apply(row).properties) for row in ROWS], side.facts()


def test_without_sources_rows_stay_as_they_are() -> None:
    side = SideLabels(LabelSources())
    assert [side.apply(row) for row in ROWS] == ROWS
    assert side.facts() == {"tables": {}, "columns": []}


@pytest.mark.parametrize("name", ["side.parquet", "side.csv"])
def test_columns_of_known_names_fill_in_what_is_missing(tmp_path: Path, name: str) -> None:
    if name.endswith("csv"):
        (tmp_path / name).write_text("material_id;dft_bulk_modulus;mag_density\na;10;7\nb;20;\nx;;3\n")
    else:
        side_table(tmp_path / name)
    labels, facts = labels_of(LabelSources((tmp_path / name,)))
    assert [row.get("bulk_modulus") for row in labels] == [10, 20, None]
    assert [row.get("mag_density") for row in labels] == [0.5, 0.25, None]
    assert facts["tables"] == {name: {"rows": 3, "matched": 2}}
    assert facts["columns"] == [{"label": "bulk_modulus", "column": "bulk_modulus", "table": name, "rows": 2}]


def test_named_columns_come_in_their_order(tmp_path: Path) -> None:
    path = side_table(tmp_path / "side.parquet")
    order = {"mag_density": ("mag_dft", "mag_density"), "band_gap": ("band_gap", "gap"), "density": ("rho",)}
    labels, facts = labels_of(LabelSources((path,), order))
    assert [row.get("mag_density") for row in labels] == [0.0, 0.25, None]
    assert [row.get("band_gap") for row in labels] == [1.0, None, None]
    assert labels[0]["mag_density_source"] == "mag_dft"
    used = {(c["label"], c["column"], c["table"]): c["rows"] for c in facts["columns"]}
    assert used["mag_density", "mag_dft", "side.parquet"] == 1
    assert used["mag_density", "mag_density", ""] == 1
    assert used["band_gap", "gap", ""] == 0
    assert used["density", "rho", ""] == 0


def test_a_label_that_is_named_comes_from_nowhere_else(tmp_path: Path) -> None:
    path = side_table(tmp_path / "side.parquet")
    labels, _ = labels_of(LabelSources((path,), {"mag_density": ("mag_dft",)}))
    assert [row.get("mag_density") for row in labels] == [0.0, None, None]


def test_columns_of_the_crystals_tables_serve_without_a_side_table() -> None:
    row = Row("a", NACL, {"e_hull_est": 0.3, "energy_above_hull": 0.1})
    side = SideLabels(LabelSources(columns={"energy_above_hull": ("e_hull_est", "energy_above_hull")}))
    found = side.apply(row).properties
    assert (found["energy_above_hull"], found["energy_above_hull_source"]) == (0.3, "e_hull_est")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"id": ["a", "a"], "gap": [1.0, 2.0]}, "has the id a twice"),
        ({"gap": [1.0]}, "has no column of ids, such as id"),
        ({"id": pa.array([], pa.string())}, "has no rows"),
    ],
)
def test_bad_tables_are_one_line(tmp_path: Path, columns: dict[str, list[Any]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        SideLabels(LabelSources((side_table(tmp_path / "side.parquet", columns),)))


def test_other_files_and_labels_are_refused(tmp_path: Path) -> None:
    (tmp_path / "side.txt").write_text("id\n")
    with pytest.raises(DataError, match=r"side\.txt is no Parquet or CSV table"):
        SideLabels(LabelSources((tmp_path / "side.txt",)))
    (tmp_path / "side.csv").write_text("id,gap\na,1,2\n")
    with pytest.raises(DataError, match="more values than there are columns"):
        SideLabels(LabelSources((tmp_path / "side.csv",)))
    with pytest.raises(DataError, match="no label is called 'hardness'; choose from space_group"):
        LabelSources(columns={"hardness": ("hv",)})
