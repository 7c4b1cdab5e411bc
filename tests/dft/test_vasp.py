"""Inputs of VASP, read back with pymatgen's own parsers."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar

from crystals import KNOWN, MAGNETITE_LIKE, NACL, QUARTZ, SILICON, assert_same
from materium import convert
from materium.crystal import Crystal
from materium.dft.geometry import right_handed
from materium.dft.kpoints import band_path
from materium.dft.plan import TASKS, Inputs, Plan
from materium.dft.vasp import inputs
from materium.errors import DataError

if TYPE_CHECKING:
    from materium.dft.plan import Task


def write(crystal: Crystal, task: Task) -> Inputs:
    return inputs(crystal, Plan("vasp", task))


def plain(crystal: Crystal) -> Crystal:
    """Return the crystal without oxidation states, right-handed, as it is read back."""
    turned = right_handed(crystal)
    return Crystal(turned.lattice, turned.frac_coords, turned.numbers)


def metal(number: int) -> Crystal:
    return Crystal(np.eye(3) * 2.9, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([number] * 2))


LEFT_HANDED = Crystal(QUARTZ.lattice[[1, 0, 2]], QUARTZ.frac_coords[:, [1, 0, 2]], QUARTZ.numbers)
CRYSTALS = {**KNOWN, "two states of iron": MAGNETITE_LIKE, "left-handed": LEFT_HANDED}
FILES = ["INCAR", "KPOINTS", "POSCAR", "POTCAR.spec"]


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("task", TASKS)
def test_crystal_read_back_is_the_crystal_written(name: str, task: Task) -> None:
    texts = [text for path, text in write(CRYSTALS[name], task).files.items() if path.endswith("POSCAR")]
    assert len(texts) == (2 if task == "bands" else 1)
    for text in texts:
        assert_same(convert.from_poscar(text), plain(CRYSTALS[name]), tolerance=1e-9)


@pytest.mark.parametrize("task", TASKS)
def test_same_crystal_gives_same_text(task: Task) -> None:
    assert write(QUARTZ, task) == write(QUARTZ, task)


def test_files_of_the_tasks() -> None:
    folders = {"relax": [""], "bands": ["scf/", "bands/"], "magnetic": [""]}
    for task in TASKS:
        assert list(write(SILICON, task).files) == [folder + name for folder in folders[task] for name in FILES]


@pytest.mark.parametrize("task", TASKS)
def test_potcars_are_named_in_the_order_of_the_sites(task: Task) -> None:
    result = write(MAGNETITE_LIKE, task)
    for path, text in result.files.items():
        if path.endswith("POSCAR"):
            order = Poscar.from_str(text).site_symbols
            names = result.files[path.replace("POSCAR", "POTCAR.spec")].split()
            assert names == [result.pseudos[symbol] for symbol in order]
            assert "+" not in text


def test_relaxation() -> None:
    files = write(MAGNETITE_LIKE, "relax").files
    incar = Incar.from_str(files["INCAR"])
    assert (incar["ISIF"], incar["IBRION"], incar["ISPIN"], incar["ENCUT"]) == (3, 2, 2, 520)
    assert incar["NSW"] > 0
    assert incar["ISMEAR"] == -5
    assert (incar["LDAU"], incar["LDAUU"][0]) == (True, 5.3)
    assert min(Kpoints.from_str(files["KPOINTS"]).kpts[0]) > 1


def test_metals_are_relaxed_with_a_smearing_whose_forces_hold() -> None:
    assert Incar.from_str(write(metal(13), "relax").files["INCAR"])["ISMEAR"] == 1
    assert Incar.from_str(write(NACL, "relax").files["INCAR"])["ISMEAR"] == -5


def test_magnetic_run_starts_with_moments() -> None:
    files = write(MAGNETITE_LIKE, "magnetic").files
    incar = Incar.from_str(files["INCAR"])
    assert (incar["NSW"], incar["ISPIN"], incar["LORBIT"]) == (0, 2, 11)
    symbols = [site.specie.symbol for site in Poscar.from_str(files["POSCAR"]).structure]
    assert dict(zip(symbols, incar["MAGMOM"], strict=True)) == {"Fe": 5.0, "O": 0.6, "F": 0.6}
    assert len(incar["MAGMOM"]) == len(MAGNETITE_LIKE)


def test_oxidation_states_choose_the_moment() -> None:
    """Of manganese: 5 μB where nothing is known or charges do not balance, 4 for Mn3+, 3 for Mn4+; each on its site."""
    bare = metal(25)
    for crystal in (bare, bare.with_oxidation_states([3, 4])):
        assert Incar.from_str(write(crystal, "magnetic").files["INCAR"])["MAGMOM"] == [5, 5]
    places = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5], [0.5, 0.5, 0]])
    oxide = Crystal(np.eye(3) * 4.2, places, np.array([25, 25, 8, 8, 8, 9]), np.array([3, 4, -2, -2, -2, -1]))
    files = write(oxide, "magnetic").files
    sites = Poscar.from_str(files["POSCAR"]).structure
    moments = zip(sites, Incar.from_str(files["INCAR"])["MAGMOM"], strict=True)
    assert {site.frac_coords[0]: moment for site, moment in moments if site.specie.symbol == "Mn"} == {0: 4, 0.5: 3}


def test_bands_follow_the_path_of_the_cell_as_it_stands() -> None:
    files = write(SILICON, "bands").files
    scf, bands = (Incar.from_str(files[f"{folder}/INCAR"]) for folder in ("scf", "bands"))
    assert (scf["LCHARG"], scf["NSW"]) == (True, 0)
    assert (bands["ICHARG"], bands["NSW"], bands["ISMEAR"]) == (11, 0, 0)
    line = Kpoints.from_str(files["bands/KPOINTS"])
    assert line.style.name == "Line_mode"
    path = band_path(SILICON)
    segments = [(a, b) for a, b in pairwise(path) if a.goes_on]
    assert line.labels == [corner.name for pair in segments for corner in pair]
    np.testing.assert_allclose(line.kpts, [corner.frac for pair in segments for corner in pair])


def test_bands_of_a_cell_that_is_not_primitive_are_noted() -> None:
    assert write(SILICON, "bands").notes == ()
    assert "bands are folded" in write(NACL, "bands").notes[0]


def test_what_the_set_says_of_a_crystal_is_noted() -> None:
    """The Materials Project's POTCAR of ytterbium is a poor one, and pymatgen says so."""
    assert any("Ytterbium" in note for note in write(metal(70), "relax").notes)


def test_noble_gases_raise_no_warning() -> None:
    assert write(metal(10), "relax").notes == ()


@pytest.mark.parametrize("task", TASKS)
def test_element_without_potcar_is_named(task: Task) -> None:
    with pytest.raises(DataError, match="no POTCAR for Rn"):
        write(metal(86), task)
