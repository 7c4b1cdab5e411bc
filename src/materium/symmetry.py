"""Symmetry with moyo: the canonical form of a crystal, its other settings, and its space group.

The same crystal can be written in many ways: supercells, rotated axes, shifted origins, permuted sites. `settings`
lists the ways that remain once the cell is primitive, standard and Niggli-reduced; `canonical` takes the smallest.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from typing import TYPE_CHECKING

import moyopy
import numpy as np

from materium.crystal import Crystal, contragredient, determinant, lattice_from_parameters
from materium.errors import CrystalError

if TYPE_CHECKING:
    from numpy.typing import NDArray

SYMPREC = 0.01
"""Å; positions closer than this to a symmetric arrangement are moved onto it."""
MAX_DENSITY_CHANGE = 0.01
"""Relative; a symmetry search that changes the atoms per volume by more has merged atoms or cells wrongly."""
THINNEST = 0.75
"""Largest symprec times longest over shortest axis squared at which symmetry is searched."""
METRIC_TOLERANCE = 1e-4
"""Relative; axes whose lengths and angles agree within it are settings of one lattice."""
COMPARISON_GRID = 1008
"""Settings are compared on this grid, so that rounding noise cannot decide; 24 divides it."""
OFF_CENTRE = 1.5 - math.sqrt(2)
"""Steps of that grid that are added before rounding: a crystal on the model's grid has halves of a step in other cells
and from other origins, which would go up or down by rounding noise. What goes either way now is √2 - 1 of a step, which
no simple fraction comes near, nor a decimal that somebody types."""
ROUNDING = 1e-6
"""Steps of that grid, and parts of squared lengths, by which numbers that are equal may differ."""
FINER = 32
"""Settings that the comparison grid cannot tell apart are compared on one that is finer by this factor."""
ORIGIN_FACTORS = (16, 3)
"""Coprime."""
ORIGIN_DENOMINATOR = math.prod(ORIGIN_FACTORS)
"""Origins that normalisers leave open are multiples of 1/48 in a primitive basis (International Tables A, 3.5.2)."""
_STATE_OFFSET = 64
_STATE_STRIDE = 128
_DIGITS = np.array([9, 3, 1])
"""The vectors of `_short_vectors` times these are the numbers from -13 to 13 without 0, in their order."""
_OWN_AXES = 12 + _DIGITS
"""Where a, b and c themselves stand among them."""
_GRID_STRIDES = np.array([COMPARISON_GRID**2, COMPARISON_GRID, 1], dtype=np.float64)
_CODE_STRIDE = 64
"""Twice what an entry of a matrix that is told apart by its code stays below."""


@dataclass(frozen=True)
class Settings:
    """Every way to write one crystal in its Niggli-reduced primitive cell.

    Parameters
    ----------
    parameters
        a, b, c in Å and α, β, γ in degrees of each way, shape (k, 6).
    frac_coords
        Shape (k, n, 3), sites sorted from the heaviest species to the lightest, then by coordinates.
    numbers, oxidation_states
        Shape (n,), the same for all ways; oxidation states are None where the crystal has none.
    space_group
        International number.
    best
        The index of the canonical way.
    table
        What ways are compared by, integers of shape (k, 6 + n): ways with equal rows are one and the same.
    """

    parameters: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    numbers: NDArray[np.int64]
    oxidation_states: NDArray[np.int64] | None
    space_group: int
    best: int
    table: NDArray[np.int64]


def space_group(crystal: Crystal, symprec: float = SYMPREC) -> int:
    """Return the international number, 1 to 230, at the tolerance `symprec` in Å."""
    return dataset_of(crystal, symprec).number


def space_groups(crystal: Crystal, coarse: float, fine: float) -> tuple[int | None, int | None]:
    """Return the international numbers at two tolerances in Å; None where moyo finds none.

    A crystal on the grid that has its coarse group to the last digit, as five of six that a model writes do, has it at
    any finer tolerance, where nothing is added, and is not searched again.
    """
    first = found(crystal, coarse)
    if first is not None and _holds_exactly(crystal, first.operations):
        return first.number, first.number
    second = found(crystal, fine)
    return None if first is None else first.number, None if second is None else second.number


@lru_cache(maxsize=8)  # by identity; a crystal's row and its CIF ask one after the other
def found(crystal: Crystal, symprec: float) -> moyopy.MoyoDataset | None:
    """Return what moyo finds of a crystal's symmetry, or None where it finds none; see `dataset_of`."""
    try:
        return dataset_of(crystal, symprec)
    except CrystalError:
        return None


