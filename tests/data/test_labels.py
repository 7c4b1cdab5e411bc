"""What users' other programs write into tables: no label, no spelling and no encoding costs a crystal."""

from __future__ import annotations

import gzip
import json
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from ase.db import connect

from crystals import NACL, RUTILE, assert_same
from materium import convert
from materium.data.readers import read
from materium.errors import DataError
from materium.io import files

if TYPE_CHECKING:
    from pathlib import Path

    from materium.data.records import Row

CIF = convert.to_cif(NACL)
SITES = {
    "cell": NACL.lattice.ravel().tolist(),
    "atomic_numbers": NACL.numbers.tolist(),
    "frac_coords": NACL.frac_coords.ravel().tolist(),
}
MISSING = [
    "",
    "NA",
    "#N/A",
    "n/a",
    "nan",
    "-NaN",
    "<NA>",
    "null",
    "None",
    "inf",
    "-inf",
    "Infinity",
    "#DIV/0!",
    "1.#IND",
]


def write(path: Path, label: dict[str, Any]) -> Path:
    """Write salt with labels in the format that the name asks for."""
    kind = path.suffix
    if kind == ".csv":
        quoted = CIF.replace('"', '""')
        path.write_text(f'id,cif,{",".join(label)}\nsalt,"{quoted}",{",".join(map(str, label.values()))}\n')
    elif kind == ".parquet":
        pq.write_table(pa.Table.from_pylist([{"id": "salt", **SITES, **label}]), path)
    elif kind == ".json":
        path.write_text(json.dumps([{"id": "salt", **SITES, **label}]))
    elif kind == ".extxyz":
        with path.open("w") as file:
            convert.write_extxyz_frame(file, NACL, {"id": "salt", **label})
    else:
        connect(path).write(convert.to_atoms(NACL), key_value_pairs=label)
    return path


def only(path: Path) -> Row:
    (row,) = read(path)
    assert row.crystal is not None, row.reason
    return row


@pytest.mark.parametrize("kind", ["csv", "parquet", "json", "extxyz"])
@pytest.mark.parametrize("word", MISSING)
def test_words_for_what_is_missing_are_the_same_in_every_format(tmp_path: Path, kind: str, word: str) -> None:
    row = only(write(tmp_path / f"t.{kind}", {"band_gap": word, "my_label": word}))
    assert (row.properties, row.left_out) == ({}, {})


@pytest.mark.parametrize("kind", ["csv", "parquet", "json", "extxyz", "db"])
@pytest.mark.parametrize(
    ("label", "properties", "left_out"),
    [
        ({"space_group": "F m -3 m"}, {"space_group": 225}, {}),
        ({"space_group": "Fm3m"}, {"space_group": 225}, {}),
        ({"space_group": "225.0"}, {"space_group": 225}, {}),
        ({"space_group": "cubic"}, {}, {"space_group": "cubic"}),
        ({"space_group": 300}, {}, {"space_group": "300"}),
        ({"space_group": 225.5}, {}, {"space_group": "225.5"}),
        ({"band_gap": "wide"}, {}, {"band_gap": "wide"}),
        ({"band_gap": "5.0"}, {"band_gap": 5.0}, {}),
        ({"pretty": "InF"}, {"pretty": "InF"}, {}),
        ({"pretty": "Na"}, {"pretty": "Na"}, {}),
    ],
)
def test_a_label_that_cannot_be_read_costs_no_crystal(
    tmp_path: Path, kind: str, label: dict[str, Any], properties: dict[str, Any], left_out: dict[str, str]
) -> None:
    if kind == "db" and next(iter(label.values())) in ("5.0", "225.0", "InF"):
        pytest.skip("ASE's databases take no text that is a number")
    row = only(write(tmp_path / f"t.{kind}", label))
    assert (row.properties, row.left_out) == (properties, left_out)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_a_csv_may_be_in_any_encoding(tmp_path: Path, encoding: str, delimiter: str, suffix: str) -> None:
    lines = [["id", "cif", "author"], ["m1", f'"{CIF}"', "Müller"], ["m2", f'"{CIF}"', "Größe"]]
    content = "\r\n".join(delimiter.join(line) for line in lines).encode(encoding)
    if encoding == "utf-16-le":
        content = b"\xff\xfe" + content
    (tmp_path / f"t{suffix}").write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    rows = list(read(tmp_path / f"t{suffix}"))
    assert [(row.id, row.properties) for row in rows] == [("m1", {"author": "Müller"}), ("m2", {"author": "Größe"})]
    assert all(row.crystal is not None for row in rows)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_json_may_be_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    text = json.dumps([{"id": "ü", **SITES}], ensure_ascii=False)
    (tmp_path / "t.json").write_bytes(text.encode(encoding))
    assert only(tmp_path / "t.json").id == "ü"


