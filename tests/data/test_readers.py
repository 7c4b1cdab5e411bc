"""Rows out of every format of the field, and what happens to rows and sources that are wrong."""

from __future__ import annotations

import csv
import gzip
import json
import sqlite3
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase.db import connect

from crystals import KNOWN, MAGNETITE_LIKE, NACL, QUARTZ, RUTILE, assert_same
from materium import convert
from materium.crystal import Crystal
from materium.data.readers import Row, checked, count, digest, open_source, read
from materium.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

OVERLAPPING = Crystal(4 * np.eye(3), [[0, 0, 0], [0.1, 0, 0]], [1, 1])


def without_states(crystal: Crystal) -> Crystal:
    return Crystal(crystal.lattice, crystal.frac_coords, crystal.numbers)


def our_record(crystal: Crystal, **properties: Any) -> dict[str, Any]:
    """Return a row in the schema of the shared tables."""
    return {
        "cell": crystal.lattice.ravel().tolist(),
        "atomic_numbers": crystal.numbers.tolist(),
        "frac_coords": crystal.frac_coords.ravel().tolist(),
        **properties,
    }


def lemat_record(crystal: Crystal, **properties: Any) -> dict[str, Any]:
    """Return a row in LeMat-Bulk's schema, with one of the columns that are not for us."""
    names = convert.symbols(crystal.numbers)
    kinds = [{"name": n, "chemical_symbols": [n], "concentration": [1.0], "mass": None} for n in sorted(set(names))]
    return {
        "immutable_id": "agm001",
        "lattice_vectors": crystal.lattice.tolist(),
        "species_at_sites": names,
        "cartesian_site_positions": (crystal.frac_coords @ crystal.lattice).tolist(),
        "species": json.dumps(kinds),
        "forces": [[0.0, 0.0, 0.0]] * len(crystal),
        **properties,
    }


def write_parquet(path: Path, records: Sequence[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(records)), path)
    return path


