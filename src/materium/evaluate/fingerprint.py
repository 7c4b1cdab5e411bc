"""What names a crystal among others: formula, space group, Wyckoff positions, and a geometry that changes smoothly.

The first three jump when an atom crosses a tolerance; the last, average minimum distances, moves by at most twice what
the atoms move. Oxidation states are ignored; cell, origin, orientation and order of the sites change nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from materium import convert
from materium.crystal import Crystal, lattice_from_parameters
from materium.errors import CrystalError
from materium.evaluate.measure import SYMPREC
from materium.symmetry import dataset_of  # one search gives group, letters and primitive cell

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import moyopy
    from numpy.typing import NDArray

    Renaming = dict[str, str]
    """From letters of Wyckoff positions to letters."""

NEIGHBOURS = 24
"""Distances to any atom; two shells of close packing hold 18, three hold 42."""
ALIKE = 12
"""Distances to atoms of the same element, which tell orderings of elements on the same sites apart."""
REACH = 1.3
"""First radius of the search, relative to the sphere that holds the neighbours at the crystal's density."""
MAX_IMAGES = 200_000
"""Cells within the radius; a crystal that needs more is a needle or a sheet thinner than any atom."""
BLOCK = 1_000_000
"""Distances that are held at once."""
EXACT = 1e-4
"""Å; finds the symmetry of positions that are symmetric but for rounding."""
GENERIC_CELLS = {
    2: (5.0, 6.1, 7.3, 83.0, 77.0, 101.0),
    15: (5.0, 6.1, 7.3, 90.0, 103.0, 90.0),
    74: (5.0, 6.1, 7.3, 90.0, 90.0, 90.0),
    142: (5.0, 5.0, 7.3, 90.0, 90.0, 90.0),
    194: (5.0, 5.0, 7.3, 90.0, 90.0, 120.0),
    230: (5.0, 5.0, 5.0, 90.0, 90.0, 90.0),
}
"""By the last space group of each crystal family: conventional axes that nothing but the family makes equal."""


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """A crystal's name among others.

    Attributes
    ----------
    formula
        Reduced formula in pymatgen's spelling.
    space_group
        International number at `measure.SYMPREC`; 0 where moyo finds no symmetry.
    wyckoff
        For each element the letters of its sites in the standard cell, in International Tables' order, each after the
        number of atoms that the primitive cell has there: `O:4f Ti:2a`. Of the settings that the Euclidean normaliser
        leaves open, the one that sorts first. Empty where moyo finds no symmetry.
    amd
        Average minimum distances, shape (36,), float32: the distance to the k-th neighbour, averaged over the atoms and
        divided by the cube root of the volume per atom, so that it has no unit and ignores the scale, as pymatgen's
        StructureMatcher does. 24 to neighbours of any element, then 12 to neighbours of the atom's own.
    """

    formula: str
    space_group: int
    wyckoff: str
    amd: NDArray[np.float32]

    @property
    def num_sites(self) -> int:
        """Atoms in the primitive cell at `measure.SYMPREC`; 0 where moyo finds no symmetry."""
        return num_sites(self.wyckoff)

    @property
    def structure_type(self) -> str:
        """Space group and Wyckoff positions without the elements: `136 2a 4f`; empty where there is no symmetry."""
        return structure_type(self.space_group, self.wyckoff)


def structure_type(space_group: int, wyckoff: str) -> str:
    """Return the name of a structure type from a space group and `Fingerprint.wyckoff`.

    Which positions are held by one element is kept, so that the anonymous formula follows from it.
    """
    if not wyckoff:
        return ""
    return " ".join([str(space_group), *sorted(part.partition(":")[2] for part in wyckoff.split(" "))])


def num_sites(wyckoff: str) -> int:
    """Return the number of atoms in the primitive cell that `Fingerprint.wyckoff` tells; 0 of an empty one."""
    return sum(int(count) for count in re.findall(r"\d+", wyckoff))


def fingerprint(crystal: Crystal) -> Fingerprint:
    """Return the fingerprint of a crystal without overlapping atoms.

    Raises
    ------
    CrystalError
        If the cell is so thin that its neighbours cannot be listed.
    """
    space_group, wyckoff = wyckoff_positions(crystal)
    return Fingerprint(convert.formula(crystal), space_group, wyckoff, average_minimum_distances(crystal))


