"""Which Wyckoff positions a cell's atoms can be placed on: an exact dynamic programme over multiplicities.

A position without free coordinates holds one orbit, of any species; a position with free coordinates holds any number.
All counts and multiplicities are those of the primitive cell. How close atoms come is not looked at.
"""

from __future__ import annotations

from collections import Counter
from functools import cache, lru_cache
from itertools import product
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from materium.core.wyckoff import space_group
from materium.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

Counts: TypeAlias = tuple[int, ...]
"""Atoms in the primitive cell, one number a species."""
CACHE_SIZE = 1 << 14
"""States of one group, or of groups with equal multiplicities, that are remembered."""


class RequiredPosition(NamedTuple):
    """A Wyckoff position that must be occupied: letter, or multiplicity and letter; by which element, None for any."""

    label: str
    element: int | None = None


class RequiredOrbit(NamedTuple):
    """An orbit that must occur: the index of its position, and which species may form it, as a bit mask."""

    position: int
    species: int


Required: TypeAlias = tuple[RequiredOrbit, ...]
"""Distinct orbits; two entries of the same species sets are two orbits. Species sets must be nested or disjoint."""


class Multiplicities:
    """The dynamic programme of all space groups whose positions have the same multiplicities.

    Parameters
    ----------
    fixed
        Pairs of a multiplicity and the number of positions without free coordinates that have it.
    free
        Multiplicities of positions with free coordinates.
    """

    def __init__(self, fixed: tuple[tuple[int, int], ...], free: tuple[int, ...]) -> None:
        """Remember the multiplicities; see `multiplicities`, which shares instances."""
        self.fixed, self.free = fixed, free
        self.available: Counts = tuple(number for _, number in fixed)
        self.none: Counts = (0,) * len(fixed)
        self._on_free = [True]
        self._fit = lru_cache(CACHE_SIZE)(self._fit_uncached)
        self.options = lru_cache(CACHE_SIZE)(self._options_uncached)

    def feasible(self, counts: Iterable[int], available: Counts) -> bool:
        """Return whether the counts can all be met with so many fixed positions of each multiplicity left."""
        on_free = self._on_free_to(max(counts := tuple(counts), default=0))
        return self._fit(tuple(sorted(count for count in counts if not on_free[count])), available)

    def forget(self) -> None:
        """Empty the memory, so that a benchmark can time what is not in it."""
        self._fit.cache_clear()
        self.options.cache_clear()

    def _fit_uncached(self, counts: Counts, available: Counts) -> bool:
        """The same for counts, ascending, of which each needs a fixed position."""
        if not counts:
            return True
        rest = counts[:-1]
        for option in self.options(counts[-1]):
            left = tuple(number - use for number, use in zip(available, option, strict=True))
            if min(left, default=0) >= 0 and self._fit(rest, left):
                return True
        return False

    def _options_uncached(self, count: int) -> tuple[Counts, ...]:
        """Fixed positions of each multiplicity that suffice for one species, no option containing another."""
        return minimal_options(count, self.fixed, self._on_free_to(count))

    def _on_free_to(self, count: int) -> list[bool]:
        """Whether 0, 1, … atoms can be placed on positions with free coordinates alone, at least to `count`."""
        reach = self._on_free
        for atoms in range(len(reach), count + 1):
            reach.append(any(size <= atoms and reach[atoms - size] for size in self.free))
        return reach


def minimal_options(count: int, fixed: tuple[tuple[int, int], ...], on_free: list[bool]) -> tuple[Counts, ...]:
    """Return the smallest uses of fixed positions that leave a number of atoms possible on free ones.

    Parameters
    ----------
    count
        Atoms of one species.
    fixed
        Pairs of a multiplicity and how many fixed positions have it; an option has one number for each pair.
    on_free
        Whether 0, 1, … `count` atoms can be placed on positions with free coordinates.
    """
    sizes, numbers = [size for size, _ in fixed], [number for _, number in fixed]
    options: list[Counts] = []
    for option in sorted(product(*(range(number + 1) for number in numbers)), key=sum):
        left = count - sum(size * use for size, use in zip(sizes, option, strict=True))
        if left >= 0 and on_free[left] and not any(_within(smaller, option) for smaller in options):
            options.append(option)
    return tuple(options)


def generators(sizes: Iterable[int]) -> Counts:
    """Return the sizes that are no multiple of another one, ascending: sums of these are all sums."""
    distinct = sorted(set(sizes))
    return tuple(size for size in distinct if not any(part < size and size % part == 0 for part in distinct))


