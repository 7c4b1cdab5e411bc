"""Write real crystals in any setting of their space group, in seven formats, and read them back.

    python benchmarks/round_trips.py TABLE [--crystals 500] [--trips 32] [--seed 1] [--part 0/1]

TABLE is one that Materium reads. Each trip draws a setting (moyo's table of 530), a way to say the symmetry, what else
the file says, digits, and a format: CIF, a column `cif` of CSV and Parquet, POSCAR, extxyz, ASE database, JSON of
pymatgen. The last four have the whole cell. Files are written here with moyo's operations and by ASE and pymatgen, not
by what reads them. The last line is JSON: trips by way, as the same crystal, refused or wrong.
"""

import argparse
import csv
import json
import random
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from math import gcd
from pathlib import Path
from typing import Any, NamedTuple

import moyopy
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from ase import Atoms
from ase.db import connect
from ase.io import write as ase_write
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure

from materium import convert
from materium.crystal import Crystal, lengths_angles
from materium.data.readers import checked, read
from materium.errors import MateriumError

SYMPREC = 0.01
NEAR = 0.05
"""Å; a crystal read back is the same if each atom has one of its element within."""
WAYS = (
    "operations",
    "operations and names",
    "dotted operations",
    "magnetic operations",
    "operations of a subgroup",
    "short symbol",
    "full symbol",
    "symbol with its code",
    "number",
    "Hall symbol",
    "symbol beside the identity alone",
    "symbol beside the whole cell",
    "whole cell",
    "symbol beside operations of another setting",
    "operations beside the symbol of another setting",
)
FORMATS = ("cif", "csv", "parquet", "poscar", "extxyz", "db", "json")
TEXTS = ("cif", "csv", "parquet")

Operations = list[tuple[NDArray[np.int64], NDArray[np.float64]]]


class Described(NamedTuple):
    """A crystal in one setting: its cell, all of its atoms, and the operations."""

    hall: int
    crystal: Crystal
    operations: Operations


def halls_of(number: int) -> list[int]:
    """Return the numbers of all settings of a space-group type in moyo's table."""
    return [hall for hall in range(1, 531) if moyopy.HallSymbolEntry(hall).number == number]


def operations_of(hall: int) -> Operations:
    """Return the operations of a setting, those of centring included."""
    entry = moyopy.HallSymbolEntry(hall)
    found = moyopy.operations_from_number(entry.number, setting=moyopy.Setting.hall_number(hall))
    return [(np.array(r), np.array(t)) for r, t in zip(found.rotations, found.translations, strict=True)]


def described(crystal: Crystal, hall: int) -> Described | None:
    """Return the crystal, symmetrised, in a setting of its type, None where the setting's operations do not keep it."""
    cell = moyopy.Cell(crystal.lattice.tolist(), crystal.frac_coords.tolist(), crystal.numbers.tolist())
    try:
        data = moyopy.MoyoDataset(cell, symprec=SYMPREC, setting=moyopy.Setting.hall_number(hall))
    except ValueError:  # moyo does not find its way into every setting
        return None
    found = Crystal(np.array(data.std_cell.basis), np.array(data.std_cell.positions), np.array(data.std_cell.numbers))
    operations = operations_of(hall)
    for rotation, translation in operations:
        if not same(found, Crystal(found.lattice, found.frac_coords @ rotation.T + translation, found.numbers), 1e-3):
            return None
    return Described(hall, found, operations)


def same(one: Crystal, other: Crystal, near: float = NEAR) -> bool:
    """Return whether both have the same lattice parameters, and at each place an atom of the same element."""
    if len(one) != len(other) or not np.allclose(lengths_angles(one.lattice), lengths_angles(other.lattice), atol=0.02):
        return False
    offsets = one.frac_coords[:, None] - other.frac_coords
    distances = np.linalg.norm((offsets - np.round(offsets)) @ one.lattice, axis=-1)
    alike = (distances < near) & (one.numbers[:, None] == other.numbers)
    return bool(alike.any(0).all() and alike.any(1).all())