def write_csv(path: Path, records: Sequence[dict[str, Any]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(records[0]))
        writer.writeheader()
        writer.writerows(records)
    return path


def write_json(path: Path, data: object) -> Path:
    content = json.dumps(data).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def refusal(path: Path) -> str:
    """Return the one line with which a source is refused, at once or on the way."""
    with pytest.raises(DataError) as caught:
        list(read(path))
    message = str(caught.value)
    assert "\n" not in message
    return message


def only(rows: Sequence[Row]) -> Row:
    (row,) = rows
    return row


# --- tables ---


@pytest.mark.parametrize("crystal", [*KNOWN.values(), MAGNETITE_LIKE], ids=[*KNOWN, "Fe2O2F"])
def test_our_schema(tmp_path: Path, crystal: Crystal) -> None:
    record = our_record(
        crystal, id="one", band_gap=1.5, space_group=225, oxidation_states=crystal.oxidation_states.tolist()
    )
    row = only(list(read(write_parquet(tmp_path / "t.parquet", [record]))))
    assert_same(crystal, row.crystal, tolerance=1e-12)
    assert (row.id, row.reason, row.properties) == ("one", None, {"band_gap": 1.5, "space_group": 225})


def test_what_is_missing_is_left_out(tmp_path: Path) -> None:
    records = [our_record(NACL, band_gap=None, hhi=float("nan")), our_record(NACL, band_gap=0.0, hhi=900.0)]
    first, second = read(write_parquet(tmp_path / "t.parquet", records))
    assert (first.properties, second.properties) == ({}, {"band_gap": 0.0, "hhi": 900.0})


def test_rows_without_an_id_are_numbered(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", [our_record(NACL), our_record(RUTILE)])
    assert [row.id for row in read(path)] == ["0", "1"]


def test_lemat_bulk(tmp_path: Path) -> None:
    record = lemat_record(QUARTZ, energy=-3.5, band_gap_indirect=6.0, functional="pbe", cross_compatibility=True)
    row = only(list(read(write_parquet(tmp_path / "t.parquet", [record]))))
    assert_same(without_states(QUARTZ), row.crystal, tolerance=1e-12)
    assert row.id == "agm001"
    assert row.properties == {"energy": -3.5, "band_gap_indirect": 6.0, "functional": "pbe", "cross_compatibility": 1}


@pytest.mark.parametrize(
    ("species", "reason"),
    [
        ([{"name": "Si", "chemical_symbols": ["Si", "Ge"], "concentration": [0.5, 0.5]}], "disordered site: Si holds"),
        ([{"name": "Si", "chemical_symbols": ["vacancy"], "concentration": [1.0]}], "unknown element: 'vacancy'"),
        ([{"name": "Si", "chemical_symbols": ["Si"], "concentration": [0.9]}], "disordered site: Si holds {'Si': 0.9}"),
        ([{"name": "Si"}], "cannot be read"),
    ],
)
def test_lemat_bulk_species_that_are_no_elements(tmp_path: Path, species: list[Any], reason: str) -> None:
    path = write_parquet(tmp_path / "t.parquet", [lemat_record(QUARTZ) | {"species": json.dumps(species)}])
    assert reason in only(list(read(path))).reason


def test_mp_20(tmp_path: Path) -> None:
    record = {
        "": 0,
        "material_id": "mp-22862",
        "formation_energy_per_atom": -2.1,
        "band_gap": 5.0,
        "pretty_formula": "NaCl",
        "e_above_hull": 0,
        "elements": "['Na', 'Cl']",
        "cif": convert.to_cif(without_states(NACL)),
        "spacegroup.number": 225,
        "cif.conv": convert.to_cif(NACL),
    }
    row = only(list(read(write_csv(tmp_path / "train.csv", [record]))))
    assert_same(without_states(NACL), row.crystal, tolerance=1e-9)
    assert row.id == "mp-22862"
    assert row.properties == {
        "formation_energy_per_atom": -2.1,
        "band_gap": 5,
        "reduced_formula": "NaCl",
        "energy_above_hull": 0,
        "elements": "['Na', 'Cl']",
        "space_group": 225,
    }


@pytest.mark.parametrize("write", [write_csv, write_parquet])
def test_alex_mp_20(tmp_path: Path, write: Callable[..., Path]) -> None:
    names = {
        "dft_band_gap": "band_gap",
        "dft_mag_density": "mag_density",
        "dft_bulk_modulus": "bulk_modulus",
        "energy_above_hull": "energy_above_hull",
        "hhi_score": "hhi",
        "my_target": "my_target",
    }
    record = {"material_id": "a", "cif": convert.to_cif(NACL), **dict.fromkeys(names, 1.25), "space_group": "Fm-3m"}
    path = write(tmp_path / f"t.{write.__name__.removeprefix('write_')}", [record])
    expected = dict.fromkeys(names.values(), 1.25) | {"space_group": 225}
    assert only(list(read(path))).properties == expected


def test_of_two_columns_for_one_property_both_are_kept(tmp_path: Path) -> None:
    record = our_record(NACL, dft_bulk_modulus=25.0, bulk_modulus=24.0)
    row = only(list(read(write_parquet(tmp_path / "t.parquet", [record]))))
    assert row.properties == {"bulk_modulus": 24.0, "dft_bulk_modulus": 25.0}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.5", 1.5),
        ("-2", -2),
        ("1e-3", 1e-3),
        ("InF", "InF"),
        ("nan", None),
        ("", None),
        ("None", None),
        ("1_0", "1_0"),
    ],
)
def test_csv_text_becomes_what_it_says(tmp_path: Path, text: str, value: object) -> None:
    record = {"id": "007", "cif": convert.to_cif(NACL), "x": text}
    row = only(list(read(write_csv(tmp_path / "t.csv", [record]))))
    assert row.properties.get("x") == value
    assert row.id == "007"


def test_csv_types_may_change_on_the_way(tmp_path: Path) -> None:
    cif = convert.to_cif(NACL)
    values = ["1", "", "2.5", "text"]
    path = write_csv(tmp_path / "t.csv", [{"cif": cif, "x": value} for value in values])
    assert [row.properties.get("x") for row in read(path)] == [1, None, 2.5, "text"]


