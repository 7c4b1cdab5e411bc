"""Crystals through every format and back, and each wrong input with its own line."""

from __future__ import annotations

import sys
import warnings
from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from ase import Atoms
from ase.db import connect
from ase.io import read as ase_read
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import DummySpecies, Element, Lattice, Structure
from pymatgen.io.cif import CifWriter

from crystals import KNOWN, MAGNETITE_LIKE, NACL, PEROVSKITE, QUARTZ, RUTILE, assert_same
from materium import convert
from materium.crystal import Crystal, lattice_from_parameters
from materium.errors import ConversionError, CrystalError, MateriumError
from materium.symmetry import space_group

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CHARGED = {name: crystal for name, crystal in KNOWN.items() if name != "Si"} | {"Fe2O2F": MAGNETITE_LIKE}
CUBE = Lattice.cubic(4.0)


def without_states(crystal: Crystal) -> Crystal:
    return Crystal(crystal.lattice, crystal.frac_coords, crystal.numbers)


def left_handed(crystal: Crystal) -> Crystal:
    """Return the same atoms in a cell of negative determinant: two axes change places."""
    swap = [1, 0, 2]
    return Crystal(crystal.lattice[swap], crystal.frac_coords[:, swap], crystal.numbers, crystal.oxidation_states)


def through_cif(crystal: Crystal) -> Crystal:
    return convert.from_cif(convert.to_cif(crystal))


def through_extxyz(crystal: Crystal) -> Crystal:
    file = StringIO()
    convert.write_extxyz_frame(file, crystal, {})
    return convert.from_extxyz(file.getvalue())[0]


# --- round trips ---

EXACT: dict[str, Callable[[Crystal], Crystal]] = {
    "structure": lambda crystal: convert.from_structure(convert.to_structure(crystal)),
    "dictionary": lambda crystal: convert.from_structure_dict(convert.to_structure(crystal).as_dict()),
    "atoms": lambda crystal: convert.from_atoms(convert.to_atoms(crystal)),
}


@pytest.mark.parametrize("way", EXACT)
@pytest.mark.parametrize("name", CHARGED)
def test_objects_keep_everything_and_the_order_of_sites(name: str, way: str) -> None:
    crystal = CHARGED[name]
    back = EXACT[way](crystal)
    np.testing.assert_allclose(back.lattice, crystal.lattice, atol=1e-13)
    offsets = back.frac_coords - crystal.frac_coords
    np.testing.assert_allclose(offsets - np.round(offsets), 0, atol=1e-13)
    np.testing.assert_array_equal(back.numbers, crystal.numbers)
    np.testing.assert_array_equal(back.oxidation_states, crystal.oxidation_states)


@pytest.mark.parametrize("name", CHARGED)
def test_cif_keeps_everything_to_a_nanoangstrom(name: str) -> None:
    assert_same(CHARGED[name], through_cif(CHARGED[name]), tolerance=1e-9)


@pytest.mark.parametrize("name", CHARGED)
def test_extxyz_keeps_everything_to_its_eight_decimals(name: str) -> None:
    assert_same(CHARGED[name], through_extxyz(CHARGED[name]), tolerance=2e-8)


@pytest.mark.parametrize("name", KNOWN)
def test_poscar_keeps_all_but_oxidation_states(name: str) -> None:
    back = convert.from_poscar(convert.to_poscar(KNOWN[name], comment="a comment"))
    assert_same(without_states(KNOWN[name]), back, tolerance=1e-12)
    np.testing.assert_array_equal(back.numbers, KNOWN[name].numbers)


@pytest.mark.parametrize("name", KNOWN)
def test_without_oxidation_states_there_are_none_afterwards(name: str) -> None:
    plain = without_states(KNOWN[name])
    for way in (*EXACT.values(), through_extxyz, through_cif):
        assert way(plain).oxidation_states is None


