"""Which numbers of atoms and charges further species can add to a header, given the positions that are left.

A set of charges, or of pairs (atoms, charge), is one long integer, a bit each, and to add a species is one shift.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

    from materium.core.occupancy import Counts, Multiplicities


class ChargeBalance:
    """The sums of further species in the groups of equal multiplicities, for one Z.

    A species may come any number of times here, so that there may be fewer ways than found; never more.

    Parameters
    ----------
    solver
        Multiplicities of the groups.
    units
        Z: the header's units in the primitive cell.
    charges
        Oxidation states of the species that may come; only 0 where charges do not matter.
    atoms
        Most atoms in the header.
    """

    def __init__(self, solver: Multiplicities, units: int, charges: frozenset[int], atoms: int) -> None:
        """Find the smallest counts of a species, of which all larger ones are sums."""
        self.charges, self.atoms = charges, atoms
        self.largest = max((abs(charge) for charge in charges), default=0) * atoms
        self.width = 2 * self.largest + 1
        self.full = (1 << (atoms + 1) * self.width) - 1
        self.additions: list[tuple[int, Counts]] = []
        """Atoms of a further species with the fixed positions that it takes."""
        for count in range(1, atoms + 1):
            for option in solver.options(count * units):
                if not any(count > n and self._redundant(solver, (count - n) * units, option) for n in self._on_free()):
                    self.additions.append((count, option))
        self.with_left = cache(self._with_left)
        self.with_other_divisor = cache(self._with_other_divisor)

    def holds(self, left: Counts, atoms: range, charge: int, divisor: int) -> bool:
        """Return whether species can come that add one of the numbers of atoms, and balance the charge.

        `left` are fixed positions of each multiplicity, `divisor` the common divisor of the counts so far, which has to
        become 1. No species at all is not an answer where the divisor is not 1.
        """
        if abs(charge) > self.largest or not atoms:
            return False
        column, shift = self._column(atoms), self.largest - charge
        if divisor == 1:
            return bool(self.with_left(left) >> shift & column)
        return all(self.with_other_divisor(left, prime) >> shift & column for prime in primes_of(divisor))

    def _with_left(self, left: Counts) -> int:
        """The pairs that any number of species can add."""
        sums = 1 << self.largest
        for count, option in self.additions:
            if any(option) and (rest := _minus(left, option)) is not None:
                sums |= self._plus(self.with_left(rest), count)
        for count in self._on_free():
            for charge in self.charges:
                shift = count * (self.width + charge)
                while shift < self.full.bit_length():
                    sums |= sums << shift & self.full
                    shift *= 2
        return sums

    def _with_other_divisor(self, left: Counts, prime: int) -> int:
        """The pairs of which one species has a count that the prime does not divide."""
        sums = 0
        for count, option in self.additions:
            if count % prime and (rest := _minus(left, option)) is not None:
                sums |= self._plus(self.with_left(rest), count)
        return sums

    def _plus(self, sums: int, count: int) -> int:
        """The pairs with one more species of so many atoms."""
        more = 0
        for charge in self.charges:
            more |= sums << count * (self.width + charge)
        return more & self.full

    def _on_free(self) -> Iterator[int]:
        """Counts so far of species without fixed positions."""
        return (count for count, option in self.additions if not any(option))

    @staticmethod
    def _redundant(solver: Multiplicities, rest: int, option: Counts) -> bool:
        """Whether the atoms but for those on free positions have a place already."""
        return any(_minus(option, other) is not None for other in solver.options(rest))

    @cache  # noqa: B019 - as long as the table
    def _column(self, atoms: range) -> int:
        """A bit for each number of atoms at the lowest charge."""
        return sum(1 << count * self.width for count in atoms if count <= self.atoms)


@cache
def places_left(solver: Multiplicities, counts: Counts) -> tuple[Counts, ...]:
    """Return the fixed positions that species can leave, as many as possible; counts are of the primitive cell."""
    found = {solver.available}
    for count in counts:
        pairs = product(found, solver.options(count))
        rests = {rest for left, option in pairs if (rest := _minus(left, option)) is not None}
        found = {one for one in rests if not any(other != one and _minus(other, one) is not None for other in rests)}
    return tuple(found)


class Lacking(NamedTuple):
    """What an element of a formula still lacks."""

    atoms: int
    charges: tuple[int, ...]
    """Of the species that these may be divided among."""


def elements_fit(
    cell: tuple[Multiplicities, int], counts: Counts, charge: int, lacking: list[Lacking], prime: int = 0
) -> bool:
    """Return whether what elements lack can be divided among their species, placed, and balance a charge.

    Parameters
    ----------
    cell
        Multiplicities of the groups, and Z.
    counts, charge
        Of the species so far.
    lacking
        One entry for each element that is not complete.
    prime
        A number that must not divide all counts to come, unless it is 0.
    """
    solver, units = cell
    zero = abs(charge) + sum(atoms * max(map(abs, charges), default=0) for atoms, charges in lacking)
    starts = places_left(solver, tuple(count * units for count in counts))
    states = dict.fromkeys(((left, not prime) for left in starts), 1 << zero + charge)
    for atoms, charges in lacking:
        tables: list[dict[tuple[Counts, bool], int]] = [*({} for _ in range(atoms)), states]  # by the atoms to come
        for place, state in enumerate(charges, 1):
            after = [dict(table) for table in tables]
            for left in range(1, atoms + 1):
                for count in range(1 if place < len(charges) else left, left + 1):
                    for option, ((fixed, other), sums) in product(solver.options(count * units), tables[left].items()):
                        if (rest := _minus(fixed, option)) is not None:
                            key = rest, other or count % prime > 0
                            moved = sums << state * count if state >= 0 else sums >> -state * count
                            after[left - count][key] = after[left - count].get(key, 0) | moved
            tables = after
        states = tables[0]
    return any(sums >> zero & 1 for (_, other), sums in states.items() if other)


def primes_of(number: int) -> list[int]:
    """Return the primes that divide a number, ascending; none for 0 and 1."""
    divisors = [p for p in range(2, number + 1) if number % p == 0]
    return [p for p in divisors if all(p % q for q in range(2, p))]


def _minus(left: Counts, option: Counts) -> Counts | None:
    """What is left, None if not enough."""
    rest = tuple(number - use for number, use in zip(left, option, strict=True))
    return rest if min(rest, default=0) >= 0 else None
