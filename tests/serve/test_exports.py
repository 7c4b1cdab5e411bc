"""Files that are handed out: no crystal is lost between two names, and no cell is a formula."""

from __future__ import annotations

import csv
import io
import zipfile

import numpy as np
import pytest

from materium.crystal import Crystal
from materium.data.records import Row
from materium.evaluate.fingerprint import fingerprint
from materium.evaluate.novelty import Known
from materium.serve.answers import Verdict
from materium.serve.exports import Named, chosen, csv_cell, download, table
from materium.serve.rows import read_row, structure_of, verdict_of
from materium.serve.work import crystal_ids

SALT = Crystal(2.82 * (1 - np.eye(3)), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([11, 17]))


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (["a-2", "a", "a"], ["a-2", "a", "a-3"]),
        (["a", "A", "a"], ["a", "A-1", "a-2"]),
        (["é", "è", "-", ".", ""], ["-", "--1", "--2", "3", "4"]),
        (["b-3", "b-4", "b", "b", "b"], ["b-3", "b-4", "b", "b-5", "b-6"]),
    ],
)
def test_ids_are_unique_whatever_the_rows_are_called(names: list[str], ids: list[str]) -> None:
    """The id that a clash is resolved to may be taken itself: `a-2, a, a` gave two crystals of the id `a-2`."""
    assert crystal_ids([Row(name, None, {}) for name in names]) == ids


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\t1", " =1", "\uff1d1", "\x00=1"]
)
def test_a_cell_is_no_formula(text: str) -> None:
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("value", ["", "NaCl", "a=b", -1.5, None, True, " a"])
def test_a_plain_cell_stays(value: object) -> None:
    assert csv_cell(value) is value


def test_the_table_keeps_its_rows_and_columns() -> None:
    row = read_row("a", 0, SALT, None)
    row.reason = '\r=HYPERLINK("x"),\n"y"\r'
    text = table([Named(row, SALT)])
    (cells,) = csv.DictReader(io.StringIO(text, newline=""))
    assert cells["reason"] == f"'{row.reason}"
    assert cells["formula"] == "NaCl"


def test_the_table_says_what_the_hull_cannot_tell() -> None:
    """What competes with elements alone is handed out as unsupported, with the reason and what is known of it."""
    row = read_row("a", 0, SALT, Known(["a"], [fingerprint(SALT)]))
    judged = {"energy_above_hull": -2.9, "hull_support": 0, "unsupported": True, "hull_reason": "unsupported: elements"}
    row.verdict = verdict_of({**judged, "stable": False, "novelty": "known"})
    (cells,) = csv.DictReader(io.StringIO(table([Named(row, SALT)]), newline=""))
    assert (cells["unsupported"], cells["hull_support"], cells["stable"]) == ("True", "0", "False")
    assert (cells["hull_reason"], cells["novelty"]) == ("unsupported: elements", "known")
    assert row.novelty is not None
    assert row.novelty.known_crystals == 1


def test_a_zip_holds_what_was_found_out_later() -> None:
    """Relaxed structures, and the verdict of the last job that judged a crystal; CIFs in P1 only on request."""
    row = read_row("a", 0, SALT, None)
    other = read_row("b", 1, SALT, None)
    judged = row.model_copy(deep=True)
    relaxed = structure_of(Crystal(0.98 * SALT.lattice, SALT.frac_coords, SALT.numbers))
    first, last = (Verdict(energy_above_hull=height, stable=height == 0, relaxed=relaxed) for height in (0.5, 0.0))
    later = [{"a": judged.model_copy(update={"verdict": one}).model_dump_json()} for one in (first, last)]
    named = chosen([row.model_dump_json(), other.model_dump_json()], "made", later)
    with zipfile.ZipFile(io.BytesIO(download("all", named, "zip").content)) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert [name for name in files if "relaxed" in name] == ["relaxed/a.cif", "relaxed.extxyz"]
    assert "_symmetry_Int_Tables_number   225\n" in files["cif/a.cif"]
    assert "_symmetry_Int_Tables_number   225\n" in files["relaxed/a.cif"]
    (one, two) = csv.DictReader(io.StringIO(files["table.csv"], newline=""))
    assert (one["energy_above_hull"], one["stable"], two["stable"]) == ("0.0", "True", "")
    assert "2 crystals, 1 of them judged, 1 with a relaxed structure" in files["README.txt"]
    assert "_symmetry_Int_Tables_number   1\n" in download("all", named, "cif", p1=True).content.decode()
