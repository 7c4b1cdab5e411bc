"""Small texts that would be large crystals are refused before a reader compares each of their atoms with each."""

from __future__ import annotations

import time

import pytest

from materium.serve.sources import TextFile, read

CELL = "".join(f"_cell_length_{axis} 9\n" for axis in "abc")
CELL += "".join(f"_cell_angle_{angle} 90\n" for angle in ("alpha", "beta", "gamma"))
SITES = "loop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n"
OPERATIONS = "loop_\n_symmetry_equiv_pos_as_xyz\n"
COMMENT = 'Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3'


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.cif", f"data_a\n{CELL}{SITES}" + "Na1 0 0 0\n" * 40_000, "40000 atoms in the cell"),
        ("a.cif", f"data_a\n{CELL}{SITES}" + "Na1 0 0 0 " * 40_000, "40000 atoms in the cell"),
        ("a.cif", f"data_a\n{CELL}{OPERATIONS}" + "'x, y, z'\n" * 40_000 + f"{SITES}Na1 0 0 0\n", "40000 symmetry"),
        ("a.extxyz", f"90000\n{COMMENT}\n" + "O 0 0 0\n" * 90_000, "90000 atoms in the cell"),
        ("a.extxyz", f"1\n{COMMENT}:x:R:1000000000\nO 0 0 0\n", "more columns than a line holds"),
        ("a.extxyz", f"1\n{COMMENT} a={'x ' * 200_000}\nO 0 0 0\n", "comment of"),
        ("POSCAR", "x\n1\n9 0 0\n0 9 0\n0 0 9\nO\n60000\nDirect\n" + "0 0 0\n" * 60_000, "60000 atoms in the cell"),
    ],
)
def test_it_is_refused_at_once(name: str, text: str, reason: str) -> None:
    begun = time.process_time()
    (row,) = read([TextFile(name, text)], 200, 200)
    assert time.process_time() - begun < 5
    assert row.crystal is None
    assert reason in (row.reason or "")
