"""The one crystal type: it owns the conventions and rejects what is wrong instead of repairing it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from materium.errors import CrystalError, OverlapError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import ArrayLike, NDArray

MAX_ATOMIC_NUMBER = 118
MIN_DISTANCE = 0.5
"""Å; below it two atoms count as one site written twice (the validity bound of the field)."""
MIN_VOLUME = 0.1
"""Å³ per cell; a cell below it is flat."""
MAX_VECTOR = 1e5
"""Å; a cell with a longer vector is a slip of the pen, and reducing it takes minutes."""
MAX_SITES = 2000
"""Sites of a cell; pairs of sites, which distances and symmetry are found from, are two million then."""
MAX_FRACTION = 1e9
"""Of a cell vector; what lies farther outside of the cell has lost the digits that say where in it."""
MAX_INTEGER = 1e9
"""Of atomic numbers and states, before they are looked at one by one."""
MAX_OXIDATION_STATE = 9
"""The highest known is that of iridium in IrO4+."""
VOLUME_PER_ATOM = (3.0, 250.0)
"""Å³; outside of it a structure is not called valid. The training crystals lie within."""
GRAMS_PER_CM3 = 1.66053906660
"""g/cm³ in one u/Å³ (CODATA 2018)."""


@dataclass(frozen=True, eq=False)
class Crystal:
    """An ordered, periodic crystal.

    Parameters
    ----------
    lattice
        Å, shape (3, 3), rows are the lattice vectors.
    frac_coords
        Fractional coordinates, shape (n, 3); wrapped into [0, 1) on construction.
    numbers
        Atomic numbers, shape (n,), 1 to 118.
    oxidation_states
        Integer formal charges from -9 to 9, shape (n,), or None where they are not known.

    Raises
    ------
    CrystalError
        On a wrong shape, a value that is not finite, no atoms or too many, an unknown element, an oxidation state that
        no element has, a flat cell or one beyond all measure. Distances are checked by `check_distances`, since what a
        model writes must be held before it can be judged.
    """

    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    numbers: NDArray[np.int64]
    oxidation_states: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        """Bring the arrays to their types, check them, and make them read-only."""
        lattice = _finite("lattice", self.lattice, (3, 3))
        numbers = _integers("numbers", self.numbers)
        if numbers.size == 0:
            raise CrystalError("crystal has no atoms; at least one site is needed")
        if numbers.size > MAX_SITES:
            raise too_many_sites(numbers.size)
        frac = _wrap(_finite("frac_coords", self.frac_coords, (numbers.size, 3)))
        unknown = numbers[(numbers < 1) | (numbers > MAX_ATOMIC_NUMBER)]
        if unknown.size:
            raise CrystalError(f"unknown element: atomic number {unknown[0]} is outside 1 to {MAX_ATOMIC_NUMBER}")
        self._set("lattice", lattice)
        if self.volume < MIN_VOLUME:
            raise CrystalError(f"cell volume is {self.volume:.3g} Å³; a cell needs at least {MIN_VOLUME} Å³")
        longest = max(math.hypot(*vector) for vector in lattice.tolist())
        if longest > MAX_VECTOR:
            raise CrystalError(
                f"cell has a vector of {longest:.3g} Å; at most {MAX_VECTOR:g} Å are read, reduce the cell"
            )
        self._set("frac_coords", frac)
        self._set("numbers", numbers)
        if self.oxidation_states is not None:
            states = _integers("oxidation_states", self.oxidation_states)
            if states.shape != numbers.shape:
                raise CrystalError(f"oxidation_states has {states.size} entries for {numbers.size} sites")
            if (highest := np.abs(states).max()) > MAX_OXIDATION_STATE:
                raise CrystalError(
                    f"oxidation state {states[np.abs(states) == highest][0]} is beyond all known ones; "
                    f"-{MAX_OXIDATION_STATE} to {MAX_OXIDATION_STATE} are read, leave the states out or mend them"
                )
            self._set("oxidation_states", states)

    def _set(self, name: str, value: NDArray[np.generic]) -> None:
        value.setflags(write=False)
        object.__setattr__(self, name, value)

    def __len__(self) -> int:
        """Return the number of sites."""
        return int(self.numbers.size)

    @cached_property
    def volume(self) -> float:
        """Cell volume in Å³."""
        return abs(determinant(self.lattice.tolist()))

    @cached_property
    def density(self) -> float:
        """Mass density in g/cm³, from ASE's standard atomic weights."""
        from ase.data import atomic_masses  # heavy for a module that everything imports

        return float(atomic_masses[self.numbers].sum() / self.volume * GRAMS_PER_CM3)

    @cached_property
    def lengths_angles(self) -> NDArray[np.float64]:
        """Lattice parameters a, b, c in Å and α, β, γ in degrees, shape (6,)."""
        return lengths_angles(self.lattice)

    @cached_property
    def min_distance(self) -> float:
        """Shortest distance in Å between two sites, or between a site and its own periodic image."""
        return _shortest_distance(self.lattice, self.frac_coords)

    def check_distances(self, minimum: float = MIN_DISTANCE) -> Crystal:
        """Return the crystal itself, or raise `OverlapError` if two atoms are closer than `minimum` Å."""
        if self.min_distance < minimum:
            error = OverlapError(f"overlapping atoms: {self.min_distance:.3f} Å apart, at least {minimum} Å is needed")
            error.crystal = self
            raise error
        return self

    def with_oxidation_states(self, states: ArrayLike) -> Crystal:
        """Return the same crystal with other oxidation states, shape (n,)."""
        return Crystal(self.lattice, self.frac_coords, self.numbers, np.asarray(states))

    def select(self, sites: ArrayLike) -> Crystal:
        """Return the crystal with its sites taken by index, shape (m,)."""
        index = np.asarray(sites)
        states = None if self.oxidation_states is None else self.oxidation_states[index]
        return Crystal(self.lattice, self.frac_coords[index], self.numbers[index], states)