@settings(max_examples=30)
@given(
    st.lists(st.tuples(*[st.floats(0, 1, exclude_max=True)] * 3), min_size=1, max_size=6, unique=True),
    st.tuples(*[st.floats(8, 20)] * 3),
    st.tuples(*[st.floats(70, 110)] * 3),
)
def test_any_crystal_survives_cif(
    sites: list[tuple[float, ...]], lengths: tuple[float, ...], angles: tuple[float, ...]
) -> None:
    crystal = Crystal(lattice_from_parameters([*lengths, *angles]), np.array(sites), np.arange(1, len(sites) + 1))
    if crystal.min_distance >= 0.5:
        assert_same(crystal, through_cif(crystal), tolerance=1e-9)


@pytest.mark.parametrize("text_of", [convert.to_cif, convert.to_poscar])
def test_chirality_survives_a_left_handed_cell(text_of: Callable[[Crystal], str]) -> None:
    """Quartz is P3_121; a format that takes the cell for right-handed would give its mirror image, P3_221 (154)."""
    crystal = without_states(left_handed(QUARTZ))
    back = (convert.from_cif if text_of is convert.to_cif else convert.from_poscar)(text_of(crystal))
    assert np.linalg.det(crystal.lattice) < 0 < np.linalg.det(back.lattice)
    assert space_group(back) == space_group(QUARTZ) == 152
    assert back.min_distance == pytest.approx(crystal.min_distance)