def distance(one: Fingerprint, other: Fingerprint) -> float:
    """Return how far two geometries are from each other: the largest difference of scaled distances; no unit.

    Elements are not compared. For two crystals of one cell volume, atoms that move by at most ε change it by at most 2ε
    over the cube root of the volume per atom.
    """
    return float(np.abs(one.amd - other.amd).max())


@lru_cache(maxsize=8)
def wyckoff_positions(crystal: Crystal, symprec: float = SYMPREC) -> tuple[int, str]:
    """Return space group and Wyckoff positions as in `Fingerprint`: 0 and an empty text where moyo finds none."""
    try:
        found = dataset_of(Crystal(crystal.lattice, crystal.frac_coords, crystal.numbers), symprec)
    except CrystalError:
        return 0, ""
    return found.number, _positions(found, crystal.numbers)


def _positions(found: moyopy.MoyoDataset, numbers: NDArray[np.int64]) -> str:
    """The first, in order of letters, of the names that the Euclidean normaliser makes equal."""
    _, first = np.unique(found.mapping_std_prim, return_index=True)
    elements = convert.symbols(numbers[first])
    letters = [found.wyckoffs[site] for site in first]
    return min(_name(elements, [renamed[letter] for letter in letters]) for renamed in _renamings(found))


def _renamings(found: moyopy.MoyoDataset) -> list[Renaming]:
    """How the normaliser renames the occupied positions: NaCl has Na on a and Cl on b, or the other way round.

    It costs moyo five times a symmetry search, and depends on nothing but the group and the letters, so it is kept.
    """
    key = found.number, frozenset(found.wyckoffs)
    if key not in _known_renamings():
        _known_renamings().update(_generic_renamings(found))
    return _known_renamings().get(key, [{letter: letter for letter in key[1]}])


@cache
def _known_renamings() -> dict[tuple[int, frozenset[str]], list[Renaming]]:
    return {}


def _generic_renamings(found: moyopy.MoyoDataset) -> dict[tuple[int, frozenset[str]], list[Renaming]]:
    """Renamings of these letters, and of those that they are renamed to.

    The standard cell is brought to axes of no accidental equality, so that two crystals of one group are treated alike,
    and to a tolerance that its exact positions need no more of.
    """
    import moyopy

    cell = found.std_cell
    lattice = _generic_lattice(found.number)
    lattice *= np.cbrt(abs(np.linalg.det(cell.basis)) / np.linalg.det(lattice))
    exact = moyopy.Cell(lattice.tolist(), cell.positions, cell.numbers)
    try:
        again = moyopy.MoyoDataset(exact, symprec=EXACT, setting=moyopy.Setting.standard())
        ways = again.normalizer_wyckoff_positions(primitive=True)
    except ValueError:
        return {}
    own = [position.letter for position in ways.wyckoffs]
    maps = [dict(zip(own, (p.letter for p in way), strict=True)) for _, way in ways.coset_representatives]
    return {
        (found.number, frozenset(image.values())): [{image[x]: other[x] for x in image} for other in maps]
        for image in maps
    }


def _generic_lattice(space_group: int) -> NDArray[np.float64]:
    last = next(last for last in GENERIC_CELLS if space_group <= last)
    return lattice_from_parameters(GENERIC_CELLS[last])


def _name(elements: Sequence[str], letters: Sequence[str]) -> str:
    counts = Counter(zip(elements, letters, strict=True))
    parts: dict[str, list[str]] = {}
    for (element, letter), count in sorted(counts.items()):
        parts.setdefault(element, []).append(f"{count}{letter}")
    return " ".join(f"{element}:{'+'.join(own)}" for element, own in parts.items())