def too_many_sites(count: int) -> CrystalError:
    """Return the error for a crystal with more than `MAX_SITES` sites."""
    return CrystalError(f"crystal has {count} sites; at most {MAX_SITES} are read, give a smaller cell")


def fault(crystal: Crystal) -> str | None:
    """Return why a crystal is not structurally valid (two atoms too close, or an absurd volume), or None."""
    low, high = VOLUME_PER_ATOM
    each = crystal.volume / len(crystal)
    if not low <= each <= high:
        return f"volume per atom {each:.2f} Å³ is outside {low:g} to {high:g} Å³"
    try:
        nearest = crystal.min_distance
    except CrystalError as error:
        return str(error)
    return f"atoms {nearest:.3f} Å apart" if nearest < MIN_DISTANCE else None


def lengths_angles(lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a, b, c in Å and α, β, γ in degrees of row vectors, shapes (..., 3, 3) to (..., 6)."""
    metric = lattice @ np.swapaxes(lattice, -1, -2)
    lengths = np.sqrt(np.diagonal(metric, axis1=-2, axis2=-1))
    pairs = ((1, 2), (0, 2), (0, 1))
    cosines = [metric[..., i, j] / (lengths[..., i] * lengths[..., j]) for i, j in pairs]
    angles = np.degrees(np.arccos(np.clip(np.stack(cosines, axis=-1), -1, 1)))
    return np.concatenate([lengths, angles], axis=-1)


def lattice_from_parameters(parameters: ArrayLike) -> NDArray[np.float64]:
    """Return row vectors in Å, a along x and b in the xy plane, from a, b, c (Å) and α, β, γ (degrees).

    Raises
    ------
    CrystalError
        If no cell has these angles.
    """
    a, b, c, *angles = (float(value) for value in np.asarray(parameters, dtype=np.float64))
    cos_a, cos_b, cos_g = np.where(np.array(angles) == 90, 0.0, np.cos(np.radians(angles)))
    sin_g = np.sqrt(1 - cos_g**2)
    c_y = (cos_a - cos_b * cos_g) / sin_g
    c_z_squared = 1 - cos_b**2 - c_y**2
    if not c_z_squared > 0:
        raise CrystalError(f"no cell has the angles {angles[0]:g}, {angles[1]:g}, {angles[2]:g} degrees")
    rows = [[a, 0.0, 0.0], [b * cos_g, b * sin_g, 0.0], [c * cos_b, c * c_y, c * np.sqrt(c_z_squared)]]
    return np.array(rows)


def determinant(rows: Sequence[Sequence[float]]) -> float:
    """Return the determinant of a 3 × 3 matrix: as Python's numbers, for numpy takes ten times as long to begin."""
    (a, b, c), (d, e, f), (g, h, i) = rows
    return a * (e * i - f * h) + b * (f * g - d * i) + c * (d * h - e * g)


def contragredient(transform: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return the inverse of the transpose of a 3 × 3 matrix.

    Where moyo takes a basis, its vectors as rows, to `transform`.T @ basis, this takes fractional coordinates along: x
    becomes x @ contragredient(transform).
    """
    (a, b, c), (d, e, f), (g, h, i) = transform
    cofactors = [[e * i - f * h, f * g - d * i, d * h - e * g], [c * h - b * i, a * i - c * g, b * g - a * h]]
    return np.array([*cofactors, [b * f - c * e, c * d - a * f, a * e - b * d]]) / determinant(transform)


def _finite(name: str, value: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.float64]:
    array = np.array(value, dtype=np.float64)
    if array.shape != shape:
        raise CrystalError(f"{name} has shape {array.shape}; {shape} is needed")
    if not np.isfinite(array).all():
        raise CrystalError(f"{name} holds NaN or infinity; every value must be finite")
    return array


def _integers(name: str, value: ArrayLike) -> NDArray[np.int64]:
    array = np.asarray(value)
    if array.ndim != 1:
        raise CrystalError(f"{name} has shape {array.shape}; one value per site is needed")
    rounded = np.round(array.astype(np.float64))
    if not np.array_equal(array, rounded):
        raise CrystalError(f"{name} must be integers, got {array.dtype} values")
    if array.size and np.abs(rounded).max() > MAX_INTEGER:
        raise CrystalError(f"{name} holds {rounded[np.abs(rounded).argmax()]:.3g}; no atom has such a number")
    return array.astype(np.int64)


def _wrap(frac: NDArray[np.float64]) -> NDArray[np.float64]:
    if (farthest := np.abs(frac).max(initial=0.0)) > MAX_FRACTION:
        raise CrystalError(f"a site lies {farthest:.3g} cell vectors away; its place in the cell is not known")
    wrapped = frac - np.floor(frac)
    wrapped[wrapped >= 1] = 0.0  # -1e-17 wraps to exactly 1
    return wrapped


_IMAGES = np.array(list(product((-1, 0, 1), repeat=3)), dtype=np.float64)


PAIRS_AT_ONCE = 1 << 16
"""Pairs of sites whose distances are in memory together: 15 MB."""


@lru_cache(maxsize=64)
def _few_pairs(count: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    return [np.triu_indices(count, 1)]


def _pairs(count: int) -> Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """The two indices of each pair of so many sites, in blocks."""
    if count * (count - 1) // 2 <= PAIRS_AT_ONCE:
        return _few_pairs(count)
    rows = max(PAIRS_AT_ONCE // count, 1)
    ends = ((start, min(start + rows, count)) for start in range(0, count, rows))
    # of a block of rows, also pairs with sites before it: a site with itself is left out, nothing else needs to be
    blocks = (np.divmod(np.arange(start * count, end * count), count) for start, end in ends)
    return ((first[first != second], second[first != second]) for first, second in blocks)


def _shortest_distance(lattice: NDArray[np.float64], frac: NDArray[np.float64]) -> float:
    """Shortest contact over the 27 neighbouring cells of the reduced lattice, in which no nearer image is left out.

    |o + i|² is expanded as |o|² + 2 o·i + |i|², so that no array of all vectors is made.
    """
    import moyopy

    try:
        basis, transform = moyopy.niggli_reduce(lattice.tolist())
    except ValueError as error:
        raise CrystalError(f"cell cannot be reduced ({error}); its shortest distance is not known") from error
    lattice, frac = np.array(basis), frac @ contragredient(transform)
    metric = lattice @ lattice.T
    image_squares = ((_IMAGES @ metric) * _IMAGES).sum(1)
    own = float(image_squares[_IMAGES.any(1)].min())
    least = own
    for first, second in _pairs(len(frac)):
        offsets = frac[first] - frac[second]
        offsets -= np.round(offsets)
        skewed = offsets @ metric
        squares = (skewed * offsets).sum(1)[:, None] + 2 * skewed @ _IMAGES.T + image_squares
        least = min(least, squares.min(initial=np.inf))
    return float(np.sqrt(max(least, 0.0)))