def triplet(rotation: NDArray[np.int64], translation: NDArray[np.float64]) -> str:
    """Return an operation such as `-x,y+1/2,-z`."""
    parts = []
    for row, shift in zip(rotation.tolist(), translation.tolist(), strict=True):
        axes = "".join(
            f"{'+' if n > 0 else '-'}{axis}" for n, axis in zip(row, "xyz", strict=True) for _ in range(abs(n))
        )
        twelfths = round(shift * 24) % 24
        common = gcd(twelfths, 24)
        parts.append(axes.lstrip("+") + (f"+{twelfths // common}/{24 // common}" if twelfths else ""))
    return ",".join(parts)


def representatives(
    crystal: Crystal, operations: Operations, rng: random.Random
) -> list[tuple[int, NDArray[np.float64], int]]:
    """Return one site of each orbit, a random one: atomic number, position, multiplicity."""
    left = list(range(len(crystal)))
    found = []
    while left:
        images = np.array([rotation @ crystal.frac_coords[left[0]] + shift for rotation, shift in operations])
        offsets = crystal.frac_coords[left][:, None] - images
        distances = np.linalg.norm((offsets - np.round(offsets)) @ crystal.lattice, axis=-1)
        orbit = [index for index, row in zip(left, distances, strict=True) if row.min() < NEAR / 10]
        chosen = crystal.frac_coords[rng.choice(orbit)] + rng.choice([0, 0, 0, -1, 1])
        found.append((int(crystal.numbers[left[0]]), chosen, len(orbit)))
        left = [index for index in left if index not in orbit]
    return found


def subgroup(operations: Operations, rng: random.Random) -> Operations:
    """Return the operations that one or two random ones generate, with or without the centring."""
    key = {triplet(*one): one for one in operations}
    chosen = rng.sample(sorted(key), k=min(len(key), rng.choice([1, 1, 2])))
    group = {"x,y,z": (np.eye(3, dtype=int), np.zeros(3))}
    fresh = [key[name] for name in chosen]
    while fresh:
        rotation, shift = fresh.pop()
        name = triplet(rotation, shift)
        if name not in group:
            group[name] = (rotation, shift)
            fresh += [(rotation @ r, rotation @ t + shift) for r, t in group.values()]
            fresh += [(r @ rotation, r @ shift + t) for r, t in group.values()]
    return list(group.values())


def cif_of(one: Described, way: str, rng: random.Random) -> str | None:  # noqa: C901, PLR0912 # a list of ways
    """Return a CIF that says the symmetry in a way, with random digits and further statements; None where none can."""
    entry = moyopy.HallSymbolEntry(one.hall)
    hall = entry.hall_symbol.replace("=", '"')
    operations, listed = one.operations, [triplet(*op) for op in one.operations]
    others = [h for h in halls_of(entry.number) if h != one.hall]
    code = entry.setting[:1] if entry.setting[:1] in ("1", "2", "H", "R") else ""
    coded = f"{entry.hm_short}:{code}" if code else entry.hm_full
    lines = []
    if way.startswith(("whole", "symbol beside the whole")):
        operations, listed = [(np.eye(3, dtype=int), np.zeros(3))], ["x,y,z"]
    elif way == "operations of a subgroup":
        operations = subgroup(operations, rng)
        listed = [triplet(*op) for op in operations]
    elif way == "symbol beside the identity alone":
        listed = ["x,y,z"]
    elif way in ("short symbol", "full symbol", "symbol with its code", "number", "Hall symbol"):
        listed = []
    elif way == "symbol beside operations of another setting":
        if not others:
            return None
        listed = [triplet(*op) for op in operations_of(rng.choice(others))]
    if way in (
        "short symbol",
        "operations and names",
        "symbol beside the identity alone",
        "symbol beside the whole cell",
    ):
        lines.append(f"_symmetry_space_group_name_H-M '{entry.hm_short}'")
    if way in ("full symbol", "operations and names"):
        lines.append(f"_space_group_name_H-M_alt '{entry.hm_full}'")
    if way in ("symbol with its code", "symbol beside operations of another setting"):
        lines.append(f"_space_group_name_H-M_alt '{coded}'")
    if way in ("number", "operations and names"):
        lines.append(f"_symmetry_Int_Tables_number {entry.number}")
    if way in ("Hall symbol", "operations and names"):
        lines.append(f"_space_group_name_Hall '{hall}'")
    if way == "operations beside the symbol of another setting":
        if not others:
            return None
        other = moyopy.HallSymbolEntry(rng.choice(others))
        mark = f":{other.setting[:1]}" if other.setting[:1] in ("1", "2", "H", "R") else ""
        lines.append(f"_space_group_name_H-M_alt '{other.hm_full if not mark else other.hm_short + mark}'")
    rng.shuffle(listed)
    if listed and way == "magnetic operations":
        signed = [f"'{text},{rng.choice(['+1', '-1'])}'" for text in listed]
        lines += ["loop_", "_space_group_symop_magn_operation.xyz", *signed]
    elif listed:
        name = "_space_group_symop.operation_xyz" if way == "dotted operations" else "_symmetry_equiv_pos_as_xyz"
        lines += ["loop_", name, *(f"'{text}'" for text in listed)]
    sites = representatives(one.crystal, operations, rng)
    return _text(one.crystal, sites, lines, rng)