def test_csv_may_be_compressed(tmp_path: Path) -> None:
    plain = write_csv(tmp_path / "t.csv", [{"cif": convert.to_cif(NACL)}])
    (tmp_path / "z.csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    assert_same(NACL, only(list(read(tmp_path / "z.csv.gz"))).crystal, tolerance=1e-9)


# --- JSON ---


def as_dict(crystal: Crystal) -> dict[str, Any]:
    return convert.to_structure(crystal).as_dict()


@pytest.mark.parametrize("name", ["t.json", "t.json.gz"])
@pytest.mark.parametrize(
    ("wrap", "ids"),
    [
        (lambda one, two: [one, two], ["0", "1"]),
        (lambda one, two: {"x": one, "y": two}, ["x", "y"]),
        (lambda one, two: [{"structure": one, "material_id": "x"}, {"structure": two, "material_id": "y"}], ["x", "y"]),
        (lambda one, two: {"x": {"structure": one}, "y": {"structure": two, "material_id": "z"}}, ["x", "y"]),
        (lambda one, two: [one, {"cif": convert.to_cif(RUTILE), "id": 7, "e": two["charge"]}], ["0", "7"]),
    ],
)
def test_json(tmp_path: Path, name: str, wrap: Callable[..., object], ids: list[str]) -> None:
    path = write_json(tmp_path / name, wrap(as_dict(NACL), as_dict(RUTILE)))
    rows = list(read(path))
    assert [row.id for row in rows] == ids
    assert_same(NACL, rows[0].crystal, tolerance=1e-9)
    assert_same(RUTILE, rows[1].crystal, tolerance=1e-9)


def test_json_of_one_structure_and_of_records_with_properties(tmp_path: Path) -> None:
    assert_same(NACL, only(list(read(write_json(tmp_path / "a.json", as_dict(NACL))))).crystal, tolerance=1e-12)
    record = {"structure": as_dict(NACL), "e_above_hull": 0.1, "tags": ["x"], "gap": None}
    assert only(list(read(write_json(tmp_path / "b.json", [record])))).properties == {"energy_above_hull": 0.1}


def test_json_records_that_are_wrong_are_rows(tmp_path: Path) -> None:
    data = [{"structure": as_dict(NACL) | {"sites": []}}, {"energy": 1.0}, {"structure": None}, as_dict(RUTILE)]
    rows = list(read(write_json(tmp_path / "t.json", data)))
    assert [row.crystal is None for row in rows] == [True, True, True, False]
    assert "crystal has no atoms" in rows[0].reason
    assert "has no structure column: found energy; needed" in rows[1].reason
    assert "column structure is empty" in rows[2].reason


@pytest.mark.parametrize("data", [[], {}, [1, 2], "text", 3])
def test_json_without_structures_is_refused(tmp_path: Path, data: object) -> None:
    assert "of pymatgen structures, or of records with one, is needed" in refusal(write_json(tmp_path / "t.json", data))


# --- files and folders ---


def test_a_single_file(tmp_path: Path) -> None:
    (tmp_path / "one.cif").write_text(convert.to_cif(NACL))
    row = only(list(read(tmp_path / "one.cif")))
    assert_same(NACL, row.crystal, tolerance=1e-9)
    assert (row.id, row.reason, count(tmp_path / "one.cif")) == ("one.cif", None, 1)


def write_frames(path: Path, frames: Sequence[tuple[Crystal, dict[str, Any]]]) -> Path:
    with path.open("w") as file:
        for crystal, info in frames:
            convert.write_extxyz_frame(file, crystal, info)
    return path


def test_extxyz_frames_carry_ids_and_properties(tmp_path: Path) -> None:
    facts = {"id": "s1", "e_above_hull": 0.05, "energy": -27.0, "seed": 4, "why": "end of sentence", "converged": True}
    rows = list(read(write_frames(tmp_path / "t.extxyz", [(NACL, facts), (RUTILE, {})])))
    assert [row.id for row in rows] == ["s1", "t.extxyz#1"]
    expected = {"energy_above_hull": 0.05, "energy": -27.0, "seed": 4, "why": "end of sentence", "converged": 1}
    assert rows[0].properties == expected
    assert_same(RUTILE, rows[1].crystal, tolerance=2e-8)
    assert count(tmp_path / "t.extxyz") is None


def test_a_folder_is_read_in_the_order_of_its_paths(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "POSCAR").write_text(convert.to_poscar(NACL))
    (tmp_path / "a.cif").write_text(convert.to_cif(RUTILE))
    (tmp_path / "c.vasp").write_text(convert.to_poscar(QUARTZ))
    (tmp_path / "README.md").write_text("not a structure")
    rows = list(read(tmp_path))
    assert [row.id for row in rows] == ["a.cif", "b/POSCAR", "c.vasp"]
    assert [len(row.crystal) for row in rows] == [6, 8, 9]
    assert count(tmp_path) == 3
    write_frames(tmp_path / "d.extxyz", [(NACL, {}), (NACL, {})])
    assert [row.id for row in read(tmp_path)][3:] == ["d.extxyz#0", "d.extxyz#1"]
    assert count(tmp_path) is None


def test_a_wrong_file_of_a_folder_is_a_rejected_row(tmp_path: Path) -> None:
    (tmp_path / "a.cif").write_text(convert.to_cif(NACL)[:400])
    (tmp_path / "b.cif").write_text(convert.to_cif(NACL))
    (tmp_path / "c.db").write_text("no database")
    (tmp_path / "d.xyz").write_text("")
    rows = list(read(tmp_path))
    assert [row.id for row in rows] == ["a.cif", "b.cif", "c.db", "d.xyz"]
    assert [row.reason is None for row in rows] == [False, True, False, False]
    assert "is no ASE database" in rows[2].reason
    assert rows[3].reason == "empty file: it holds no structure"


def test_a_folder_of_parquet_files_is_one_table(tmp_path: Path) -> None:
    for index, crystal in enumerate((NACL, RUTILE)):
        write_parquet(tmp_path / f"train-{index}-of-2.parquet", [our_record(crystal, id=f"r{index}")])
    assert [row.id for row in read(tmp_path)] == ["r0", "r1"]
    assert count(tmp_path) == 2


def test_a_run_folder_counts_its_crystals_once(tmp_path: Path) -> None:
    (tmp_path / "cif").mkdir()
    (tmp_path / "cif" / "s0.cif").write_text(convert.to_cif(NACL))
    (tmp_path / "run.json").write_text("{}")
    write_frames(tmp_path / "structures.extxyz", [(NACL, {"id": "s0"})])
    assert [row.id for row in read(tmp_path)] == ["s0"]


def test_ase_database(tmp_path: Path) -> None:
    with connect(tmp_path / "t.db") as database:
        database.write(convert.to_atoms(without_states(NACL)), e_above_hull=0.2, name="salt")
        database.write(convert.to_atoms(OVERLAPPING))
        database.write(convert.to_atoms(without_states(RUTILE)), material_id="mp-2657")
    rows = list(read(tmp_path / "t.db"))
    assert [row.id for row in rows] == ["1", "t.db#1", "3"]
    assert rows[0].properties == {"energy_above_hull": 0.2, "name": "salt"}
    assert_same(without_states(NACL), rows[0].crystal, tolerance=1e-12)
    assert "overlapping atoms" in rows[1].reason
    assert count(tmp_path / "t.db") == 3


def test_a_damaged_row_of_a_database_is_a_rejected_row(tmp_path: Path) -> None:
    with connect(tmp_path / "t.db") as database:
        for crystal in (NACL, RUTILE):
            database.write(convert.to_atoms(without_states(crystal)))
    with sqlite3.connect(tmp_path / "t.db") as connection:
        connection.execute("UPDATE systems SET positions = x'00' WHERE id = 1")
    connection.close()
    first, second = read(tmp_path / "t.db")
    assert (first.id, first.crystal) == ("t.db#0", None)
    assert "unreadable row of the ASE database" in first.reason
    assert_same(without_states(RUTILE), second.crystal, tolerance=1e-12)


# --- MatterGen's cache ---


def write_cache(folder: Path, crystals: Sequence[Crystal], **properties: Any) -> Path:
    folder.mkdir()
    np.save(folder / "pos.npy", np.concatenate([c.frac_coords for c in crystals]) + 1)
    np.save(folder / "cell.npy", np.stack([c.lattice for c in crystals]))
    np.save(folder / "atomic_numbers.npy", np.concatenate([c.numbers for c in crystals]))
    np.save(folder / "num_atoms.npy", np.array([len(c) for c in crystals]))
    np.save(folder / "structure_id.npy", np.array([f"agm{i}" for i in range(len(crystals))]))
    for name, values in properties.items():
        write_json(folder / f"{name}.json", {"values": values, "property_source_doc_id": name, "origins": None})
    return folder


def test_mattergen_cache(tmp_path: Path) -> None:
    folder = write_cache(
        tmp_path / "c", [NACL, RUTILE], dft_band_gap=[5.0, float("nan")], space_group=["Fm-3m", "P4_2/mnm"]
    )
    np.save(folder / "my_target.npy", np.array([1, 2]))
    rows = list(read(folder))
    assert [row.id for row in rows] == ["agm0", "agm1"]
    assert rows[0].properties == {"band_gap": 5.0, "space_group": 225, "my_target": 1}
    assert rows[1].properties == {"space_group": 136, "my_target": 2}
    assert_same(without_states(NACL), rows[0].crystal, tolerance=1e-9)
    assert_same(without_states(RUTILE), rows[1].crystal, tolerance=1e-9)
    assert count(folder) == 2


def test_a_cache_that_needs_pickle_is_refused(tmp_path: Path) -> None:
    folder = write_cache(tmp_path / "c", [NACL])
    np.save(folder / "structure_id.npy", np.array(["agm0"], dtype=object), allow_pickle=True)
    message = refusal(folder)
    assert message.startswith(f"{folder / 'structure_id.npy'} needs pickle, which is never loaded")


def test_a_cache_of_unequal_lengths_is_refused(tmp_path: Path) -> None:
    folder = write_cache(tmp_path / "c", [NACL, RUTILE], dft_band_gap=[1.0])
    assert "dft_band_gap has 1 entries; num_atoms.npy says 2" in refusal(folder)
    np.save(folder / "pos.npy", np.zeros((3, 3)))
    (folder / "dft_band_gap.json").unlink()
    assert "pos has 3 entries; num_atoms.npy says 14" in refusal(folder)


def test_a_cache_cut_short_is_refused(tmp_path: Path) -> None:
    folder = write_cache(tmp_path / "c", [NACL])
    (folder / "pos.npy").write_bytes((folder / "pos.npy").read_bytes()[:150])
    assert f"cannot read {folder / 'pos.npy'}" in refusal(folder)
    np.save(folder / "pos.npy", np.array(1.0))
    assert "holds a single value" in refusal(folder)


# --- wrong rows ---


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cell": None}, "column cell is empty: every row needs its structure"),
        ({"cell": [1.0] * 8}, "column cell holds 8 numbers; a multiple of 3 is needed"),
        ({"cell": [1.0] * 6}, "lattice has shape (2, 3); (3, 3) is needed"),
        ({"cell": [0.0] * 9}, "cell volume is 0 Å³"),
        ({"cell": [None] * 9}, "lattice holds NaN or infinity"),
        ({"atomic_numbers": []}, "crystal has no atoms"),
        ({"atomic_numbers": [0] * 8}, "unknown element: atomic number 0"),
        ({"atomic_numbers": [11]}, "frac_coords has shape (8, 3); (1, 3) is needed"),
        ({"frac_coords": [float("nan")] * 24}, "frac_coords holds NaN or infinity"),
        ({"frac_coords": [0.0] * 23}, "column frac_coords holds 23 numbers"),
        ({"oxidation_states": [1, None]}, "oxidation_states must be integers"),
        ({"oxidation_states": [12] * 8}, "oxidation state 12 is beyond all known ones; -9 to 9 are read"),
        ({"atomic_numbers": [11] * 2001}, "crystal has 2001 sites; at most 2000 are read, give a smaller cell"),
        ({"frac_coords": [1e300] * 24}, "a site lies 1e+300 cell vectors away"),
    ],
)
def test_wrong_rows_carry_their_reason(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    records = [our_record(NACL, id="wrong") | change]
    row = only(list(read(write_parquet(tmp_path / "t.parquet", records))))
    assert (row.id, row.crystal) == ("wrong", None)
    assert reason in row.reason


@pytest.mark.parametrize(
    ("cif", "reason"),
    [("", "column cif is empty"), ("data_x", "CIF has 0 data blocks"), ("None", "column cif is empty")],
)
def test_wrong_cifs_carry_their_reason_and_spoil_no_other(tmp_path: Path, cif: str, reason: str) -> None:
    rows = list(read(write_csv(tmp_path / "t.csv", [{"cif": cif, "gap": 1}, {"cif": convert.to_cif(NACL), "gap": 2}])))
    assert reason in rows[0].reason
    assert rows[0].properties == {"gap": 1}
    assert rows[1].reason is None


def test_broken_lines_of_a_csv_are_rows(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", [{"id": "a", "cif": convert.to_cif(NACL)}])
    path.write_text(path.read_text() + "one,two,three\nonly\n")
    rows = list(read(path))
    assert rows[0].id == "a"
    assert [row.reason for row in rows[1:]] == [
        "broken line: 3 columns, 2 are needed",
        "broken line: 1 columns, 2 are needed",
    ]


def test_overlapping_atoms_in_tables_are_found_when_asked(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", [our_record(OVERLAPPING, gap=1.0), our_record(NACL, gap=2.0)])
    assert all(row.crystal for row in read(path))
    first, second = checked(read(path))
    assert (first.crystal, first.properties) == (None, {"gap": 1.0})
    assert first.reason == "overlapping atoms: 0.400 Å apart, at least 0.5 Å is needed"
    assert second.crystal is not None


# --- wrong sources ---


def test_a_missing_source_is_refused_at_once(tmp_path: Path) -> None:
    for function in (read, count, digest):
        with pytest.raises(DataError, match="does not exist; give a table, a folder or a file of structures"):
            function(tmp_path / "nothing.parquet")


@pytest.mark.parametrize("write", [write_parquet, write_csv])
def test_a_table_without_structures_names_its_columns(tmp_path: Path, write: Callable[..., Path]) -> None:
    path = write(tmp_path / f"t.{write.__name__.removeprefix('write_')}", [{"formula": "NaCl", "band_gap": 5.0}])
    with pytest.raises(
        DataError, match="has no structure column: found formula, band_gap; needed: cell \\+ atomic_numb"
    ):
        read(path)


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"")
    assert "is in no known format; Parquet, CSV, JSON, CIF" in refusal(tmp_path / "model.pkl")


def test_a_folder_without_structures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing here")
    assert "holds no CIF, POSCAR, extxyz, ASE .db or Parquet file" in refusal(tmp_path)


@pytest.mark.parametrize("keep", [0, 3, 100, -5])
def test_a_parquet_file_cut_short_is_refused(tmp_path: Path, keep: int) -> None:
    path = write_parquet(tmp_path / "t.parquet", [our_record(NACL)])
    path.write_bytes(path.read_bytes()[:keep])
    assert refusal(path).startswith(f"cannot read {path}: ")


def test_a_parquet_file_with_flipped_bytes_is_refused(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "t.parquet", [our_record(crystal) for crystal in KNOWN.values()])
    content = bytearray(path.read_bytes())
    content[4:60] = bytes(56)
    path.write_bytes(content)
    assert refusal(path).startswith(f"cannot read {path}: ")


@pytest.mark.parametrize("name", ["t.json", "t.json.gz"])
@pytest.mark.parametrize("keep", [0, 30, -30])
def test_json_cut_short_is_refused(tmp_path: Path, name: str, keep: int) -> None:
    path = write_json(tmp_path / name, [as_dict(NACL)])
    path.write_bytes(path.read_bytes()[:keep])
    assert refusal(path).startswith(f"cannot read {path}: ")


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.db").write_text("no database")
    with pytest.raises(DataError, match="is no ASE database"):
        read(tmp_path / "t.db")


def test_an_empty_csv_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("")
    assert "cannot read" in refusal(tmp_path / "t.csv")


def test_a_csv_cut_short_loses_no_row_in_silence(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "t.csv", [{"id": name, "cif": convert.to_cif(NACL)} for name in "ab"])
    path.write_text(path.read_text()[:-400])
    rows = list(read(path))
    assert [row.reason is None for row in rows] == [True, False]


# --- digests, and the shared tables ---


def test_a_digest_follows_contents_and_names(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.cif").write_text("one")
    first, whole = digest(folder / "a.cif"), digest(folder)
    (tmp_path / "b.cif").write_text("one")
    assert digest(tmp_path / "b.cif") == first
    (folder / "a.cif").rename(folder / "c.cif")
    assert digest(folder) != whole


@pytest.mark.shared_data
def test_the_shared_tables_are_read_whole(shared_data: Path) -> None:
    for name in ("val", "test"):
        source = open_source(shared_data / f"{name}.parquet")
        rows = list(source.rows)
        assert len(rows) == source.total
        assert all(row.reason is None for row in rows)
        assert all(len(row.crystal) == row.properties["num_sites"] for row in rows)
    assert sum("band_gap" in row.properties for row in rows) < len(rows)


@pytest.mark.shared_data
def test_the_training_table_is_streamed(shared_data: Path) -> None:
    """The first rows come before the rest is read: a million rows must not sit in memory."""
    rows = read(shared_data / "train.parquet")
    first = [next(rows) for _ in range(3)]
    assert first[0].id == "mp-865981"
    assert count(shared_data / "train.parquet") == 44607
