"""Writes the table of textbook crystals that ships: `python benchmarks/textbook_crystals.py OUT.parquet`.

Prototypes with their space groups, positions and free parameters as crystallography textbooks print them, and lattice
parameters (Å, near room temperature) of the compounds that have them: facts, put together for this project and free to
use under its licence. Each crystal is made from its asymmetric unit and held to its space group and to the shortest
distance that its atoms may have. The file is for trying things out; it is too small to train or to measure on.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from ase.spacegroup import crystal as expand

from materium.convert import formula, from_atoms
from materium.symmetry import space_groups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from materium.crystal import Crystal

THIRD, EIGHTH = 1 / 3, 1 / 8
SHORTEST = 0.9
"""Å; hydroxides hold O-H of 0.96."""
SYMPREC = 0.01


class Prototype(NamedTuple):
    """A structure type.

    Attributes
    ----------
    name, group
        Its usual name, and the number of its space group.
    sites
        One position of each orbit; a letter is a free parameter.
    lines
        A compound each: its elements in the order of the orbits, then the lattice parameters a (b) c that its system
        leaves free, then the free parameters in the order of their letters.
    setting
        Origin choice, as the International Tables number them; of rhombohedral groups 1 is the hexagonal cell.
    """

    name: str
    group: int
    sites: tuple[tuple[Any, Any, Any], ...]
    lines: str
    setting: int = 1


PROTOTYPES = (
    Prototype("face-centred cubic", 225, ((0, 0, 0),), """
        Cu 3.615; Ag 4.086; Au 4.078; Al 4.050; Ni 3.524; Pt 3.924; Pd 3.891; Pb 4.951"""),
    Prototype("body-centred cubic", 229, ((0, 0, 0),), """
        Li 3.510; Na 4.291; K 5.328; V 3.024; Nb 3.301; Cr 2.885; Mo 3.147; W 3.165; Fe 2.866"""),
    Prototype("hexagonal close-packed", 194, ((THIRD, 2 * THIRD, 0.25),), """
        Be 2.286 3.584; Mg 3.209 5.211; Ti 2.951 4.684; Zr 3.232 5.147; Co 2.507 4.069; Zn 2.665 4.947"""),
    Prototype("diamond", 227, ((0, 0, 0),), "C 3.567; Si 5.431; Ge 5.658; Sn 6.489"),
    Prototype("graphite", 194, ((0, 0, 0.25), (THIRD, 2 * THIRD, 0.25)), "C C 2.464 6.711"),
    Prototype("arsenic", 166, ((0, 0, "z"),), "As 3.760 10.548 0.227; Sb 4.307 11.273 0.2335; Bi 4.546 11.862 0.234"),
    Prototype("rock salt", 225, ((0, 0, 0), (0.5, 0.5, 0.5)), """
        Li F 4.026; Li Cl 5.130; Li Br 5.501; Na F 4.620; Na Cl 5.640; Na Br 5.973; Na I 6.473; K F 5.347; K Cl 6.293
        K Br 6.600; K I 7.066; Rb Cl 6.581; Ag Cl 5.549; Ag Br 5.775; Mg O 4.213; Ca O 4.811; Sr O 5.160; Ba O 5.539
        Mn O 4.445; Co O 4.261; Ni O 4.177; Cd O 4.695; Mg S 5.201; Ca S 5.695; Pb S 5.936; Pb Te 6.462; Sn Te 6.327
        Ti N 4.242; V N 4.139; Ti C 4.328; Zr C 4.698"""),
    Prototype("caesium chloride", 221, ((0, 0, 0), (0.5, 0.5, 0.5)), """
        Cs Cl 4.123; Cs Br 4.286; Cs I 4.567; Tl Cl 3.834; Ni Al 2.887; Cu Zn 2.945"""),
    Prototype("zinc blende", 216, ((0, 0, 0), (0.25, 0.25, 0.25)), """
        Zn S 5.409; Zn Se 5.668; Zn Te 6.103; Cd Te 6.482; Hg Te 6.460; Al P 5.463; Al As 5.661; Al Sb 6.136; Ga P 5.451
        Ga As 5.653; Ga Sb 6.096; In P 5.869; In As 6.058; In Sb 6.479; B N 3.615; B P 4.538; Si C 4.360
        Cu Cl 5.416"""),
    Prototype("wurtzite", 186, ((THIRD, 2 * THIRD, 0), (THIRD, 2 * THIRD, "z")), """
        Zn O 3.250 5.207 0.382; Zn S 3.823 6.261 0.3748; Cd S 4.136 6.713 0.377; Cd Se 4.299 7.010 0.3767
        Be O 2.698 4.377 0.378; Al N 3.112 4.982 0.382; Ga N 3.189 5.185 0.377"""),
    Prototype("nickel arsenide", 194, ((0, 0, 0), (THIRD, 2 * THIRD, 0.25)), """
        Ni As 3.619 5.034; Mn Te 4.148 6.711; Au Sn 4.323 5.523"""),
    Prototype("hexagonal boron nitride", 194, ((THIRD, 2 * THIRD, 0.25), (THIRD, 2 * THIRD, 0.75)), "B N 2.504 6.661"),
    Prototype("fluorite", 225, ((0, 0, 0), (0.25, 0.25, 0.25)), """
        Ca F 5.463; Sr F 5.800; Ba F 6.200; Cd F 5.388; Pb F 5.940; Ce O 5.411; Th O 5.597; U O 5.471
        O Li 4.619; O K 6.436; S Li 5.708; Si Mg 6.351"""),
    Prototype("rutile", 136, ((0, 0, 0), ("x", "x", 0)), """
        Ti O 4.594 2.959 0.305; Sn O 4.737 3.186 0.307; Mn O 4.399 2.873 0.305; Ru O 4.499 3.107 0.306
        V O 4.554 2.856 0.300; Cr O 4.421 2.916 0.302; Mg F 4.621 3.052 0.303; Fe F 4.697 3.309 0.300
        Zn F 4.704 3.134 0.303"""),
    Prototype("anatase", 141, ((0, 0, 0), (0, 0, "z")), "Ti O 3.785 9.514 0.208"),
    Prototype("pyrite", 205, ((0, 0, 0), ("x", "x", "x")), "Fe S 5.418 0.385; Ni S 5.687 0.394; C O 5.630 0.118"),
    Prototype("molybdenite", 194, ((THIRD, 2 * THIRD, 0.25), (THIRD, 2 * THIRD, "z")), """
        Mo S 3.160 12.294 0.621; W S 3.153 12.323 0.6225"""),
    Prototype("cadmium iodide", 164, ((0, 0, 0), (THIRD, 2 * THIRD, "z")), """
        Cd I 4.244 6.855 0.249; Ti S 3.407 5.696 0.25"""),
    Prototype("brucite", 164, ((0, 0, 0), (THIRD, 2 * THIRD, "a"), (THIRD, 2 * THIRD, "b")), """
        Mg O H 3.147 4.769 0.220 0.425; Ca O H 3.589 4.911 0.234 0.425"""),
    Prototype("cuprite", 224, ((0, 0, 0), (0.25, 0.25, 0.25)), "O Cu 4.270; O Ag 4.720"),
    Prototype("quartz", 154, (("x", 0, 2 * THIRD), ("a", "b", "c")), "Si O 4.913 5.405 0.4697 0.4135 0.2669 0.7858"),
    Prototype("magnesium diboride", 191, ((0, 0, 0), (THIRD, 2 * THIRD, 0.5)), "Mg B 3.086 3.524"),
    Prototype("corundum", 167, ((0, 0, "z"), ("x", 0, 0.25)), """
        Al O 4.759 12.993 0.3522 0.3064; Cr O 4.958 13.594 0.3475 0.3058; Fe O 5.034 13.752 0.3553 0.3059
        V O 4.952 14.003 0.3463 0.3118"""),
    Prototype("lanthanum oxide", 164, ((THIRD, 2 * THIRD, "a"), (THIRD, 2 * THIRD, "b"), (0, 0, 0)), """
        La O O 3.937 6.129 0.245 0.645"""),
    Prototype("tetradymite", 166, ((0, 0, "a"), (0, 0, "b"), (0, 0, 0)), """
        Bi Te Te 4.383 30.487 0.400 0.212; Sb Te Te 4.264 30.458 0.399 0.211; Bi Se Se 4.138 28.640 0.399 0.206"""),
    Prototype("rhenium trioxide", 221, ((0, 0, 0), (0.5, 0, 0)), "Re O 3.748; N Cu 3.817"),
    Prototype("auricupride", 221, ((0, 0, 0), (0, 0.5, 0.5)), "Au Cu 3.748; Al Ni 3.572"),
    Prototype("A15", 223, ((0, 0, 0), (0.25, 0, 0.5)), "Sn Nb 5.289"),
    Prototype("Laves phase C15", 227, ((EIGHTH, EIGHTH, EIGHTH), (0.5, 0.5, 0.5)), "Mg Cu 7.034", 2),
    Prototype("hexaboride", 221, ((0, 0, 0), ("x", 0.5, 0.5)), "Ca B 4.145 0.202; La B 4.157 0.1993"),
    Prototype("Heusler", 225, ((0, 0, 0), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)), "Mn Al Cu 5.950"),
    Prototype("half-Heusler", 216, ((0, 0, 0), (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)), "Ti Sn Ni 5.921"),
    Prototype("perovskite", 221, ((0.5, 0.5, 0.5), (0, 0, 0), (0.5, 0, 0)), """
        Sr Ti O 3.905; Ba Zr O 4.193; Ba Sn O 4.116; K Ta O 3.989; Sr V O 3.843; K Mg F 3.989; K Mn F 4.190
        Rb Ca F 4.455"""),
    Prototype("spinel", 227, ((EIGHTH, EIGHTH, EIGHTH), (0.5, 0.5, 0.5), ("x", "x", "x")), """
        Mg Al O 8.083 0.2624; Zn Al O 8.086 0.2636; Co Al O 8.104 0.2640; Mg Cr O 8.333 0.2612; Zn Fe O 8.441 0.2606
        Li Mn O 8.247 0.2632; Fe Fe O 8.396 0.2549; Co Co O 8.084 0.2631""", 2),
    Prototype("chalcopyrite", 122, ((0, 0, 0), (0, 0, 0.5), ("x", 0.25, EIGHTH)), """
        Cu Fe S 5.289 10.423 0.257; Cu In Se 5.782 11.619 0.224; Ag Ga S 5.757 10.304 0.291"""),
    Prototype("calcite", 167, ((0, 0, 0), (0, 0, 0.25), ("x", 0, 0.25)), """
        Ca C O 4.990 17.062 0.2568; Mg C O 4.633 15.015 0.2778"""),
    Prototype("layered lithium cobalt oxide", 166, ((0, 0, 0.5), (0, 0, 0), (0, 0, "z")), "Li Co O 2.816 14.050 0.260"),
    Prototype("zircon", 141, ((0, 0.75, EIGHTH), (0, 0.25, 3 / 8), (0, "y", "z")), """
        Zr Si O 6.607 5.982 0.0661 0.1953""", 2),
    Prototype("potassium hexachloroplatinate", 225, ((0.25, 0.25, 0.25), (0, 0, 0), ("x", 0, 0)), """
        K Pt Cl 9.743 0.2395"""),
    Prototype("orthorhombic perovskite", 62, (
        (0.036, 0.25, 0.993), (0, 0, 0.5), (0.484, 0.25, 0.071), (0.289, 0.037, 0.711)), "Ca Ti O O 5.442 7.640 5.380"),
)  # fmt: skip


def crystals() -> Iterator[tuple[str, int, Crystal]]:
    """Yield prototype, space group and primitive cell of each compound, in the order of the table."""
    for prototype in PROTOTYPES:
        for line in prototype.lines.replace("\n", ";").split(";"):
            if line.strip():
                yield prototype.name, prototype.group, made(prototype, line.split())


def made(prototype: Prototype, words: list[str]) -> Crystal:
    """Return a compound's crystal, held to its space group."""
    elements = [word for word in words if word.isalpha()]
    numbers = [float(word) for word in words if not word.isalpha()]
    cell, rest = lattice(prototype.group, numbers)
    letters = dict.fromkeys(one for site in prototype.sites for one in site if isinstance(one, str))
    values = dict(zip(letters, rest, strict=True))
    basis = [[values.get(one, one) for one in site] for site in prototype.sites]
    atoms = expand(
        elements, basis, spacegroup=prototype.group, setting=prototype.setting, cellpar=cell, primitive_cell=True
    )
    crystal = from_atoms(atoms)
    found = space_groups(crystal, SYMPREC, SYMPREC / 10)
    if set(found) != {prototype.group} or crystal.min_distance < SHORTEST:
        message = f"{' '.join(words)}: space group {found}, shortest distance {crystal.min_distance:.2f} Å"
        raise ValueError(message)
    return crystal