def _text(
    crystal: Crystal, sites: Sequence[tuple[int, NDArray[np.float64], int]], lines: list[str], rng: random.Random
) -> str:
    digits = rng.choice([3, 4, 5, 8])
    symbols = convert.symbols(number for number, _, _ in sites)
    counts = Counter(convert.symbols(crystal.numbers))
    units = gcd(*counts.values())
    size = max(4, digits)
    lengths = [f"{value:.{size}f}" for value in crystal.lengths_angles]
    names = [f"_cell_length_{axis}" for axis in "abc"] + [
        f"_cell_angle_{angle}" for angle in ("alpha", "beta", "gamma")
    ]
    head = [f"{name} {value}" for name, value in zip(names, lengths, strict=True)]
    if rng.random() < 0.5:
        per = rng.choice([1, units])
        head.append(f"_chemical_formula_sum '{' '.join(f'{s}{n // per}' for s, n in counts.items())}'")
        if rng.random() < 0.5:
            head.append(f"_cell_formula_units_Z {units}")
    if rng.random() < 0.25:
        head.append(f"_exptl_crystal_density_diffrn {crystal.density:.3f}")
    if rng.random() < 0.25:
        head.append(f"_cell_volume {crystal.volume:.2f}")
    counted = rng.random() < 0.25
    loop = ["loop_", "_atom_site_label", "_atom_site_type_symbol", "_atom_site_fract_x", "_atom_site_fract_y"]
    loop += ["_atom_site_fract_z", *(["_atom_site_symmetry_multiplicity"] if counted else [])]
    for index, ((_, place, multiplicity), symbol) in enumerate(zip(sites, symbols, strict=True)):
        xyz = " ".join(f"{value:.{digits}f}" for value in place)
        loop.append(f"{symbol}{index} {symbol} {xyz}" + (f" {multiplicity}" if counted else ""))
    blocks = [head, lines, loop] if rng.random() < 0.5 else [lines, head, loop]
    return "\n".join(["data_x", *(line for block in blocks for line in block), ""])


def outcomes(path: Path, expected: Sequence[Crystal]) -> list[str]:
    """Return what became of each crystal of a file: same, refused, or wrong."""
    try:
        rows = list(checked(read(path)))
    except MateriumError:
        return ["refused"] * len(expected)
    if len(rows) != len(expected):
        return ["wrong"] * len(expected)
    found = [row.crystal for row in rows]
    return [
        "refused" if back is None else "same" if same(crystal, back) else "wrong"
        for crystal, back in zip(expected, found, strict=True)
    ]


def write(path: Path, format_: str, trips: Sequence[tuple[Crystal, str]]) -> None:
    """Write crystals, or the texts that stand for them, into one file."""
    texts = [text for _, text in trips]
    atoms = [Atoms(c.numbers, cell=c.lattice, scaled_positions=c.frac_coords, pbc=True) for c, _ in trips]
    if format_ == "cif":
        path.write_text(texts[0], encoding="utf-8")
    elif format_ == "csv":
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["id", "cif"], *([index, text] for index, text in enumerate(texts))])
    elif format_ == "parquet":
        pq.write_table(pa.table({"cif": texts}), path)
    elif format_ == "db":
        with connect(path) as database:
            for one in atoms:
                database.write(one)
    elif format_ == "json":
        structures = [Structure(Lattice(c.lattice), c.numbers.tolist(), c.frac_coords).as_dict() for c, _ in trips]
        path.write_text(json.dumps(structures), encoding="utf-8")
    else:
        ase_write(path, atoms if format_ == "extxyz" else atoms[0], format="vasp" if format_ == "poscar" else "extxyz")


