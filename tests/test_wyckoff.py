"""CIFs with symmetry: whoever reads them gets the crystal that was written, in every space group."""

from __future__ import annotations

import warnings
from io import StringIO
from typing import TYPE_CHECKING

import gemmi
import moyopy
import numpy as np
import pytest
from ase import Atoms
from ase.io import read as ase_read
from pymatgen.io.cif import CifParser

from crystals import KNOWN, MAGNETITE_LIKE, QUARTZ, assert_same
from materium import convert
from materium.crystal import Crystal, lattice_from_parameters
from materium.oxidation import balanced
from materium.symmetry import canonical
from materium.wyckoff import MAX_SHIFT, asymmetric_unit, to_cif

if TYPE_CHECKING:
    from numpy.typing import NDArray


def parameters(number: int) -> list[float]:
    """A metric of the group's crystal system, in Å and degrees."""
    if number < 3:
        return [7.1, 8.3, 9.7, 81, 77, 68]
    if number < 16:
        return [7.1, 8.3, 9.7, 90, 105, 90]
    if number < 75:
        return [7.1, 8.3, 9.7, 90, 90, 90]
    if number < 143:
        return [7.1, 7.1, 9.7, 90, 90, 90]
    return [9.1, 9.1, 13.3, 90, 90, 120] if number < 195 else [13.1, 13.1, 13.1, 90, 90, 90]


def crystal_in(number: int) -> Crystal:
    """A crystal of the group, an orbit in general position and one at the origin: its cell skewed, moved and turned."""
    group = moyopy.operations_from_number(number, setting=moyopy.Setting.standard(), primitive=False)
    points = (np.array([0.1371, 0.2113, 0.0717]), np.zeros(3))
    orbits = [np.round(np.array(group.rotations) @ point + group.translations, 9) % 1.0 for point in points]
    orbits = [np.unique(orbit, axis=0) for orbit in orbits]
    numbers = np.repeat([29, 8], [len(orbit) for orbit in orbits])
    rng = np.random.default_rng(number)
    basis = np.array([[1, 1, 0], [0, 1, 0], [-1, 0, 1]])
    frac = np.concatenate(orbits) @ np.linalg.inv(basis) + rng.random(3)
    lattice = basis @ lattice_from_parameters(parameters(number)) @ turn(rng)
    return Crystal(lattice, frac, numbers).select(rng.permutation(len(numbers)))


def turn(rng: np.random.Generator) -> NDArray[np.float64]:
    """A random rotation."""
    matrix = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    proper: NDArray[np.float64] = matrix * np.sign(np.linalg.det(matrix))
    return proper


def by_pymatgen(text: str) -> Crystal:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        (structure,) = CifParser.from_str(text).parse_structures(primitive=False)
    return convert.from_structure(structure)


def by_ase(text: str) -> Crystal:
    atoms = ase_read(StringIO(text), format="cif")
    assert isinstance(atoms, Atoms)
    return convert.from_atoms(atoms)


def by_gemmi(text: str) -> Crystal:
    small = gemmi.make_small_structure_from_block(gemmi.cif.read_string(text).sole_block())
    assert small.spacegroup.number == int(small.spacegroup_number)
    sites = small.get_all_unit_cell_sites()
    cell = lattice_from_parameters(small.cell.parameters)
    return Crystal(
        cell, np.array([s.fract.tolist() for s in sites]), np.array([s.element.atomic_number for s in sites])
    )


READERS = {"pymatgen": by_pymatgen, "ASE": by_ase, "gemmi": by_gemmi, "own": convert.from_cif}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("part", range(5))
def test_every_reader_gets_the_crystal_back(part: int, reader: str) -> None:
    """In all 230 space groups; pymatgen moves coordinates within 1e-4 of a third onto it, 0.002 Å here."""
    for number in range(1 + part, 231, 5):
        crystal = crystal_in(number)
        text = to_cif(crystal)
        assert f"_symmetry_Int_Tables_number   {number}\n" in text
        assert_same(canonical(READERS[reader](text)), canonical(crystal), tolerance=2e-3)


def test_rock_salt_to_the_letter() -> None:
    text = to_cif(KNOWN["NaCl"], "salt")
    assert "_symmetry_space_group_name_H-M   'F m -3 m'" in text
    assert "_symmetry_space_group_name_Hall   '-F 4 2 3'" in text
    assert text.count("\n  192  '") == 1
    assert "Na+  Na0  4  0.000000000000  0.000000000000  0.000000000000  1  a\n" in text
    assert "Cl-  Cl1  4  0.500000000000  0.500000000000  0.500000000000  1  b\n" in text


@pytest.mark.parametrize("name", [*KNOWN, "two states of iron"])
def test_oxidation_states_survive(name: str) -> None:
    crystal = {**KNOWN, "two states of iron": MAGNETITE_LIKE}[name]
    again = convert.from_cif(to_cif(crystal))
    expected = balanced(crystal)[0]
    assert_same(canonical(again), canonical(expected), tolerance=1e-5)


def test_a_left_handed_cell_and_a_supercell_are_the_same_crystal() -> None:
    """Quartz of one hand stays so; a cell of eight primitive ones gives one Wyckoff site for each orbit."""
    left = Crystal(QUARTZ.lattice[[1, 0, 2]], QUARTZ.frac_coords[:, [1, 0, 2]], QUARTZ.numbers)
    offsets = np.array(list(np.ndindex(2, 2, 2)))[:, None]
    eight = ((QUARTZ.frac_coords[None] + offsets) / 2).reshape(-1, 3)
    for crystal in (left, Crystal(2 * QUARTZ.lattice, eight, np.tile(QUARTZ.numbers, 8))):
        unit = asymmetric_unit(crystal)
        assert unit is not None
        assert (unit.multiplicities.tolist(), unit.letters) == ([3, 6], ["a", "c"])
        assert_same(canonical(convert.from_cif(to_cif(crystal))), canonical(crystal), tolerance=1e-5)
    mirrored = Crystal(-QUARTZ.lattice, QUARTZ.frac_coords, QUARTZ.numbers)
    assert "'P 31 2 1'" in to_cif(QUARTZ)
    assert "'P 32 2 1'" in to_cif(mirrored)


@pytest.mark.parametrize("size", [0.001, 0.01, 0.1])
def test_nothing_moves_far(size: float) -> None:
    """What symmetrising would move farther is written in a lower group, or in P1: distances within 4 Å stay."""
    rng, seen = np.random.default_rng(7), set()
    for crystal in KNOWN.values():
        noise = rng.uniform(-size, size, crystal.frac_coords.shape) @ np.linalg.inv(crystal.lattice)
        lattice = crystal.lattice + rng.uniform(-size, size, (3, 3)) / 3
        shaken = Crystal(lattice, crystal.frac_coords + noise, crystal.numbers)
        seen.add(asymmetric_unit(shaken) is not None)
        read = convert.from_cif(to_cif(shaken))
        before, after = (np.sort(convert.to_structure(one).get_neighbor_list(4.0)[3]) for one in (shaken, read))
        before = np.repeat(before, len(read) // len(shaken))
        within = int(0.8 * len(after))  # of atoms near the cutoff some come in or go out
        assert abs(before[:within] - after[:within]).max() <= 3 * MAX_SHIFT
    assert seen == {True} or size > 0.001
