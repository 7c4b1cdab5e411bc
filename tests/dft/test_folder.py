"""The folder of a hand-over: names, what is left out and why, and that it is there whole or not at all."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest

from crystals import NACL, QUARTZ, SILICON
from materium.crystal import Crystal
from materium.data.records import Row
from materium.dft.folder import RESERVED, export, folder_name, writer
from materium.dft.plan import PROGRAMS, Plan
from materium.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from materium.dft.plan import Program

RELAX = Plan("quantum-espresso", "relax")
HEAVY = Crystal(np.eye(3) * 4, np.zeros((1, 3)), np.array([110]))
"""Darmstadtium, for which there is no pseudopotential."""


def rows(**crystals: Crystal | None) -> Iterator[tuple[str, Row]]:
    return (("in", Row(name, c, {}, None if c else "unreadable")) for name, c in crystals.items())


def contents(folder: Path) -> dict[str, bytes]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


def test_a_folder_for_each_crystal_and_a_row_for_each_row(tmp_path: Path) -> None:
    facts = export(rows(a=NACL, b=None, c=HEAVY, d=SILICON), tmp_path / "out", RELAX)
    assert sorted(contents(tmp_path / "out")) == ["README.md", "a/pw.in", "d/pw.in", "rows.parquet"]
    table = pq.read_table(tmp_path / "out" / "rows.parquet").to_pylist()
    assert [row["id"] for row in table] == ["a", "b", "c", "d"]
    assert [row["folder"] for row in table] == ["a", None, None, "d"]
    assert [row["formula"] for row in table] == ["NaCl", None, "Ds", "Si"]
    assert (table[1]["reason"], table[0]["reason"]) == ("unreadable", None)
    assert "no pseudopotential for Ds" in table[2]["reason"]
    assert table[3]["volume"] == pytest.approx(SILICON.volume)
    assert dict(table[3]["pseudos"]) == {"Si": "Si.pbe-n-rrkjus_psl.1.0.0.UPF"}
    assert [row["id"] for row in facts] == ["a", "b", "c", "d"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_same_rows_give_the_same_folder(tmp_path: Path) -> None:
    for name in ("one", "two"):
        export(rows(a=NACL, b=QUARTZ), tmp_path / name, Plan("vasp", "bands"))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("7-000000", "7-000000"),
        ("7-000000.cif", "7-000000"),
        ("runs/x/POSCAR", "runs_x_POSCAR"),
        ("all.extxyz#3", "all.extxyz_3"),
        ("../../etc", "_.._etc"),
        ("..", "crystal"),
        ("", "crystal"),
        ("-rf *", "rf_"),
        ("a" * 300, "a" * 120),
        ("pseudo", "pseudo-2"),
        ("README.md", "README.md-2"),
    ],
)
def test_folder_names_are_safe(name: str, expected: str) -> None:
    assert folder_name(name, Counter(RESERVED)) == expected


def test_no_two_crystals_share_a_folder() -> None:
    taken = Counter(RESERVED)
    names = [folder_name(name, taken) for name in ("a", "a", "a-2", "a/b", "a_b", "a.cif")]
    assert len(set(names)) == len(names)
    assert names[0] == "a"


@pytest.mark.parametrize("there", ["folder", "file"])
def test_what_is_there_is_never_overwritten(there: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    if there == "folder":
        out.mkdir()
    else:
        out.write_text("mine")
    with pytest.raises(DataError, match="exists and is never overwritten; name another output"):
        export(rows(a=NACL), out, RELAX)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the input holds no structure"):
        export(rows(), tmp_path / "out", RELAX)
    assert list(tmp_path.iterdir()) == []


def test_no_row_that_can_be_handed_over(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none of 2 structures can be handed over; the first is a: unreadable"):
        export(rows(a=None, b=HEAVY), tmp_path / "out", RELAX)
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_breaks_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[tuple[str, Row]]:
        yield from rows(a=NACL)
        raise DataError("cut short")

    with pytest.raises(DataError, match="cut short"):
        export(broken(), tmp_path / "out", RELAX)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_has_a_writer(program: Program) -> None:
    assert writer(program).__module__ == f"materium.dft.{program.replace('-', '_')}"