def chosen(table: Path, count: int) -> list[Crystal]:
    """Return crystals of the table, of as many space-group types as there are."""
    by_type: dict[int, list[Crystal]] = {}
    for row in read(table):
        if row.crystal is not None:
            c = row.crystal
            cell = moyopy.Cell(c.lattice.tolist(), c.frac_coords.tolist(), c.numbers.tolist())
            by_type.setdefault(moyopy.MoyoDataset(cell, symprec=SYMPREC).number, []).append(c)
    turns = max(map(len, by_type.values()))
    found = [
        (number, group[turn]) for turn in range(turns) for number, group in sorted(by_type.items()) if turn < len(group)
    ]
    return [crystal for _, crystal in found[:count]]


def main() -> None:
    """Run the trips and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--crystals", type=int, default=500)
    parser.add_argument("--trips", type=int, default=32)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--part", default="0/1", help="I/N: every Nth crystal from the Ith on")
    parser.add_argument("--keep", type=Path, help="folder for the texts that were read as another crystal")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    part, parts = map(int, arguments.part.split("/"))
    crystals = list(enumerate(chosen(arguments.table, arguments.crystals)))[part::parts]
    counts: dict[str, Counter[str]] = {}
    halls: set[int] = set()
    for index, crystal in crystals:
        rng = random.Random(f"{arguments.seed} {index}")  # noqa: S311 # no secret
        for format_, trips in _trips(crystal, arguments.trips, rng, halls).items():
            for way, outcome, text in _read_back(format_, trips):
                for name in (way, format_, "all"):
                    counts.setdefault(name, Counter())[outcome] += 1
                if outcome == "wrong" and arguments.keep:
                    arguments.keep.mkdir(exist_ok=True)
                    (arguments.keep / f"{index}-{counts['all'].total()}-{way.replace(' ', '_')}.cif").write_text(text)
    for name, found in counts.items():
        print(f"{name:50} same {found['same']:6} refused {found['refused']:6} wrong {found['wrong']:4}")
    print(json.dumps({"crystals": len(crystals), "settings": len(halls), **{k: dict(v) for k, v in counts.items()}}))


def _trips(
    crystal: Crystal, count: int, rng: random.Random, halls: set[int]
) -> dict[str, list[tuple[str, Crystal, str]]]:
    cell = moyopy.Cell(crystal.lattice.tolist(), crystal.frac_coords.tolist(), crystal.numbers.tolist())
    settings = halls_of(moyopy.MoyoDataset(cell, symprec=SYMPREC).number)
    trips: dict[str, list[tuple[str, Crystal, str]]] = {}
    cache: dict[int, Described | None] = {}
    for _ in range(count):
        hall, way, format_ = rng.choice(settings), rng.choice(WAYS), rng.choice(FORMATS)
        if hall not in cache:
            cache[hall] = described(crystal, hall)
        one = cache[hall]
        text = cif_of(one, way, rng) if one else None
        if one is None or text is None:
            continue
        halls.add(hall)
        trips.setdefault(format_, []).append((way if format_ in TEXTS else "whole cell", one.crystal, text))
    return trips


def _read_back(format_: str, trips: Sequence[tuple[str, Crystal, str]]) -> list[tuple[str, str, str]]:
    single = format_ in ("cif", "poscar")
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for number, group in enumerate([[trip] for trip in trips] if single else [trips]):
            path = Path(folder) / f"{number}.{'vasp' if format_ == 'poscar' else format_}"
            write(path, format_, [(crystal, text) for _, crystal, text in group])
            results: list[Any] = outcomes(path, [crystal for _, crystal, _ in group])
            found += [(way, result, text) for (way, _, text), result in zip(group, results, strict=True)]
    return found


if __name__ == "__main__":
    main()