@pytest.mark.parametrize("name", KNOWN)
def test_a_symmetric_cif_gives_the_whole_cell(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # spglib's, about its error handling
        structure = convert.to_structure(without_states(KNOWN[name]))
        text = str(CifWriter(structure, symprec=0.01, significant_figures=4))
    crystal = convert.from_cif(text)
    assert convert.formula(crystal) == name
    assert len(crystal) / len(KNOWN[name]) == pytest.approx(crystal.volume / KNOWN[name].volume, rel=1e-3)


def test_a_cif_with_a_space_group_but_no_operations_gives_the_whole_cell() -> None:
    crystal = convert.from_cif(CIF.replace("P 1", "F m -3 m").replace(OPERATIONS, ""))
    assert_same(without_states(NACL), crystal, tolerance=1e-9)


def test_a_p1_cif_is_taken_at_its_word() -> None:
    """Rounding, as pymatgen does it, takes 0.33335 to 1/3: symmetric CIFs need it, in P1 it would move an atom."""
    crystal = Crystal(4 * np.eye(3), [[0.33335, 0.66665, 0.5]], [26])
    np.testing.assert_allclose(through_cif(crystal).frac_coords, crystal.frac_coords, atol=1e-12)


def test_cifs_of_other_blocks_are_passed_over() -> None:
    text = "data_global\n_journal_year 2020\n" + convert.to_cif(NACL)
    assert_same(NACL, convert.from_cif(text), tolerance=1e-9)


@pytest.mark.parametrize("name", KNOWN)
def test_ase_reads_our_cif(name: str) -> None:
    atoms = ase_read(StringIO(convert.to_cif(KNOWN[name], "s1 000/7")), format="cif")
    assert_same(without_states(KNOWN[name]), convert.from_atoms(atoms), tolerance=1e-9)


def test_the_name_of_a_cif_is_its_data_block() -> None:
    assert "\ndata_s7-000012_from_ours\n" in convert.to_cif(NACL, "s7-000012 from ours")
    assert "\ndata_NaCl\n" in convert.to_cif(NACL)


def test_extxyz_carries_values() -> None:
    file = StringIO()
    info = {"id": "s1 7", "energy": -1.5, "seed": 3, "note": 'say "hi"\nthere', "nothing": None}
    convert.write_extxyz_frame(file, NACL, info)
    convert.write_extxyz_frame(file, RUTILE, {})
    first, second = convert.split_extxyz(StringIO(file.getvalue()))
    crystal, facts = convert.from_extxyz(first)
    assert facts == {"id": "s1 7", "energy": -1.5, "seed": 3, "note": 'say "hi" there'}
    assert_same(NACL, crystal, tolerance=2e-8)
    assert_same(RUTILE, convert.from_extxyz(second)[0], tolerance=2e-8)


# --- oxidation states ---


@pytest.mark.parametrize(
    ("species", "states"),
    [
        (["Fe3+", "O2-"], [3, -2]),
        (["Fe", "O"], None),
        (["Fe0+", "O0+"], None),
        (["Fe2.5+", "O2-"], None),
        (["Fe3+", "O"], None),
    ],
)
def test_only_whole_states_on_every_site_count(species: list[str], states: list[int] | None) -> None:
    crystal = convert.from_structure(Structure(CUBE, species, [[0, 0, 0], [0.5, 0.5, 0.5]]))
    assert (None if crystal.oxidation_states is None else crystal.oxidation_states.tolist()) == states


def test_mixed_valence_survives_cif() -> None:
    back = through_cif(MAGNETITE_LIKE)
    assert sorted(back.oxidation_states[back.numbers == 26].tolist()) == [2, 3]


# --- wrong input ---

OPERATIONS = """loop_
 _symmetry_equiv_pos_as_xyz
  'x, y, z'
"""
CIF = f"""data_NaCl
_symmetry_space_group_name_H-M 'P 1'
_cell_length_a 5.6402
_cell_length_b 5.6402
_cell_length_c 5.6402
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_chemical_formula_sum 'Na1 Cl1'
{OPERATIONS}loop_
 _atom_site_label
 _atom_site_type_symbol
 _atom_site_fract_x
 _atom_site_fract_y
 _atom_site_fract_z
 _atom_site_occupancy
  Na1 Na 0 0 0 1
  Cl1 Cl 0.5 0.5 0.5 1
"""
POSCAR = """NaCl
1.0
4 0 0
0 4 0
0 0 4
Na Cl
1 1
direct
0 0 0
0.5 0.5 0.5
"""
EXTXYZ = """2
Lattice="4 0 0 0 4 0 0 0 4" Properties=species:S:1:pos:R:3 pbc="T T T"
Na 0 0 0
Cl 2 2 2
"""


def refusal(function: Callable[..., Any], *arguments: Any) -> str:
    """Return the one line with which a function refuses its arguments."""
    with pytest.raises(MateriumError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 300
    return message


def test_the_examples_of_this_file_are_right() -> None:
    assert [len(convert.from_cif(CIF)), len(convert.from_poscar(POSCAR)), len(convert.from_extxyz(EXTXYZ)[0])] == [
        2
    ] * 3


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("0 0 0 1", "0 0 0 0.5", "disordered site: it holds Na1 0.5; every site must be one whole atom"),
        ("0 0 0 1", "0 0 0 0.5\n  K1 K 0 0 0 0.5", "disordered site: it holds"),
        ("0.5 0.5 0.5 1", "0.05 0 0 1", "overlapping atoms: 0.282 Å apart, at least 0.5 Å is needed"),
        ("Na1 Na 0", "D1 D 0", "unknown element: 'D'; write hydrogen's isotopes as H"),
        ("Na1 Na 0", "X1 X 0", "unknown element: 'X'"),
        ("Na1 Na 0", "Va1 Vac 0", "unknown element: 'Vac'"),
        ("Na1 Na 0", "Na1 . 0", "unknown element: '?'"),
        ("Na1 Na 0 0", "Na1 Na ? 0", "unreadable CIF: Na1 has no coordinate x; all atoms need three"),
        ("Na1 Na 0 0", "Na1 Na nan 0", "unreadable CIF: coordinate x of Na1 is 'nan'; a number is needed"),
        ("_cell_length_a 5.6402\n", "", "unreadable CIF"),
        ("_cell_length_a 5.6402", "_cell_length_a 0", "unreadable CIF"),
        ("_cell_angle_gamma 90", "_cell_angle_gamma 179.9999", "unreadable CIF"),
        ("Cl1 Cl 0.5 0.5 0.5 1", "Cl1 Cl 0.5", "unreadable CIF"),
        ("  Cl1 Cl 0.5 0.5 0.5 1\n", "", "CIF's atom sites disagree with its formula: Missing elements Cl"),
        ("Cl1'", "Cl2'", "CIF's atom sites disagree with its formula: Incorrect stoichiometry"),
        ("_atom_site_fract_x", "_atom_site_x", "CIF has 0 data blocks with atom sites; exactly one is needed"),
    ],
)
def test_a_wrong_cif_is_refused(old: str, new: str, message: str) -> None:
    assert old in CIF
    assert message in refusal(convert.from_cif, CIF.replace(old, new))