def average_minimum_distances(crystal: Crystal) -> NDArray[np.float32]:
    """Return the distances of `Fingerprint.amd`, shape (36,).

    D. Widdowson, M. Mosca, A. Pulido, A. Cooper, V. Kurlin, MATCH Commun. Math. Comput. Chem. 87, 529 (2022); scaled
    here by the cube root of the volume per atom, and taken again of each element's atoms alone.

    Raises
    ------
    CrystalError
        If the cell is so thin that its neighbours cannot be listed.
    """
    lattice, frac = reduced_cell(crystal)
    parts = [frac[crystal.numbers == z] for z in np.unique(crystal.numbers)]
    among_all = neighbour_distances(lattice, frac, NEIGHBOURS).mean(axis=0)
    alike = np.concatenate([neighbour_distances(lattice, part, ALIKE) for part in parts]).mean(axis=0)
    scale = np.cbrt(crystal.volume / len(crystal))
    return np.asarray(np.concatenate([among_all, alike]) / scale, dtype=np.float32)


def neighbour_distances(
    lattice: NDArray[np.float64], frac: NDArray[np.float64], neighbours: int
) -> NDArray[np.float64]:
    """Return each site's distances to its nearest others in a reduced lattice, Å, ascending, shape (n, k).

    Raises
    ------
    CrystalError
        If the cell is so thin that they cannot be listed.
    """
    volume = abs(float(np.linalg.det(lattice)))
    radius = REACH * float(np.cbrt(3 * (neighbours + 1) * volume / (4 * np.pi * len(frac))))
    found = _nearest(lattice, frac, radius, neighbours)
    if found[:, -1].max() > radius:  # what was found is an upper bound: within it nothing can be left out
        found = _nearest(lattice, frac, float(found[:, -1].max()), neighbours)
    return found


def reduced_cell(crystal: Crystal) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the Niggli-reduced lattice, shape (3, 3), Å, and the sites in it, shape (n, 3)."""
    import moyopy

    basis, transform = moyopy.niggli_reduce(crystal.lattice.tolist())
    return np.array(basis), crystal.frac_coords @ np.linalg.inv(np.array(transform).T)


def _nearest(
    lattice: NDArray[np.float64], frac: NDArray[np.float64], radius: float, neighbours: int
) -> NDArray[np.float64]:
    """Each atom's smallest distances among the images that reach into the radius, and at least among 27 cells."""
    blocks = squared_distances(lattice, frac, _images(lattice, radius, neighbours))
    flat = (block.reshape(len(block), -1) for block in blocks)
    smallest = [np.partition(block, neighbours, axis=1)[:, : neighbours + 1] for block in flat]
    squares = np.sort(np.concatenate(smallest), axis=1)[:, 1:]  # the first is the atom itself
    return np.asarray(np.sqrt(np.maximum(squares, 0)))


def _images(lattice: NDArray[np.float64], radius: float, least: int) -> NDArray[np.float64]:
    """Lattice translations that may hold a point within the radius of an offset in [-1/2, 1/2], shape (m, 3)."""
    per_height = np.linalg.norm(np.linalg.inv(lattice), axis=0)
    steps = np.maximum(np.floor(radius * per_height + 0.5), 1).astype(np.int64)
    while np.prod(2 * steps + 1) <= least:
        steps += 1
    if np.prod(2 * steps + 1) > MAX_IMAGES:
        raise CrystalError(f"cell is too thin to list its neighbours: {2 * steps + 1} cells lie within {radius:.1f} Å")
    return np.array(list(product(*(range(-step, step + 1) for step in steps))), dtype=np.float64)


def squared_distances(
    lattice: NDArray[np.float64], frac: NDArray[np.float64], images: NDArray[np.float64]
) -> Iterator[NDArray[np.float64]]:
    """Yield, for some sites after the other, the squared distances in Å² to all images of all sites.

    |o + i|² is expanded as |o|² + 2 o·i + |i|², so that no array of all vectors is made.

    Parameters
    ----------
    images
        Lattice translations, shape (m, 3), added to the offset in [-1/2, 1/2] between two sites.

    Yields
    ------
    Shape (rows, n, m); the rows of all together are the n sites.
    """
    metric, lengths = lattice @ lattice.T, ((images @ lattice) ** 2).sum(1)
    rows = max(1, BLOCK // (len(frac) * len(images)))
    for start in range(0, len(frac), rows):
        offsets = frac[None] - frac[start : start + rows, None]
        offsets -= np.round(offsets)
        skewed = offsets @ metric
        yield (skewed * offsets).sum(-1)[..., None] + 2 * skewed @ images.T + lengths
