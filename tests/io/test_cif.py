"""What a CIF says is read or refused: every statement in it counts, and none of them is guessed."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import moyopy
import numpy as np
import pytest

from crystals import NACL, assert_same
from materium import convert
from materium.crystal import Crystal
from materium.errors import MateriumError
from materium.io import cif, settings
from test_benchmarks import script

if TYPE_CHECKING:
    from collections.abc import Sequence

trips = script("round_trips")

ROCK_SALT = 523
"""Hall number of Fm-3m."""
SYMBOL = "_symmetry_space_group_name_H-M 'F m -3 m'\n"
SITES = "Na1 Na 0 0 0\nCl1 Cl 0.5 0.5 0.5"
COLUMNS = "label type_symbol fract_x fract_y fract_z"


def cell(*parameters: float) -> str:
    names = ["length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"]
    return "".join(f"_cell_{name} {value}\n" for name, value in zip(names, parameters, strict=True))


CUBE = cell(5.6402, 5.6402, 5.6402, 90, 90, 90)


def operations(hall: int = ROCK_SALT, name: str = "_symmetry_equiv_pos_as_xyz", end: str = "") -> str:
    """Return the loop of all operations of a setting, by moyo."""
    return f"loop_\n{name}\n" + "".join(f"'{trips.triplet(*one)}{end}'\n" for one in trips.operations_of(hall))


ALL = operations()
IDENTITY = "loop_\n_symmetry_equiv_pos_as_xyz\n'x, y, z'\n"


def text(symmetry: str, sites: str = SITES, *, columns: str = COLUMNS, parameters: str = CUBE) -> str:
    loop = "loop_\n" + "".join(f"_atom_site_{name}\n" for name in columns.split())
    return f"data_x\n{parameters}{symmetry}\n{loop}{sites}\n"


def refusal(content: str) -> str:
    """Return the one line with which a CIF is refused."""
    with pytest.raises(MateriumError) as caught:
        cif.read(content)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 320
    return message


# --- symmetry ---

ARSENIC = cell(4.131, 4.131, 4.131, 54.1, 54.1, 54.1)
HEXAGONAL = cell(3.76, 3.76, 10.55, 90, 90, 120)
DIAMOND = cell(5.431, 5.431, 5.431, 90, 90, 90)
RHOMBOHEDRAL = "_symmetry_space_group_name_H-M 'R -3 m'"
FORMULA = "_chemical_formula_sum 'Na Cl'\n_cell_formula_units_Z 4\n"
ONE_SILICON = "Si1 Si 0.125 0.125 0.125"


@pytest.mark.parametrize(
    ("content", "count"),
    [
        (text(RHOMBOHEDRAL, "As1 As 0.227 0.227 0.227", parameters=ARSENIC), 2),
        (text(RHOMBOHEDRAL, "As1 As 0 0 0.227", parameters=HEXAGONAL), 6),
        (text("_space_group_name_H-M_alt 'R -3 m :R'", "Hg1 Hg 0 0 0", parameters=ARSENIC), 1),
        (text("_space_group_IT_number 166", "Hg1 Hg 0 0 0", parameters=ARSENIC), 1),
        (text("_space_group_name_H-M_alt 'F d -3 m:2'", ONE_SILICON, parameters=DIAMOND), 8),
        (text("_space_group_name_H-M_alt 'F d -3 m S'", "Si1 Si 0 0 0", parameters=DIAMOND), 8),
        (text("_space_group_name_Hall '-F 4vw 2vw 3'", ONE_SILICON, parameters=DIAMOND), 8),
    ],
)
def test_the_setting_is_the_one_of_the_cell_and_the_symbol(content: str, count: int) -> None:
    assert len(cif.read(content)) == count


@pytest.mark.parametrize(
    "fact",
    [
        "_cell_formula_units_Z 8\n_chemical_formula_sum 'Si8'",
        "_cell_formula_units_Z 8\n_chemical_formula_sum Si",
        "_exptl_crystal_density_diffrn 2.33",
        "_chemical_formula_weight 28.086\n_cell_formula_units_Z 8",
        "_exptl_crystal_F_000 112",
        "loop_\n_atom_type_symbol\n_atom_type_number_in_cell\nSi 8",
    ],
)
def test_the_content_of_the_cell_tells_an_origin_choice(fact: str) -> None:
    """(1/8, 1/8, 1/8) has 8 atoms in origin choice 2 of Fd-3m and 16 in choice 1."""
    symbol = "_symmetry_space_group_name_H-M 'F d -3 m'\n_symmetry_Int_Tables_number 227\n"
    assert len(cif.read(text(symbol + fact, ONE_SILICON, parameters=DIAMOND))) == 8
    assert "F d -3 m:1 as well as F d -3 m:2" in refusal(text(symbol, ONE_SILICON, parameters=DIAMOND))


@pytest.mark.parametrize("name", ["symmetry_multiplicity", "site_symmetry_multiplicity", "Wyckoff_symbol"])
def test_multiplicities_tell_an_origin_choice(name: str) -> None:
    columns = f"{COLUMNS} {name}"
    written = {"Wyckoff_symbol": "8a"}.get(name, "8")
    symbol = "_symmetry_space_group_name_H-M 'F d -3 m'"
    assert len(cif.read(text(symbol, f"{ONE_SILICON} {written}", columns=columns, parameters=DIAMOND))) == 8


@pytest.mark.parametrize(
    "symmetry",
    [
        SYMBOL,
        SYMBOL + ALL,
        ALL,
        ALL.upper(),
        operations(name="_space_group_symop.operation_xyz") + "_space_group.name_H-M_alt 'F m -3 m'",
        operations(name="_space_group_symop_magn_operation.xyz", end=",-1"),
        operations(name="_space_group_symop.magn_operation_xyz", end=",+1")
        + "loop_\n_space_group_symop_magn_centering.xyz\nx,y,z,+1\nx+1/2,y+1/2,z,-1",
        ALL + "loop_\n_atom_site_moment.label\n_atom_site_moment.crystalaxis_x\nNa1 4.5",
        SYMBOL + IDENTITY + FORMULA,
        SYMBOL + IDENTITY + "_exptl_crystal_density_diffrn 2.16",
        SYMBOL.replace("-3", "\N{MINUS SIGN}3"),
        SYMBOL.replace("F m -3 m", "Fm3m"),
        SYMBOL.replace("F m -3 m", "F 4/m -3 2/m"),
        "_space_group_IT_number 225",
        "_space_group_name_Hall '-F 4 2 3'",
    ],
)
def test_rock_salt_is_read_however_its_symmetry_is_written(symmetry: str) -> None:
    assert_same(without_states(NACL), cif.read(text(symmetry)), tolerance=1e-9)


def without_states(crystal: Crystal) -> Crystal:
    return Crystal(crystal.lattice, crystal.frac_coords, crystal.numbers)


@pytest.mark.parametrize(
    ("symmetry", "message"),
    [
        (SYMBOL + IDENTITY, "its operations are those of P 1, but its symbol is 'F m -3 m'"),
        (ALL + "_symmetry_space_group_name_H-M 'P 1'", "those of F m -3 m, but its symbol is 'P 1'"),
        (SYMBOL + ALL + "_symmetry_Int_Tables_number 221", "those of F m -3 m, but its number is 221"),
        (SYMBOL + "_space_group_IT_number 221", "its symbol is 'F m -3 m', but its number is 221"),
        (SYMBOL + "_space_group_name_Hall '-P 4 2 3'", "its Hall symbol is '-P 4 2 3', but its symbol is 'F m -3 m'"),
        (SYMBOL + "_space_group.name_H-M_alt 'P m -3 m'", "but its symbol is"),
        (ALL + "_space_group.name_H-M_ref 'P m -3 m'", "those of F m -3 m, but its reference symbol is 'P m -3 m'"),
        (IDENTITY + "_space_group_crystal_system cubic", "those of P 1, but its crystal system is cubic"),
        ("_symmetry_cell_setting cubic", "no symmetry is given, but its crystal system is cubic"),
        (ALL + FORMULA.replace("4", "2"), "disagree with its formula: _cell_formula_units_Z is 2"),
        (ALL + "_cell_formula_units_Z 3", "disagree with _cell_formula_units_Z 3: the cell holds Cl4 Na4"),
        (ALL + "_exptl_crystal_density_diffrn 1.08", "disagree with its density: the cell holds Cl4 Na4, 2.16 g/cm³"),
        (ALL + "_cell_volume 45", "lengths and angles give 179.43 Å³, but _cell_volume 45"),
        (ALL + "_chemical_formula_weight 74.55", "disagree with _chemical_formula_weight 74.55"),
        (ALL + "_cell.length_a 5.70", "CIF gives _cell.length_a twice, with different values"),
        ("loop_\n_symmetry_equiv_pos_as_xyz\nx,y,z\n-x,y,z\nx,-y,z", "the symmetry operations are no group"),
        ("_symmetry_equiv_pos_as_xyz x/2,y,z", "unreadable symmetry operation: 'x/2,y,z'"),
        ("_space_group_magn.name_BNS 'F m -3 m'", "CIF has its symmetry in _space_group_magn_name_bns alone"),
        ("_cell_modulation_dimension 1", "CIF has a modulated structure"),
    ],
)
def test_two_statements_that_disagree_are_named(symmetry: str, message: str) -> None:
    assert message in refusal(text(symmetry))


def test_a_whole_cell_in_p1_is_read_under_a_symbol_that_fits_it() -> None:
    """Programs write the symbol that they found above all atoms; in origin choice 1 the cell would hold 16 atoms."""
    places = [[0.125, 0.125, 0.125], [0.875, 0.375, 0.375], [0.375, 0.375, 0.875], [0.375, 0.875, 0.375]]
    places += [[1 - x, 1 - y, 1 - z] for x, y, z in places]
    sites = "\n".join(f"Si{n} Si {x} {y} {z}" for n, (x, y, z) in enumerate(places))
    symbol = "_symmetry_space_group_name_H-M 'F d -3 m'\n" + IDENTITY
    assert len(cif.read(text(symbol, sites, parameters=DIAMOND))) == 8
    assert "those of P 1, but its symbol is 'F d -3 m'" in refusal(text(symbol, ONE_SILICON, parameters=DIAMOND))


def test_operations_must_keep_the_cell() -> None:
    stretched = CUBE.replace("length_c 5.6402", "length_c 5.70")
    assert "those of F m -3 m, but the cell has 5.6402, 5.6402, 5.7 Å" in refusal(text(ALL, parameters=stretched))
    assert len(cif.read(text(ALL, parameters=stretched.replace("5.70", "5.641")))) == 8


def test_a_short_monoclinic_symbol_tells_no_cell_choice() -> None:
    """P2_1/c is the name of the type too, and moyo and spglib write it for P 1 2_1/n 1."""
    monoclinic = cell(6, 7, 8, 90, 100, 90)
    sites = "Na1 Na 0.1 0.2 0.3"
    full = cif.read(text("_symmetry_space_group_name_H-M 'P 1 21/c 1'", sites, parameters=monoclinic))
    expected = [[0.1, 0.2, 0.3], [0.9, 0.7, 0.2], [0.9, 0.8, 0.7], [0.1, 0.3, 0.8]]
    assert_same(Crystal(full.lattice, expected, [11] * 4), full, tolerance=1e-9)
    short = refusal(text("_symmetry_space_group_name_H-M 'P 21/c'", sites, parameters=monoclinic))
    assert "P 1 21/c 1 as well as P 1 21/n 1" in short


@pytest.mark.parametrize("hall", range(1, 531, 5))
def test_no_setting_is_read_as_another(hall: int) -> None:
    """An invented crystal in a setting, its symmetry and the rest of the file as a draw has them.

    Operations, Hall symbols and whole cells determine it; with less it may be refused, but is never another crystal.
    """
    rng = random.Random(hall)  # noqa: S311 # no secret
    one = invented(hall, rng)
    for way in ["operations", *rng.sample(trips.WAYS, k=3)]:
        content = trips.cif_of(one, way, rng)
        if content is None:
            continue
        try:
            back = cif.read(content)
        except MateriumError:
            assert way not in DETERMINED, content
        else:
            assert trips.same(one.crystal, back), f"{way}\n{content}"


DETERMINED = {"operations", "operations and names", "dotted operations", "magnetic operations", "whole cell"}
DETERMINED |= {"operations of a subgroup", "Hall symbol"}


def invented(hall: int, rng: random.Random) -> object:
    """Return a crystal in a setting: an atom on a general and one on a random place of eighths, in a fitting cell."""
    listed = trips.operations_of(hall)
    rotations = np.array([rotation for rotation, _ in listed])
    while True:
        axes = np.diag([rng.uniform(9, 14) for _ in range(3)]) + [
            [rng.uniform(-2, 2) for _ in range(3)] for _ in range(3)
        ]
        metric = np.mean(np.swapaxes(rotations, 1, 2) @ (axes @ axes.T) @ rotations, axis=0)
        lattice = np.linalg.cholesky(metric)
        general = [rng.random() for _ in range(3)]
        frac, numbers = orbit(listed, general), [11]
        special = orbit(listed, [rng.randrange(8) / 8 for _ in range(3)])
        numbers = [11] * len(frac) + [17] * len(special)
        crystal = Crystal(lattice, np.concatenate([frac, special]), np.array(numbers))
        if crystal.min_distance > 0.7:
            return trips.Described(hall, crystal, listed)


def orbit(listed: Sequence[tuple[np.ndarray, np.ndarray]], place: Sequence[float]) -> np.ndarray:
    images = np.array([rotation @ place + shift for rotation, shift in listed])
    keys = np.round(images * 1e5).astype(int) % 100_000
    return images[np.unique(keys, axis=0, return_index=True)[1]]


def test_every_setting_of_moyo_is_known_by_its_symbols() -> None:
    for entry in map(moyopy.HallSymbolEntry, range(1, 531)):
        group = settings.hall_group(entry.hall_symbol.replace("=", '"'))
        assert group.number == entry.number
        for symbol in (entry.hm_short, entry.hm_full):
            assert entry.number in {setting.number for setting in settings.settings_of_symbol(symbol)}


def test_groups_in_axes_that_no_table_has_are_known() -> None:
    """Fm-3m in its primitive cell, and Pmmm in a fivefold cell."""
    face = np.array([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    listed = [
        (np.round(np.linalg.inv(face.T) @ r @ face.T).astype(int), np.linalg.inv(face.T) @ t)
        for r, t in trips.operations_of(ROCK_SALT)
    ]
    primitive = settings.operations_group([trips.triplet(*one) for one in listed])
    assert (len(primitive), primitive.number) == (48, 225)
    five = [f"{k}/5+{sign}x,{b}y,{c}z" for k in range(5) for sign in ("", "-") for b in ("", "-") for c in ("", "-")]
    group = settings.operations_group([word.replace("+-", "-") for word in five])
    assert (len(group), group.number) == (40, 47)


# --- sites ---


@pytest.mark.parametrize(
    ("columns", "sites"),
    [
        (f"{COLUMNS} occupancy", "Na1 Na 0 0 0 .\nCl1 Cl 0.5 0.5 0.5 ?"),
        (f"{COLUMNS} occupancy", "Na1 Na 0 0 0 1.00(2)\nCl1 Cl 0.5 0.5 0.5 0.99999999"),
        (f"{COLUMNS} calc_flag", "Na1 Na 0 0 0 d\nCl1 Cl 0.5 0.5 0.5 .\nCg1 C 0.25 0.25 0.25 dum\nX1 . . . . Dum"),
        (COLUMNS, f"{SITES}\nNa2 Na 0.5 0.5 0"),
        (COLUMNS, "Na1 NA 1.0000(3) 0 -1\nCl1 CL .5 5e-1 -0.5(1)"),
        ("label fract_x fract_y fract_z", "Na1 0 0 0\nCl1a 0.5 0.5 0.5"),
    ],
)
def test_sites_are_read_by_the_dictionary(columns: str, sites: str) -> None:
    assert_same(without_states(NACL), cif.read(text(ALL, sites, columns=columns)), tolerance=1e-9)


@pytest.mark.parametrize(
    ("columns", "sites", "message"),
    [
        (COLUMNS, f"{SITES}\nH1 H . . .", "H1 has no coordinate x"),
        (COLUMNS, f"{SITES}\nK1 K 0.5 0.5 0", "two atoms on one place: Na1 and K1"),
        (COLUMNS, f"{SITES}\nNa2 Na 1 0 0", "two atoms on one place: Na1 and Na2"),
        (COLUMNS, SITES.replace("0.5 0.5 0.5", "0,5 0.5 0.5"), "coordinate x of Cl1 is '0,5'"),
        (COLUMNS, SITES.replace("Na 0", "Na \N{SOFT HYPHEN}0.1"), "coordinate x of Na1 is '~0.1'"),
        (COLUMNS, SITES.replace("Na 0", "Na/K 0"), "unknown element: 'Na/K'"),
        (COLUMNS, SITES.replace("Na 0", "NH4 0"), "type symbol 'NH4' is Nh or an atom of N"),
        (COLUMNS, SITES.replace("Na 0", "D 0"), "unknown element: 'D'; write hydrogen's isotopes as H"),
        (f"{COLUMNS} disorder_group", "Na1 Na 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 2", "disorder groups 1 and 2"),
        ("label fract_x fract_y fract_z", "O1 0 0 0\nHO1 0.5 0.5 0.5", "label 'HO1' is Ho or an atom of H"),
        ("label fract_x fract_y fract_z", "O1 0 0 0\nHo1 0.5 0.5 0.5", "label 'Ho1' is Ho or an atom of H"),
        ("label fract_x fract_y fract_z", "NA1 0 0 0\nCL1 0.5 0.5 0.5", "label 'NA1' is Na or an atom of N"),
        ("label fract_x fract_y fract_z", "Si/Al 0 0 0\nO1 0.5 0.5 0.5", "label 'Si/Al' names Si and Al"),
        ("label fract_x fract_y fract_z", "SiAl 0 0 0\nO1 0.5 0.5 0.5", "unknown element: 'SiAl'"),
    ],
)
def test_sites_that_are_no_whole_atoms_are_refused(columns: str, sites: str, message: str) -> None:
    assert message in refusal(text(ALL, sites, columns=columns))


@pytest.mark.parametrize(
    ("label", "formula", "found"), [("HO1", "Ho O", "HoO"), ("HO1", "H O", "H2O2"), ("CO1", "Co O", "CoO")]
)
def test_a_formula_confirms_a_label(label: str, formula: str, found: str) -> None:
    content = text(
        f"_chemical_formula_sum '{formula}'", f"O1 0 0 0\n{label} 0.5 0.5 0.5", columns="label fract_x fract_y fract_z"
    )
    assert convert.formula(cif.read(content)) == found


def test_oxidation_states_come_from_symbols_or_their_table() -> None:
    charged = SITES.replace("Na 0", "Na1+ 0").replace("Cl 0", "Cl-1 0")
    assert set(cif.read(text(ALL, charged)).oxidation_states.tolist()) == {1, -1}
    table = "loop_\n_atom_type_symbol\n_atom_type_oxidation_number\nNa 1\nCl -1\n"
    assert set(cif.read(text(ALL + table)).oxidation_states.tolist()) == {1, -1}
    assert "_atom_type_oxidation_number 1" in refusal(
        text(ALL + table.replace("Na 1", "Na2+ 1"), charged.replace("Na1+", "Na2+"))
    )


# --- text ---


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("data_x", "\ufeffdata_x"),
        ("data_x", "DATA_X"),
        ("loop_", "LOOP_"),
        ("_atom_site_", "_ATOM_SITE_"),
        ("_atom_site_", "_atom_site."),
        ("\n", "\r\n"),
        ("data_x", "data_publ\n_publ_section_comment\n;\nThe item _atom_site_fract_x was refined.\n;\ndata_x"),
        (
            "data_x\n",
            "data_x\n_publ_section_comment\n;\nMeasured at 100 K;\ndata_ by M\u00fcller\n;\n",
        ),
        ("Na1 Na 0 0 0", "Na1\N{PRIME} Na \N{MINUS SIGN}0.0 0 0"),
        ("Na1 Na 0", "Na1\N{NO-BREAK SPACE}Na 0"),
    ],
)
def test_the_same_text_as_other_programs_write_it(old: str, new: str) -> None:
    assert_same(without_states(NACL), cif.read(text(SYMBOL).replace(old, new)), tolerance=1e-9)


def test_a_site_without_a_loop_is_read() -> None:
    site = "".join(
        f"_atom_site_{name} {value}\n" for name, value in zip(COLUMNS.split(), ["Po1", "Po", 0, 0, 0], strict=True)
    )
    assert len(cif.read(f"data_Po\n{CUBE}_symmetry_space_group_name_H-M 'P m -3 m'\n{site}")) == 1