def test_a_cif_of_two_structures_is_refused() -> None:
    assert "CIF has 2 data blocks" in refusal(convert.from_cif, CIF + CIF.replace("data_NaCl", "data_other"))


def test_a_cif_of_an_unknown_space_group_without_operations_is_refused() -> None:
    text = CIF.replace("P 1", "Q 99").replace(OPERATIONS, "")
    assert "unknown space group: 'Q 99'" in refusal(convert.from_cif, text)


def test_a_cif_with_implicit_hydrogens_is_refused() -> None:
    text = CIF.replace("_atom_site_occupancy", "_atom_site_attached_hydrogens")
    assert "implicit hydrogens" in refusal(convert.from_cif, text)


@pytest.mark.parametrize("text", ["", "nonsense", "data_x\nloop_\n_atom_site_fract_x\n", "\x00\x01\x02"])
def test_what_is_no_cif_is_refused(text: str) -> None:
    assert refusal(convert.from_cif, text).startswith(("CIF has 0", "unreadable CIF"))


@pytest.mark.parametrize("cut", range(20, len(CIF) - 30, 37))
def test_a_cif_cut_short_is_refused_wherever_the_cut_is(cut: int) -> None:
    assert "CIF" in refusal(convert.from_cif, CIF[:cut])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Na Cl\n", "", "POSCAR names no elements"),
        ("Na Cl\n", "D Cl\n", "unknown element: 'D'"),
        ("Na Cl\n", "Qq Cl\n", "unknown element: 'Qq'"),
        ("0.5 0.5 0.5\n", "", "unreadable POSCAR"),
        ("0.5 0.5 0.5\n", "0.5 0.5\n", "unreadable POSCAR"),
        ("0.5 0.5 0.5", "0 0 0.1", "overlapping atoms: 0.400 Å apart"),
        ("0.5 0.5 0.5", "nan 0 0.1", "frac_coords holds NaN or infinity"),
        ("0 0 4\n", "0 4 0\n", "cell volume is 0 Å³"),
        ("1 1\n", "0 0\n", "unreadable POSCAR: You need at least 1 site"),
        (POSCAR, "", "unreadable POSCAR"),
    ],
)
def test_a_wrong_poscar_is_refused(old: str, new: str, message: str) -> None:
    assert old in POSCAR
    assert message in refusal(convert.from_poscar, POSCAR.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Na 0", "D 0", "unknown element: 'D'; write hydrogen's isotopes as H"),
        ("Na 0", "Qq 0", "unknown element: 'Qq'"),
        ("Na 0", "X 0", "unknown element: 'X'"),
        ("Cl 2 2 2\n", "", "unreadable extxyz frame"),
        ("Cl 2 2 2", "Cl 2 2", "unreadable extxyz frame"),
        ("Cl 2 2 2", "Cl 2 2 two", "unreadable extxyz frame"),
        ("Cl 2 2 2", "Cl nan 2 2", "frac_coords holds NaN or infinity"),
        ("Cl 2 2 2", "Cl 0 0 0.3", "overlapping atoms: 0.300 Å apart"),
        ('pbc="T T T"', 'pbc="T T F"', "not a crystal: periodic in 2 of 3 directions"),
        ('Lattice="4 0 0 0 4 0 0 0 4"', "", "not a crystal"),
        ("0 0 4", "0 0 0", "cell volume is 0 Å³"),
        ("0 0 4", "0 0", "unreadable extxyz frame"),
        ("2\n", "two\n", "unreadable extxyz frame"),
        (EXTXYZ, "", "unreadable extxyz frame"),
        (EXTXYZ, "2\n", "unreadable extxyz frame"),
        (EXTXYZ, '0\nLattice="4 0 0 0 4 0 0 0 4"\n', "crystal has no atoms"),
    ],
)
def test_a_wrong_extxyz_frame_is_refused(old: str, new: str, message: str) -> None:
    text = EXTXYZ.replace(' pbc="T T T"', "") if old.startswith("Lattice") else EXTXYZ
    assert old in text
    assert message in refusal(convert.from_extxyz, text.replace(old, new, 1))