def test_parquet_text_that_is_not_utf_8_is_read(tmp_path: Path) -> None:
    names = pa.array([b"M\xfcller"], pa.binary()).view(pa.string())
    table = pa.table({**{k: [v] for k, v in SITES.items()}, "author": names})
    pq.write_table(table, tmp_path / "t.parquet")
    assert only(tmp_path / "t.parquet").properties == {"author": "Müller"}


@pytest.mark.parametrize("states", [[8 / 3] * 4 + [-8 / 3] * 4, [1.0, None] * 4, [float("nan")] * 8])
@pytest.mark.parametrize("kind", ["parquet", "json"])
def test_states_that_are_not_whole_are_not_known(tmp_path: Path, kind: str, states: list[Any]) -> None:
    assert only(write(tmp_path / f"t.{kind}", {"oxidation_states": states})).crystal.oxidation_states is None


@pytest.mark.parametrize("occupancy", [0.99999999, 1.00000001, 1, 1.0])
def test_an_occupancy_may_have_lost_its_last_digits(tmp_path: Path, occupancy: float) -> None:
    data = convert.to_structure(RUTILE).as_dict()
    for site in data["sites"]:
        site["species"][0]["occu"] = occupancy
    (tmp_path / "t.json").write_text(json.dumps([data]))
    assert_same(RUTILE, only(tmp_path / "t.json").crystal, tolerance=1e-9)
    for site in data["sites"]:
        site["species"][0]["occu"] = 0.9999999
    (tmp_path / "t.json").write_text(json.dumps([data]))
    (row,) = read(tmp_path / "t.json")
    assert "Ti4+0.9999999" in str(row.reason)


# --- attacks ---


def test_deep_json_and_endless_numbers_are_one_line(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(DataError, match="nested too deeply"):
        list(read(tmp_path / "deep.json"))
    for digits in (400, 5000):
        path = write(tmp_path / f"{digits}.csv", {"band_gap": "9" * digits, "x": "1" + "0" * digits})
        assert only(path).properties == {}
    (tmp_path / "t.json").write_text(json.dumps([{**SITES, "x": 10**400, "y": 10**20}]))
    assert only(tmp_path / "t.json").properties == {"y": 1e20}


def test_halves_of_characters_become_question_marks(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('[{"id": "a\\ud800", "note": "\\udfff", ' + json.dumps(SITES)[1:] + "]")
    row = only(tmp_path / "t.json")
    assert (row.id, row.properties) == ("a?", {"note": "?"})


def test_a_row_of_many_atoms_is_refused(tmp_path: Path) -> None:
    many = {**SITES, "atomic_numbers": [11] * 100_000, "frac_coords": np.zeros(300_000).tolist()}
    pq.write_table(pa.Table.from_pylist([many, SITES]), tmp_path / "t.parquet")
    first, second = read(tmp_path / "t.parquet")
    assert first.reason == "crystal has 100000 sites; at most 2000 are read, give a smaller cell"
    assert second.crystal is not None


@pytest.mark.parametrize("name", ["t.csv.gz", "t.json.gz"])
def test_a_gz_bomb_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(files, "FREE_UNPACKED_BYTES", 1 << 20)
    (tmp_path / name).write_bytes(gzip.compress(b"id,cif" + b"\n" * (4 << 20)))
    with pytest.raises(DataError, match="unpacks to more than"):
        list(read(tmp_path / name))


@pytest.mark.parametrize("name", ["t.cif", "t.vasp", "t.xyz", "t.db", "t.csv", "t.json", "t.parquet"])
def test_a_pipe_or_a_device_is_no_file(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="is a named pipe, not a file"):
        list(read(tmp_path / name))
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(DataError, match="is a device, not a file"):
        list(read(tmp_path / name))


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_LINE", 1000)
    (tmp_path / "t.xyz").write_text("2" * 10_000)
    with pytest.raises(DataError, match="has a line of more than"):
        list(read(tmp_path / "t.xyz"))


@pytest.mark.parametrize("name", ["\0.csv", "a" * 5000 + ".csv"])
def test_a_name_that_no_file_has(name: str) -> None:
    with pytest.raises(DataError, match=r"cannot open|does not exist"):
        list(read(name))