def _holds_exactly(crystal: Crystal, operations: moyopy.Operations) -> bool:
    """Whether operations move a crystal with sites on `COMPARISON_GRID` exactly onto itself, but for rounding."""
    rotations, size = np.array(operations.rotations), COMPARISON_GRID
    metric = crystal.lattice @ crystal.lattice.T
    moved = np.swapaxes(rotations, 1, 2) @ metric @ rotations
    sites, translations = crystal.frac_coords * size, np.array(operations.translations) * size
    points, steps = np.rint(sites).astype(np.int64), np.rint(translations).astype(np.int64)
    off = (sites - points, translations - steps, (moved - metric) / metric.max())
    if any(np.abs(one).max() > ROUNDING for one in off):
        return False
    images = (points @ np.swapaxes(rotations, 1, 2) + steps[:, None]) % size
    kinds = encode_species(crystal) * size**3
    own, others = (np.sort(place @ size ** np.arange(3) + kinds, axis=-1) for place in (points % size, images))
    return bool((own == others).all())


def symbol(number: int) -> str:
    """Return the short Hermann-Mauguin symbol of a space group, such as `Fm-3m`."""
    return str(moyopy.SpaceGroupType(number).hm_short.replace(" ", ""))


def canonical(crystal: Crystal, symprec: float = SYMPREC) -> Crystal:
    """Return the one form that every description of the crystal has in common.

    Primitive standard cell (moyo), Niggli-reduced, sites sorted; of the axes and origins that symmetry leaves open,
    those whose list of sites is smallest.

    Raises
    ------
    CrystalError
        If moyo finds no symmetry at all, which happens for overlapping atoms, or loses atoms, which happens where
        sites are as far from a symmetric arrangement as `symprec` allows.
    """
    ways = settings(crystal, symprec)
    lattice = lattice_from_parameters(ways.parameters[ways.best])
    return Crystal(lattice, ways.frac_coords[ways.best], ways.numbers, ways.oxidation_states)


def settings(crystal: Crystal, symprec: float = SYMPREC) -> Settings:
    """Return all axes and origins for the crystal that its lattice and its normaliser leave open; see `Settings`."""
    dataset = dataset_of(crystal, symprec)
    cell = dataset.prim_std_cell
    species = np.array(cell.numbers)
    order = np.argsort(-species, kind="stable")
    species, frac = species[order], np.array(cell.positions)[order]
    basis, transform = moyopy.niggli_reduce(cell.basis)
    shifted = _shifted(frac, species, dataset.number) @ contragredient(transform)
    places, parameters = _equal_axes(np.array(basis))
    ways = shifted.reshape(1, -1, 3) @ _unimodular()[1][places]
    ways, keys = _sorted_sites(ways.reshape(-1, len(frac), 3), species)
    rows = np.repeat(parameters, len(shifted), axis=0)
    numbers, states = decode_species(species, known=crystal.oxidation_states is not None)
    table = np.concatenate([np.round(rows * 100).astype(np.int64), keys], axis=1)
    return Settings(rows, ways, numbers, states, dataset.number, _smallest(table, ways), table)


def distinct(ways: Settings, limit: int) -> NDArray[np.int64]:
    """Return the indices of at most `limit` different ways, the canonical one first, shape (k,)."""
    rows, first = _words(ways.table), dict[bytes, int]()
    for index, row in enumerate(rows):
        first.setdefault(row, index)
    first.pop(rows[ways.best])
    others = np.array([*first.values()], dtype=np.int64)
    if len(others) >= limit:
        others = others[np.linspace(0, len(others) - 1, limit - 1).astype(np.int64)]
    return np.concatenate([[ways.best], others])