def test_disordered_structures_are_refused() -> None:
    alloy = Structure(CUBE, [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    vacancies = Structure(CUBE, [{"Na": 0.75}], [[0, 0, 0]])
    assert "(site 0) Na0.5 (site 0) K0.5" in refusal(convert.from_structure, alloy)
    assert "(site 0) Na0.75; every site must be one whole atom" in refusal(convert.from_structure, vacancies)


@pytest.mark.parametrize(
    ("species", "name"), [(DummySpecies("Xa"), "Xa"), (Element("D"), "D"), ("D+", "D"), ("T", "T")]
)
def test_structures_of_unknown_elements_are_refused(species: object, name: str) -> None:
    assert f"unknown element: {name!r}" in refusal(convert.from_structure, Structure(CUBE, [species], [[0, 0, 0]]))


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (Structure(CUBE, [], []), "crystal has no atoms"),
        (Structure(CUBE, ["H"], [[float("nan"), 0, 0]]), "frac_coords holds NaN"),
        (Structure(np.diag([4.0, 4.0, 0.0]), ["H"], [[0, 0, 0]]), "cell volume is 0 Å³"),
        (Structure(CUBE, ["H", "H"], [[0, 0, 0], [0.1, 0, 0]]), "overlapping atoms: 0.400 Å apart"),
        (Structure(Lattice(CUBE.matrix, pbc=(True, True, False)), ["H"], [[0, 0, 0]]), "periodic in 2 of 3 directions"),
    ],
)
def test_wrong_structures_are_refused(structure: Structure, message: str) -> None:
    assert message in refusal(convert.from_structure, structure)


@pytest.mark.parametrize(
    ("atoms", "message"),
    [
        (Atoms(cell=[4, 4, 4], pbc=True), "crystal has no atoms"),
        (Atoms("H"), "not a crystal: periodic in 0 of 3 directions; all three, and a cell, are needed"),
        (Atoms("H", pbc=True), "cell volume is 0 Å³"),
        (Atoms("H", [[float("nan"), 0, 0]], cell=[4, 4, 4], pbc=True), "frac_coords holds NaN"),
        (Atoms("X", cell=[4, 4, 4], pbc=True), "unknown element: atomic number 0"),
        (Atoms("H2", [[0, 0, 0], [0.4, 0, 0]], cell=[4, 4, 4], pbc=True), "overlapping atoms: 0.400 Å apart"),
        (Atoms("Na", cell=[4, 4, 4], pbc=True, info={"occupancy": {"0": {"Na": 0.5, "K": 0.5}}}), "holds Na0.5 K0.5"),
    ],
)
def test_wrong_atoms_are_refused(atoms: Atoms, message: str) -> None:
    assert message in refusal(convert.from_atoms, atoms)


def test_dictionaries_run_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader of pymatgen imports the module that a site's property names; ours leaves properties out."""
    (tmp_path / "trap_of_a_site.py").write_text("class Trap: ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    data = convert.to_structure(NACL).as_dict()
    data["sites"][0]["properties"] = {"magmom": {"@module": "trap_of_a_site", "@class": "Trap"}}
    assert len(convert.from_structure_dict(data)) == 8
    assert "trap_of_a_site" not in sys.modules


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sites": []}, "crystal has no atoms"),
        ({"sites": [{}]}, "unreadable pymatgen structure: species is missing"),
        ({"sites": "abc"}, "unreadable pymatgen structure"),
        ({"lattice": {}}, "unreadable pymatgen structure"),
        ({"sites": [{"species": [{"element": "D", "occu": 1}], "abc": [0, 0, 0]}]}, "unknown element: 'D'"),
        ({"sites": [{"species": [{"element": "Qq", "occu": 1}], "abc": [0, 0, 0]}]}, "unreadable pymatgen structure"),
    ],
)
def test_wrong_dictionaries_are_refused(change: dict[str, Any], message: str) -> None:
    assert message in refusal(convert.from_structure_dict, convert.to_structure(NACL).as_dict() | change)


