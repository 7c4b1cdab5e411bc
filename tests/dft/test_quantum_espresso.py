"""Inputs of pw.x, read back with ASE's own parser."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from ase.io.espresso import read_espresso_in, read_fortran_namelist

from crystals import KNOWN, MAGNETITE_LIKE, NACL, QUARTZ, SILICON, assert_same
from materium import convert
from materium.crystal import Crystal
from materium.dft.geometry import right_handed
from materium.dft.kpoints import band_path, grid
from materium.dft.plan import K_SPACING, TASKS, Inputs, Plan
from materium.dft.pseudopotentials import Pseudo, sssp
from materium.dft.quantum_espresso import (
    START_D,
    START_F,
    START_OTHER,
    inputs,
    starting_magnetization,
)
from materium.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from materium.dft.plan import Task


def write(crystal: Crystal, task: Task, **choices: Any) -> Inputs:
    return inputs(crystal, Plan("quantum-espresso", task, **choices))


def parameters(text: str) -> Mapping[str, Any]:
    return read_fortran_namelist(StringIO(text))[0]


def card(text: str, title: str) -> list[str]:
    """Return the lines of the last card."""
    return text.split(f"{title}\n")[1].splitlines()


def plain(crystal: Crystal) -> Crystal:
    """Return the crystal without oxidation states, right-handed, as it is read back."""
    turned = right_handed(crystal)
    return Crystal(turned.lattice, turned.frac_coords, turned.numbers)


def read_back(text: str) -> Crystal:
    return convert.from_atoms(read_espresso_in(StringIO(text)))


LEFT_HANDED = Crystal(QUARTZ.lattice[[1, 0, 2]], QUARTZ.frac_coords[:, [1, 0, 2]], QUARTZ.numbers)
CRYSTALS = {**KNOWN, "two states of iron": MAGNETITE_LIKE, "left-handed": LEFT_HANDED}


@pytest.mark.parametrize("name", CRYSTALS)
@pytest.mark.parametrize("task", TASKS)
def test_crystal_read_back_is_the_crystal_written(name: str, task: Task) -> None:
    for path, text in write(CRYSTALS[name], task).files.items():
        if path != "bandsx.in":
            assert_same(read_back(text), plain(CRYSTALS[name]), tolerance=1e-9)


@pytest.mark.parametrize("task", TASKS)
def test_same_crystal_gives_same_text(task: Task) -> None:
    assert write(QUARTZ, task) == write(QUARTZ, task)


def test_files_of_the_tasks() -> None:
    assert {task: list(write(SILICON, task).files) for task in TASKS} == {
        "relax": ["pw.in"],
        "bands": ["scf.in", "bands.in", "bandsx.in"],
        "magnetic": ["pw.in"],
    }


def test_relaxation() -> None:
    text = write(NACL, "relax").files["pw.in"]
    lists = parameters(text)
    assert lists["control"]["calculation"] == "vc-relax"
    assert lists["control"]["pseudo_dir"] == "../pseudo"
    assert lists["control"]["etot_conv_thr"] == pytest.approx(8e-5)
    assert (lists["system"]["nat"], lists["system"]["ntyp"], lists["system"]["ibrav"]) == (8, 2, 0)
    assert (lists["system"]["occupations"], lists["system"]["smearing"]) == ("smearing", "cold")
    assert lists["electrons"]["conv_thr"] == pytest.approx(8e-9)
    assert (lists["ions"]["ion_dynamics"], lists["cell"]["cell_dynamics"]) == ("bfgs", "bfgs")
    assert "nspin" not in lists["system"]
    assert card(text, "K_POINTS automatic")[0].split() == [*map(str, grid(NACL, K_SPACING)), "0", "0", "0"]


def test_cutoffs_are_the_highest_of_the_elements() -> None:
    """Iron asks for most, in both."""
    system = parameters(write(MAGNETITE_LIKE, "relax").files["pw.in"])["system"]
    assert (system["ecutwfc"], system["ecutrho"]) == (sssp()["Fe"].cutoff_wfc, sssp()["Fe"].cutoff_rho)


def test_species_have_no_oxidation_states() -> None:
    text = write(MAGNETITE_LIKE, "relax").files["pw.in"]
    species = text.split("ATOMIC_SPECIES\n")[1].splitlines()[:3]
    assert [line.split()[0] for line in species] == ["O", "F", "Fe"]
    assert [line.split()[2] for line in species] == [sssp()[symbol].filename for symbol in ("O", "F", "Fe")]
    assert "+" not in text


def test_magnetic_run_starts_with_moments() -> None:
    result = write(MAGNETITE_LIKE, "magnetic")
    lists = parameters(result.files["pw.in"])
    assert (lists["control"]["calculation"], lists["system"]["nspin"]) == ("scf", 2)
    starts = [lists["system"][f"starting_magnetization({index})"] for index in (1, 2, 3)]
    assert starts == [START_OTHER, START_OTHER, START_D]
    assert result.notes == ()
    atoms = read_espresso_in(StringIO(result.files["pw.in"]))
    assert atoms.get_initial_magnetic_moments().tolist() == [START_D, START_D, *[START_OTHER] * 3]


@pytest.mark.parametrize(
    ("number", "start"), [(26, START_D), (30, START_OTHER), (64, START_F), (92, START_F), (8, 0.1)]
)
def test_starting_moments(number: int, start: float) -> None:
    assert starting_magnetization(number) == start
    assert 0 < start < 1


def test_crystal_without_open_shells_is_noted() -> None:
    assert "expect no moment" in write(NACL, "magnetic").notes[0]


def test_bands() -> None:
    files = write(SILICON, "bands").files
    scf, bands, post = (parameters(files[name]) for name in ("scf.in", "bands.in", "bandsx.in"))
    assert (scf["control"]["calculation"], bands["control"]["calculation"]) == ("scf", "bands")
    for key in ("prefix", "outdir"):
        assert scf["control"][key] == bands["control"][key] == post["bands"][key]
    assert scf["system"] == bands["system"]
    lines = card(files["bands.in"], "K_POINTS crystal_b")
    path = band_path(SILICON)
    assert int(lines[0]) == len(lines) - 1 == len(path)
    for line, corner in zip(lines[1:], path, strict=True):
        x, y, z, count, _, name = line.split()
        np.testing.assert_allclose([float(x), float(y), float(z)], corner.frac, atol=1e-11)
        assert (int(count) > 0, name) == (corner.goes_on, corner.name)


def test_bands_of_a_cell_that_is_not_primitive_are_noted() -> None:
    assert write(SILICON, "bands").notes == ()
    assert "bands are folded" in write(NACL, "bands").notes[0]


def test_own_pseudopotentials_and_spacing() -> None:
    result = write(SILICON, "relax", k_spacing=0.5, pseudos={"Si": Pseudo("mine.upf", 12, 48)})
    text = result.files["pw.in"]
    assert (parameters(text)["system"]["ecutwfc"], parameters(text)["system"]["ecutrho"]) == (12, 48)
    assert card(text, "K_POINTS automatic")[0].split()[:3] == [str(n) for n in grid(SILICON, 0.5)]
    assert result.pseudos == {"Si": "mine.upf"}
    assert "mine.upf" in text


def test_missing_pseudopotential_is_named() -> None:
    with pytest.raises(DataError, match="no pseudopotential for Cl; name one in a file for --pseudos"):
        write(NACL, "relax", pseudos={"Na": Pseudo("Na.upf", 12, 48)})