def equal_axes(lattice: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the right-handed axes that a reduced lattice cannot tell apart, in terms of its own, shape (k, 3, 3)."""
    return _unimodular()[0][_equal_axes(lattice)[0]]


def _refuse_thin_cell(crystal: Crystal, symprec: float) -> None:
    """Refuse cells in which `symprec` turns the longest axis by a shortest one: moyo's search then does not end.

    Seen at 1.5 × 1.5 × 22.8 Å and 0.1 Å; real crystals, with axes from 2.4 Å on, stay far from it.
    """
    lengths = [math.hypot(*vector) for vector in moyopy.niggli_reduce(crystal.lattice.tolist())[0]]
    low, high = min(lengths), max(lengths)
    if symprec * high > THINNEST * low**2:
        raise CrystalError(f"axes of {low:.2f} and {high:.2f} Å are too unlike for {symprec=} Å; use a smaller symprec")


def dataset_of(crystal: Crystal, symprec: float) -> moyopy.MoyoDataset:
    """Return what moyo finds of a crystal's symmetry; raises `CrystalError` where it finds none."""
    _quieten_moyo()
    _refuse_thin_cell(crystal, symprec)
    cell = moyopy.Cell(crystal.lattice.tolist(), crystal.frac_coords.tolist(), encode_species(crystal).tolist())
    try:
        dataset = moyopy.MoyoDataset(cell, symprec=symprec, setting=moyopy.Setting.standard())
    except ValueError as error:
        raise CrystalError(f"no symmetry found at {symprec=} Å ({error}); check for overlapping atoms") from error
    primitive = dataset.prim_std_cell
    volume = abs(determinant(primitive.basis))
    if abs(volume * len(crystal) / (crystal.volume * len(primitive.numbers)) - 1) > MAX_DENSITY_CHANGE:
        raise CrystalError(
            f"symmetry at {symprec=} Å is ambiguous: the search changed the density; use another symprec"
        )
    return dataset


@cache
def _quieten_moyo() -> None:
    """For every supercell moyo warns of orbits that nothing here uses."""
    logging.getLogger("moyo").setLevel(logging.ERROR)


def encode_species(crystal: Crystal) -> NDArray[np.int64]:
    """One integer for element and oxidation state, so that moyo keeps Fe2+ and Fe3+ apart; heavier is larger."""
    states = 0 if crystal.oxidation_states is None else crystal.oxidation_states
    return crystal.numbers * _STATE_STRIDE + _STATE_OFFSET + states


def decode_species(species: NDArray[np.int64], *, known: bool) -> tuple[NDArray[np.int64], NDArray[np.int64] | None]:
    """Return atomic numbers and oxidation states, None unless `known`, of the integers that moyo is given instead."""
    numbers, states = np.divmod(species, _STATE_STRIDE)
    return numbers, states - _STATE_OFFSET if known else None


def _shifted(frac: NDArray[np.float64], species: NDArray[np.int64], number: int) -> NDArray[np.float64]:
    """Coordinates seen from every origin that the normaliser allows, shape (origins, n, 3)."""
    origins, polar = _origins(number)
    moved = frac[None] - origins[:, None]
    if not polar.any():
        return moved
    heaviest = np.flatnonzero(species == species.max())
    along = (moved[:, heaviest] + _polar_translations(number)[:, None, None]) @ polar.T
    pinned = moved[None, :, None] - along[:, :, :, None]
    return pinned.reshape(-1, len(frac), 3)


@cache
def _origins(number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Origins that the proper affine normaliser makes equal, shape (k, 3), and the projector on polar axes, (3, 3)."""
    operations = moyopy.operations_from_number(number, setting=moyopy.Setting.standard(), primitive=True)
    rotations = np.array(operations.rotations)
    translations = np.round(np.array(operations.translations) * ORIGIN_DENOMINATOR).astype(np.int64)
    polar = rotations.mean(axis=0)
    generators = _generators(rotations)
    targets = _mismatches(*_normalising(rotations, generators), rotations, translations, generators)
    equations = np.concatenate([np.eye(3, dtype=np.int64) - rotations[g] for g in generators])
    found = [_solutions(equations, target) for target in np.unique(targets, axis=0)]
    shifts = np.concatenate(found) / ORIGIN_DENOMINATOR
    shifts = shifts - shifts @ polar.T  # the polar part is pinned to an atom instead
    rounded = np.round(shifts * ORIGIN_DENOMINATOR * 6).astype(np.int64) % (ORIGIN_DENOMINATOR * 6)
    _, first = np.unique(rounded, axis=0, return_index=True)
    return shifts[np.sort(first)], polar


def _solutions(equations: NDArray[np.int64], target: NDArray[np.int64]) -> NDArray[np.int64]:
    """All s, in units of 1/48, with `equations` @ s = `target` modulo 48, ascending, shape (k, 3).

    By the Chinese remainder theorem they are the pairs of those modulo 16 and modulo 3, of which few must be tried.
    """
    one, other = (_solutions_modulo(factor, equations, target) for factor in ORIGIN_FACTORS)
    first, second = ORIGIN_FACTORS
    pairs = one[:, None] * pow(second, -1, first) * second + other[None] * pow(first, -1, second) * first
    found: NDArray[np.int64] = pairs.reshape(-1, 3) % ORIGIN_DENOMINATOR
    return found[np.lexsort(found.T[::-1])]


def _solutions_modulo(factor: int, equations: NDArray[np.int64], target: NDArray[np.int64]) -> NDArray[np.int64]:
    points = _points(factor)
    return np.compress(((points @ equations.T - target) % factor == 0).all(axis=1), points, axis=0)


@cache
def _points(steps: int) -> NDArray[np.int64]:
    """All points of a cell of so many steps, shape (steps^3, 3)."""
    return np.array(list(product(range(steps), repeat=3)))


def _generators(rotations: NDArray[np.int64]) -> list[int]:
    """Indices of a few rotations that generate all of them."""
    chosen: list[int] = []
    reached = {np.eye(3, dtype=np.int64).tobytes()}
    for index, rotation in enumerate(rotations):
        if rotation.tobytes() not in reached:
            chosen.append(index)
            reached = _closure([rotations[i] for i in chosen])
    return chosen or [0]


def _closure(matrices: list[NDArray[np.int64]]) -> set[bytes]:
    group = {m.tobytes(): m for m in [np.eye(3, dtype=np.int64), *matrices]}
    fresh = list(group.values())
    while fresh:
        products = [a @ b for a in fresh for b in matrices]
        fresh = [p for p in {p.tobytes(): p for p in products}.values() if p.tobytes() not in group]
        group.update({p.tobytes(): p for p in fresh})
    return set(group)


@cache
def _unimodular() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All integer matrices with entries -1, 0, 1 and determinant +1, and their inverses, each (3480, 3, 3)."""
    grid = np.array(list(product((-1, 0, 1), repeat=9)), dtype=np.int64).reshape(-1, 3, 3)
    linear = np.compress(_determinants(grid) == 1, grid, axis=0)
    return linear, np.round(np.linalg.inv(linear)).astype(np.int64)


def _normalising(rotations: NDArray[np.int64], generators: list[int]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The unimodular matrices that conjugate the point group into itself, and their inverses, each (k, 3, 3)."""
    linear, inverse = _unimodular()
    for generator in generators:
        conjugate = linear @ rotations[generator] @ inverse
        keep = np.isin(_codes(conjugate), _codes(rotations))
        linear, inverse = linear[keep], inverse[keep]
    return linear, inverse


def _codes(matrices: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each matrix (..., 3, 3) of small integers: equal ones have equal numbers."""
    codes: NDArray[np.int64] = matrices.reshape(*matrices.shape[:-2], 9) @ _CODE_STRIDE ** np.arange(9)
    return codes


def _mismatches(
    linear: NDArray[np.int64],
    inverse: NDArray[np.int64],
    rotations: NDArray[np.int64],
    translations: NDArray[np.int64],
    generators: list[int],
) -> NDArray[np.int64]:
    """Right-hand sides w' - P w of (1 - W') s = w' - P w for each P, in units of 1/48, (k, 3 * generators)."""
    sources = _codes(inverse[:, None] @ rotations[generators] @ linear[:, None])
    source = np.argmax(_codes(rotations) == sources[..., None], axis=-1)
    sides: NDArray[np.int64] = translations[generators] - np.einsum("kij,kgj->kgi", linear, translations[source])
    return sides.reshape(len(linear), -1) % ORIGIN_DENOMINATOR


@cache
def _polar_translations(number: int) -> NDArray[np.float64]:
    """Lattice vectors whose projections on the polar axes differ, shape (k, 3)."""
    polar = _origins(number)[1]
    vectors = np.array(list(product(range(6), repeat=3)), dtype=np.float64)
    projected = np.round(vectors @ polar.T * 12).astype(np.int64) % 12
    _, first = np.unique(projected, axis=0, return_index=True)
    return vectors[np.sort(first)]


def _equal_axes(basis: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Right-handed axes that the lattice cannot tell apart, (k,) as places in `_unimodular`, and their parameters."""
    vectors = _short_vectors()
    metric = vectors @ (basis @ basis.T) @ vectors.T
    lengths = np.sqrt(metric.diagonal())
    own = lengths[_OWN_AXES, None]
    alike = np.abs(lengths - own) < METRIC_TOLERANCE * own
    some = alike.any(axis=0).nonzero()[0]  # few of all, mostly
    lengths = lengths[some]
    cosines = metric[some[:, None], some] / (lengths[:, None] * lengths)
    angles = np.degrees(np.arccos(np.minimum(np.maximum(cosines, -1), 1)))
    first, second, third = np.searchsorted(some, _OWN_AXES)
    between = angles[[second, first, first], [third, third, second], None, None]
    near = np.abs(angles - between) < METRIC_TOLERANCE * 90.0
    a, b, c = (row.nonzero()[0] for row in alike[:, some])
    a, b = a[:, None, None], b[:, None]
    places = _places()[some[a], some[b], some[c]]
    fits = (near[0][b, c] & near[1][a, c] & near[2][a, b] & (places >= 0)).nonzero()
    i, j, k = a[fits[0], 0, 0], b[fits[1], 0], c[fits[2]]
    columns = [lengths[i], lengths[j], lengths[k], angles[j, k], angles[i, k], angles[i, j]]
    return places[fits], np.array(columns).T


@cache
def _short_vectors() -> NDArray[np.float64]:
    """The lattice vectors with coefficients -1, 0, 1, shape (26, 3); the axes of a reduced cell are among them."""
    return np.array([vector for vector in product((-1.0, 0.0, 1.0), repeat=3) if any(vector)])


@cache
def _places() -> NDArray[np.int64]:
    """Where in `_unimodular` the matrix of three of these vectors stands, shape (26, 26, 26); -1 if it is none."""
    vectors = _short_vectors()
    of_rows = np.searchsorted(vectors @ _DIGITS, _unimodular()[0] @ _DIGITS)
    places = np.full((len(vectors),) * 3, -1)
    places[tuple(of_rows.T)] = np.arange(len(of_rows))
    return places


def _determinants(matrices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Determinants of integer matrices, shape (k, 3, 3) to (k,)."""
    a, b, c = matrices[:, 0], matrices[:, 1], matrices[:, 2]
    return (
        a[:, 0] * (b[:, 1] * c[:, 2] - b[:, 2] * c[:, 1])
        + a[:, 1] * (b[:, 2] * c[:, 0] - b[:, 0] * c[:, 2])
        + a[:, 2] * (b[:, 0] * c[:, 1] - b[:, 1] * c[:, 0])
    )


def _sorted_sites(
    ways: NDArray[np.float64], species: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sort the sites of each way, and give each way its list of comparable integers, shape (k, n).

    `species` are those of the sites, the heaviest first.
    """
    wrapped = ways - np.floor(ways)
    points = np.rint(wrapped * COMPARISON_GRID + OFF_CENTRE)
    points[points == COMPARISON_GRID] = 0
    rank = np.cumsum(np.diff(species, prepend=species[:1]) != 0)
    keys = (rank * COMPARISON_GRID**3 + points @ _GRID_STRIDES).astype(np.int64)
    order = np.argsort(keys, axis=1, kind="stable")
    way = np.arange(len(ways))[:, None]
    return wrapped[way, order], keys[way, order]


def _smallest(table: NDArray[np.int64], ways: NDArray[np.float64]) -> int:
    """Index of the row that comes first in lexicographic order; what one grid holds for equal goes by a finer one."""
    rows = _words(table)
    smallest = min(rows)
    alike = [index for index, row in enumerate(rows) if row == smallest]
    if len(alike) == 1:
        return alike[0]
    fine = np.rint(ways[alike] * COMPARISON_GRID * FINER).astype(np.int64) % (COMPARISON_GRID * FINER)
    finer = _words(fine.reshape(len(alike), -1))
    return alike[finer.index(min(finer))]


def _words(table: NDArray[np.int64]) -> list[bytes]:
    """Rows of numbers that are not negative as bytes, which have the same order."""
    width, content = table.shape[1] * table.itemsize, table.astype(">i8").tobytes()
    return [content[at : at + width] for at in range(0, len(content), width)]
