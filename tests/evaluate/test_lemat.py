from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from crystals import KNOWN, assert_same
from materium import convert
from materium.crystal import Crystal
from materium.data.readers import read
from materium.evaluate.lemat import made_crystal, write_lemat

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [
    {
        "id": f"{name}, ein „Salz“",
        "cell": crystal.lattice.ravel().tolist(),
        "frac_coords": crystal.frac_coords.ravel().tolist(),
        "atomic_numbers": crystal.numbers.tolist(),
    }
    for name, crystal in KNOWN.items()
]


def test_csv_holds_every_structure(tmp_path: Path) -> None:
    path = tmp_path / "lemat.csv"
    assert write_lemat(path, [*ROWS, {"id": "unreadable", "cell": None}]) == len(ROWS)
    with path.open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["id"] for row in found] == [row["id"] for row in ROWS]
    for row, crystal in zip(found, KNOWN.values(), strict=True):
        bare = Crystal(crystal.lattice, crystal.frac_coords, crystal.numbers)
        assert_same(convert.from_cif(row["cif"]), bare, tolerance=1e-6)


def test_our_own_readers_take_it(tmp_path: Path) -> None:
    write_lemat(tmp_path / "lemat.csv", ROWS)
    assert [convert.formula(row.crystal) for row in read(tmp_path / "lemat.csv") if row.crystal] == list(KNOWN)


def test_made_crystal_is_the_row() -> None:
    for row, crystal in zip(ROWS, KNOWN.values(), strict=True):
        assert (made_crystal(row).frac_coords == crystal.frac_coords).all()