def lattice(group: int, numbers: list[float]) -> tuple[list[float], list[float]]:
    """Return cell lengths and angles, and the numbers that are left."""
    if group >= 195:
        return [numbers[0]] * 3 + [90.0] * 3, numbers[1:]
    if group >= 143:
        return [numbers[0], numbers[0], numbers[1], 90, 90, 120], numbers[2:]
    if group >= 75:
        return [numbers[0], numbers[0], numbers[1], 90, 90, 90], numbers[2:]
    return [*numbers[:3], 90, 90, 90], numbers[3:]


def table() -> pa.Table:
    """Return the table: name, prototype, formula, space group and structure of each crystal."""
    rows = list(crystals())
    return pa.table(
        {
            "id": [f"{formula(crystal)}-{prototype.replace(chr(32), chr(45))}" for prototype, _, crystal in rows],
            "formula": [formula(crystal) for _, _, crystal in rows],
            "prototype": [prototype for prototype, _, _ in rows],
            "space_group": [group for _, group, _ in rows],
            "num_sites": [len(crystal) for _, _, crystal in rows],
            "cell": [crystal.lattice.round(6).ravel().tolist() for _, _, crystal in rows],
            "atomic_numbers": [crystal.numbers.tolist() for _, _, crystal in rows],
            "frac_coords": [crystal.frac_coords.round(6).ravel().tolist() for _, _, crystal in rows],
        }
    )


if __name__ == "__main__":
    target = Path(sys.argv[1])
    pq.write_table(table(), target, compression="zstd")
    print(f"{target}: {table().num_rows} crystals, {target.stat().st_size / 1e3:.0f} kB")