# --- files ---


def test_files_are_read_by_their_names(tmp_path: Path) -> None:
    texts = {
        "a.cif": convert.to_cif(NACL),
        "b.vasp": convert.to_poscar(NACL),
        "POSCAR": convert.to_poscar(NACL),
        "contcar_2": convert.to_poscar(NACL),
        "c.extxyz": EXTXYZ + EXTXYZ,
        "d.XYZ": EXTXYZ,
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    counts = {name: len(convert.read_file(tmp_path / name)) for name in texts}
    assert counts == {"a.cif": 1, "b.vasp": 1, "POSCAR": 1, "contcar_2": 1, "c.extxyz": 2, "d.XYZ": 1}


def test_ase_databases_are_read_and_left_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "all.db"
    with connect(path) as database:
        database.write(convert.to_atoms(without_states(NACL)), gap=5.0)
        database.write(convert.to_atoms(without_states(PEROVSKITE)))
    before = path.read_bytes()
    assert [len(crystal) for crystal in convert.read_file(path)] == [8, 20]
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["all.db"]


@pytest.mark.parametrize("content", [b"", b"no database at all, but a text of more than one hundred bytes" * 3])
def test_what_is_no_ase_database_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "all.db"
    path.write_bytes(content)
    assert "is no ASE database" in refusal(convert.read_file, path)
    assert path.read_bytes() == content


def test_wrong_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "bad.cif").write_text(CIF[:300])
    assert refusal(convert.read_file, tmp_path / "bad.cif").startswith(f"{tmp_path / 'bad.cif'}: ")
    assert f"cannot open {tmp_path / 'gone.cif'}: No such file or directory" in refusal(
        convert.read_file, tmp_path / "gone.cif"
    )
    assert f"cannot open {tmp_path / 'gone.xyz'}" in refusal(convert.read_file, tmp_path / "gone.xyz")
    assert "is no file of structures; one of .cif, .vasp" in refusal(convert.read_file, tmp_path / "notes.txt")


def test_frames_after_a_bad_one_are_read(tmp_path: Path) -> None:
    (tmp_path / "many.xyz").write_text(EXTXYZ + EXTXYZ.replace("Na", "Qq") + "\n" + EXTXYZ + "noise\n")
    outcomes = []
    for load in convert.frames(tmp_path / "many.xyz"):
        try:
            outcomes.append(len(load()[0]))
        except MateriumError as error:
            outcomes.append(str(error).split(":")[0])
    assert outcomes == [2, "unknown element", 2, "unreadable extxyz frame"]


# --- small things ---


def test_formulas_are_spelt_as_chemists_do() -> None:
    assert {name: convert.formula(crystal) for name, crystal in KNOWN.items()} == {name: name for name in KNOWN}


def test_elements_by_number_and_name() -> None:
    assert convert.symbols([1, 26, 118]) == ["H", "Fe", "Og"]
    assert convert.atomic_numbers(["H", "Fe", "Og"]).tolist() == [1, 26, 118]
    assert "unknown element: 'Xx'" in refusal(convert.atomic_numbers, ["H", "Xx"])


@pytest.mark.parametrize(("symbol", "number"), [("Fm-3m", 225), ("P2_1/c", 14), ("P1", 1)])
def test_space_groups_by_symbol(symbol: str, number: int) -> None:
    assert convert.space_group_number(symbol) == number


def test_an_unknown_space_group_is_refused() -> None:
    assert "unknown space group: 'Q99'" in refusal(convert.space_group_number, "Q99")


def test_errors_are_of_their_kinds() -> None:
    with pytest.raises(ConversionError):
        convert.from_cif("")
    with pytest.raises(CrystalError):
        convert.from_structure(Structure(CUBE, [], []))
