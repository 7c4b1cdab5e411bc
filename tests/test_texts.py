"""CIF and extxyz by hand: what pymatgen and ASE would write, but for the order of sites."""

from __future__ import annotations

import re
import warnings
from io import StringIO
from typing import Any

import numpy as np
import pytest
from ase.io.extxyz import write_xyz
from pymatgen.io.cif import CifWriter

from crystals import KNOWN, MAGNETITE_LIKE
from materium import convert, texts
from materium.crystal import Crystal

CRYSTALS = {**KNOWN, "Fe3O4": MAGNETITE_LIKE}


def atoms_of(*numbers: int, states: list[int] | None = None) -> Crystal:
    """Atoms along the diagonal of a cubic cell."""
    places = np.arange(len(numbers))[:, None] / len(numbers) * np.ones(3)
    return Crystal(9 * np.eye(3), places, np.array(numbers), None if states is None else np.array(states))


ODD = {
    "peroxide": atoms_of(3, 3, 3, 3, 8, 8, 8, 8),
    "oxygen": atoms_of(*[8] * 8),
    "methane": atoms_of(1, 6, 1, 1, 1),
    "mixed": atoms_of(26, 26, 8, states=[2, 3, -2]),
    "charges": atoms_of(11, 17, 28, states=[1, -1, 0]),
}


def items(text: str) -> dict[str, str]:
    """The single items of a CIF, without quotes."""
    return {name: value.strip("' ") for name, value in re.findall(r"(?m)^(_\S+)\s+(.+)$", text)}


@pytest.mark.parametrize("name", [*CRYSTALS, *ODD])
def test_cif_says_what_pymatgen_says(name: str) -> None:
    crystal = (CRYSTALS | ODD)[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = str(CifWriter(convert.to_structure(crystal), significant_figures=12))
    ours = convert.to_cif(crystal)
    found, expected = items(ours), items(theirs)
    assert sorted(found.pop("_chemical_formula_sum").split()) == sorted(expected.pop("_chemical_formula_sum").split())
    for number in [key for key in expected if key.startswith(("_cell_length", "_cell_angle", "_cell_volume"))]:
        assert float(found.pop(number)) == pytest.approx(float(expected.pop(number)), rel=1e-9)
    assert found == expected

    def sites(text: str) -> list[str]:
        rows = re.findall(r"(?m)^  ([A-Z]\S*)  \S+  1  (\S+)  (\S+)  (\S+)  1$", text)
        return sorted(f"{kind} {float(x):.6f} {float(y):.6f} {float(z):.6f}" for kind, x, y, z in rows)

    assert len(sites(ours)) == len(crystal)
    assert sites(ours) == sites(theirs)


def test_half_a_molecule_has_no_number_of_formula_units() -> None:
    assert "_cell_formula_units_Z" not in convert.to_cif(atoms_of(8))


def test_hill_puts_carbon_and_hydrogen_first() -> None:
    assert texts.hill({"H": 4, "C": 1, "Br": 2}) == "C1 H4 Br2"
    assert texts.hill({"H": 2, "Br": 2}) == "Br2 H2"


VALUES: list[dict[str, Any]] = [
    {},
    {"id": "1-000001", "n": 3, "x": -1.25e-7, "yes": True, "no": False},
    {"targets": '{"formula": "NaCl", "z": [1, 2]}', "two words": "it's"},
    {"big": 10**20, "np": np.float64(0.1), "whole": np.int64(7), "flag": np.array([1.0])[0] > 0},
    {"list": [1, 2], "array": np.array([1.5, 2.5]), "nested": {"a": 1}},
]


@pytest.mark.parametrize("info", VALUES)
@pytest.mark.parametrize("name", [*CRYSTALS, *ODD])
def test_extxyz_is_what_ase_writes(name: str, info: dict[str, Any]) -> None:
    crystal = (CRYSTALS | ODD)[name]
    atoms, ours, theirs = convert.to_atoms(crystal), StringIO(), StringIO()
    atoms.info.update(info)
    write_xyz(theirs, [atoms])
    convert.write_extxyz_frame(ours, crystal, info)
    assert ours.getvalue() == theirs.getvalue()
