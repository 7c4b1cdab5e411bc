from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import materium
from crystals import KNOWN, NACL, RUTILE, SILICON
from materium import convert
from materium.crystal import Crystal
from materium.data.records import Row
from materium.errors import DataError, MateriumError
from materium.evaluate.inputs import check_asked, read_inputs
from materium.evaluate.pipeline import Settings
from tiny import write_table

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """A folder of many formats, with a table, a broken CIF and a file of notes in it."""
    folder = tmp_path / "gemischt-ß-晶体"
    (folder / "deep").mkdir(parents=True)
    (folder / "Kochsalz-ß.cif").write_text(convert.to_cif(NACL))
    (folder / "broken.cif").write_text(convert.to_cif(NACL)[:400])
    (folder / "empty.cif").write_text("")
    (folder / "POSCAR_1").write_text(convert.to_poscar(RUTILE))
    (folder / "notes.txt").write_text("hello")
    with (folder / "deep" / "two.extxyz").open("w") as file:
        convert.write_extxyz_frame(file, SILICON, {"id": "si"})
        convert.write_extxyz_frame(file, RUTILE, {"id": "ti"})
    write_table(folder / "table.parquet", [NACL, SILICON])
    (folder / "metrics.json").write_text("{}")
    (folder / "evaluation.json").write_text("{}")
    return folder


def test_every_structure_of_a_mixed_folder_is_a_row(mixed: Path) -> None:
    found = read_inputs(mixed)
    rows = {row.id: row for row in found.rows}
    assert set(rows) == {
        "Kochsalz-ß.cif", "broken.cif", "empty.cif", "POSCAR_1", "si", "ti", "row-0", "row-1"
    }  # fmt: skip
    assert len(found.rows) == 8
    assert {name for name, row in rows.items() if row.crystal is None} == {"broken.cif", "empty.cif"}
    assert all(row.reason for row in found.rows if row.crystal is None)
    assert found.left_out == ("evaluation.json", "metrics.json", "notes.txt")


def test_overlapping_atoms_are_read(tmp_path: Path) -> None:
    """Also of formats whose readers reject them; training does not want them, a judge must see them."""
    close = Crystal(np.eye(3) * 4, np.array([[0, 0, 0], [0.05, 0, 0]]), np.array([11, 17]))
    (tmp_path / "a.cif").write_text(convert.to_cif(close))
    (tmp_path / "POSCAR").write_text(convert.to_poscar(close))
    with (tmp_path / "b.extxyz").open("w") as file:
        convert.write_extxyz_frame(file, close, {})
    rows = read_inputs(tmp_path).rows
    assert [row.id for row in rows] == ["POSCAR", "a.cif", "b.extxyz#0"]
    assert all(row.crystal is not None and row.reason is None for row in rows)
    (row,) = read_inputs(tmp_path / "a.cif").rows
    assert row.crystal is not None
    assert row.crystal.min_distance == pytest.approx(0.2)


def test_table_cut_short_in_a_folder_is_a_row(mixed: Path) -> None:
    table = mixed / "table.parquet"
    table.write_bytes(table.read_bytes()[:-20])
    rows = {row.id: row for row in read_inputs(mixed).rows}
    assert rows["table.parquet"].crystal is None
    assert "table.parquet" in (rows["table.parquet"].reason or "")


def test_folder_of_tables_alone(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,cif\nx,"' + convert.to_cif(NACL).replace('"', '""') + '"\ny,\n')
    rows = read_inputs(tmp_path).rows
    assert [row.id for row in rows] == ["x", "y"]
    assert rows[1].crystal is None


def test_digest_follows_the_content(tmp_path: Path) -> None:
    write_table(tmp_path / "a.parquet", [NACL, SILICON])
    write_table(tmp_path / "b.parquet", [NACL, SILICON])
    write_table(tmp_path / "c.parquet", [SILICON, NACL])
    one, same, other = (read_inputs(tmp_path / f"{name}.parquet").digest for name in "abc")
    assert one == same != other


def test_crystals_and_rows() -> None:
    found = read_inputs([*KNOWN.values(), Row("lost", None, {}, "the model wrote no end")])
    assert [row.id for row in found.rows] == ["0", "1", "2", "3", "4", "lost"]
    assert found.rows[-1].reason == "the model wrote no end"


@pytest.mark.parametrize("name", ["missing", "empty", "notes.txt"])
def test_nothing_to_judge_is_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(DataError) as caught:
        read_inputs(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_no_crystals() -> None:
    with pytest.raises(DataError, match="at least one"):
        read_inputs([])


def test_asked_is_the_denominator() -> None:
    assert check_asked(None, 7) == 7
    assert check_asked(10, 7) == 10
    with pytest.raises(MateriumError, match="7 rows"):
        check_asked(6, 7)


def test_structures_of_every_library_and_paths(tmp_path: Path) -> None:
    """Names come along, equal ones are told apart, and what is no crystal is a row with its reason."""
    structure, atoms, disordered = convert.to_structure(NACL), convert.to_atoms(SILICON), convert.to_structure(RUTILE)
    structure.properties = {"id": "salt", "log_likelihood": -3.5}
    atoms.info["id"] = "si"
    disordered.replace_species({"Ti4+": {"Ti4+": 0.5, "Si4+": 0.5}})
    close = convert.to_structure(Crystal(np.eye(3) * 4, np.array([[0, 0, 0], [0.05, 0, 0]]), np.array([11, 17])))
    (tmp_path / "a.cif").write_text(convert.to_cif(NACL))
    rows = read_inputs([structure, atoms, structure, disordered, close, RUTILE, tmp_path / "a.cif"]).rows
    assert [row.id for row in rows] == ["salt", "si", "salt#2", "3", "4", "5", "a.cif"]
    assert [row.crystal is None for row in rows] == [False, False, False, True, False, False, False]
    assert rows[0].properties == {"log_likelihood": -3.5}
    assert "disordered" in str(rows[3].reason)
    (alone,) = read_inputs(structure).rows
    assert alone.id == "salt"


@pytest.mark.parametrize("source", [[3], [None]])
def test_what_is_no_structure_is_named(source: list[object]) -> None:
    with pytest.raises(DataError, match=r"item 0 is a .*; give pymatgen structures"):
        read_inputs(source)  # type: ignore[arg-type]


def test_the_package_can_be_called() -> None:
    """Also after its modules were imported, which puts the package in the place of a function of its name."""
    crystals = materium.load().generate(3, seed=1)
    found = materium.evaluate(crystals, skip=["novel", "relax"])
    assert (
        [row["id"] for row in found.rows]
        == [one.properties["id"] for one in crystals]
        == [f"1-{i:06d}" for i in range(3)]
    )
    assert found.rows[0]["log_likelihood"] == pytest.approx(crystals[0].properties["log_likelihood"])
    with pytest.raises(MateriumError, match="settings and max_steps"):
        materium.evaluate(crystals, settings=Settings(), max_steps=3)