@cache
def multiplicities(fixed: tuple[tuple[int, int], ...], free: tuple[int, ...]) -> Multiplicities:
    """Return the dynamic programme for these multiplicities; the 230 groups have 71 different ones."""
    return Multiplicities(fixed, free)


def undominated(solvers: list[Multiplicities]) -> list[Multiplicities]:
    """Return those that are needed so that what some can place, one of them can place too."""
    kept: list[Multiplicities] = []
    for solver in solvers:
        if not any(_dominates(other, solver) for other in kept):
            kept = [*(other for other in kept if not _dominates(solver, other)), solver]
    return kept


def _dominates(stronger: Multiplicities, other: Multiplicities) -> bool:
    """Whether all fixed positions of the other, each as a species of its own, and its free ones can be placed."""
    orbits = [size for size, number in other.fixed for _ in range(number)]
    on_free = all(stronger.feasible([size], stronger.none) for size in other.free)
    return on_free and stronger.feasible(orbits, stronger.available)


class Occupancy:
    """The placements of a cell's atoms on the Wyckoff positions of one space group.

    States are plain values: `remaining` has what each species still lacks, `used` is a bit mask over the positions, of
    which only those without free coordinates count, and `required` has the orbits that must still come.

    Parameters
    ----------
    group
        International number.
    """

    def __init__(self, group: int) -> None:
        """Read the group's positions; see `occupancy`, which shares instances."""
        entry = space_group(group)
        self.group = group
        self.multiplicities = tuple(position.multiplicity // len(entry.centring) for position in entry.positions)
        """In the primitive cell, by index of the position."""
        self.is_fixed = tuple(position.freedom == 0 for position in entry.positions)
        """Whether a position holds one orbit only."""
        self.labels = tuple(position.label for position in entry.positions)
        self.fixed_mask = sum(1 << index for index, fixed in enumerate(self.is_fixed) if fixed)
        pairs = list(zip(self.multiplicities, self.is_fixed, strict=True))
        numbers = Counter(size for size, fixed in pairs if fixed)
        free = {size for size, fixed in pairs if not fixed}
        self.solver = multiplicities(tuple(sorted(numbers.items())), generators(free))
        self._available = cache(self._available_uncached)
        self._positions = lru_cache(CACHE_SIZE)(self._positions_uncached)
        self._feasible = lru_cache(CACHE_SIZE)(self._feasible_uncached)

    def feasible(self, remaining: Counts, used: int = 0, required: Required = ()) -> bool:
        """Return whether what remains of every species can be placed exactly, and all required orbits among it."""
        if not required:
            return self.solver.feasible(remaining, self._available(used & self.fixed_mask))
        return self._feasible(remaining, used & self.fixed_mask, required, -1, 0)

    def species_allowed(
        self, remaining: Counts, used: int = 0, required: Required = (), *, grouped: bool = False, last: int = -1
    ) -> NDArray[np.bool_]:
        """Return which species the next orbit may have, shape (species,); none where the rest is not feasible.

        Orbits can be placed in any order, so it is every species that lacks atoms. Where species come one after the
        other (`grouped`), it is the one of the `last` orbit until that lacks nothing.
        """
        lacking: NDArray[np.bool_] = np.array(remaining) > 0
        if not self.feasible(remaining, used, required):
            return np.zeros_like(lacking)
        if grouped and last >= 0 and lacking[last]:
            lacking[:] = np.arange(len(lacking)) == last
        return lacking

    def positions_allowed(
        self, remaining: Counts, species: int, used: int = 0, required: Required = (), floor: int | None = None
    ) -> NDArray[np.bool_]:
        """Return on which positions an orbit of a species leaves the rest feasible, shape (positions,), read-only.

        Parameters
        ----------
        remaining, used, required
            The state before the orbit.
        species
            Its place in `remaining`.
        floor
            Where the orbits of a species come by ascending position: the index of its last position, 0 for its first
            orbit. None where they come in any order.
        """
        return self._positions(remaining, species, used & self.fixed_mask, required, floor)

    def after(
        self, remaining: Counts, species: int, position: int, used: int = 0, required: Required = ()
    ) -> tuple[Counts, int, Required]:
        """Return what remains, which positions are used and which orbits are required after one more orbit.

        Of required orbits that it can be, it counts as the one with the fewest species.
        """
        left = list(remaining)
        left[species] -= self.multiplicities[position]
        fitting = [orbit for orbit in required if orbit.position == position and orbit.species >> species & 1]
        if fitting:
            orbits = list(required)
            orbits.remove(min(fitting, key=lambda orbit: orbit.species.bit_count()))
            required = tuple(orbits)
        return tuple(left), used | (1 << position & self.fixed_mask), required

    def _positions_uncached(
        self, remaining: Counts, species: int, used: int, required: Required, floor: int | None
    ) -> NDArray[np.bool_]:
        """Try each position."""
        allowed = np.zeros(len(self.multiplicities), dtype=bool)
        for position in range(floor or 0, len(allowed)):
            if self.multiplicities[position] <= remaining[species] and not used >> position & 1:
                state = self.after(remaining, species, position, used, required)
                ordered = (-1, 0) if floor is None else (species, position)
                allowed[position] = self._feasible(*state, *ordered)
        allowed.flags.writeable = False
        return allowed

    def _feasible_uncached(self, remaining: Counts, used: int, required: Required, ordered: int, floor: int) -> bool:
        """Whether the rest is feasible if one species, unless it is -1, keeps to positions from `floor` on."""
        if required:
            (position, species), later = required[0], required[1:]
            size = self.multiplicities[position]
            for index, count in enumerate(remaining):
                may = species >> index & 1 and count >= size and (index != ordered or position >= floor)
                if may and not used >> position & 1:
                    left = (*remaining[:index], count - size, *remaining[index + 1 :])
                    if self._feasible(left, used | (1 << position & self.fixed_mask), later, ordered, floor):
                        return True
            return False
        available = self._available(used)
        if ordered < 0:
            return self.solver.feasible(remaining, available)
        rest = (*remaining[:ordered], *remaining[ordered + 1 :])
        for option in self._options_from(remaining[ordered], used, floor):
            left = tuple(number - use for number, use in zip(available, option, strict=True))
            if self.solver.feasible(rest, left):
                return True
        return False

    def _options_from(self, count: int, used: int, floor: int) -> tuple[Counts, ...]:
        """Uses of fixed positions, for one species, if it keeps to those from `floor` on."""
        available = self._available(used | (1 << floor) - 1)
        sizes = [size for size, _ in self.solver.fixed]
        free = {self.multiplicities[i] for i in range(floor, len(self.is_fixed)) if not self.is_fixed[i]}
        on_free = multiplicities((), generators(free))._on_free_to(count)  # noqa: SLF001 - of the same module
        return minimal_options(count, tuple(zip(sizes, available, strict=True)), on_free)

    def _available_uncached(self, used: int) -> Counts:
        """Fixed positions of each multiplicity that are not used."""
        left = Counter(
            size for index, size in enumerate(self.multiplicities) if self.is_fixed[index] and not used >> index & 1
        )
        return tuple(left[size] for size, _ in self.solver.fixed)


@cache
def occupancy(group: int) -> Occupancy:
    """Return the placements on the positions of a space group.

    Raises
    ------
    CrystalError
        If the number is not one of 1 to 230.
    """
    return Occupancy(group)


def required_orbits(
    group: int, positions: Iterable[RequiredPosition], elements: Sequence[int], max_sites: int
) -> Required:
    """Return the orbits that positions require of species, of which the elements are given.

    Raises
    ------
    CrystalError
        If the group has no such position.
    RequestError
        If a position without free coordinates is required twice, or all take more than `max_sites` atoms.
    """
    place, orbits = occupancy(group), list[RequiredOrbit]()
    for label, element in positions:
        index = space_group(group).position(label).index
        if place.is_fixed[index] and any(orbit.position == index for orbit in orbits):
            what = f"{place.labels[index]} of space group {group}"
            raise RequestError(f"{what} has no free coordinate: it can be required once only")
        orbits.append(RequiredOrbit(index, sum(1 << i for i, z in enumerate(elements) if element in {None, z})))
    atoms = sum(place.multiplicities[orbit.position] for orbit in orbits)
    if atoms > max_sites:
        labels = ", ".join(place.labels[orbit.position] for orbit in orbits)
        what = f"{labels} of space group {group} takes {atoms} atoms in the primitive cell"
        raise RequestError(f"{what}, and {max_sites} is the limit; raise it")
    return tuple(orbits)


def _within(smaller: Counts, larger: Counts) -> bool:
    return all(one <= other for one, other in zip(smaller, larger, strict=True))
