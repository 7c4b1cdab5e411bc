"""Quick answers for headers whose counts no space group restricts: which charges and elements may still come decides.

So it is wherever a group has a position of one atom in the primitive cell that holds any number of orbits.
"""

from __future__ import annotations

from collections import Counter
from functools import cache, lru_cache, reduce
from itertools import combinations, combinations_with_replacement, islice, product
from math import gcd
from operator import or_
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from materium.core.charge_balance import primes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

Charges: TypeAlias = tuple[int, ...]
"""Ascending oxidation states."""
MAX_TRIED = 400
"""Sets of further species that are tried before the search has to decide."""
MAX_NEW = 2
"""New elements that are tried beyond those that must come."""
CACHE_SIZE = 1 << 12
"""Sets of species whose sums are remembered, some kilobytes each."""


class Further(NamedTuple):
    """The species that may still come, each once, by their charges alone."""

    missing: tuple[Charges, ...]
    """Charges of each required element that is not there yet."""
    present: tuple[Charges, ...]
    """Further charges of each element that is there."""
    new: tuple[tuple[Charges, int], ...]
    """Charges of an element that is neither, and how many elements have these."""
    elements: range
    """How many of these elements may come."""
    most: int
    """Most species that may come."""


class OpenHeaders:
    """Decides whether a header can be completed where any counts can be placed.

    Sums of species are pairs of atoms and charge, a bit each of one long integer.

    Parameters
    ----------
    atoms
        Most atoms in the header.
    charge
        Largest magnitude of an oxidation state.
    """

    def __init__(self, atoms: int, charge: int) -> None:
        """Start with nothing remembered."""
        self.atoms, self.largest = atoms, charge * atoms
        self.width = 2 * self.largest + 1
        self.full = (1 << (atoms + 1) * self.width) - 1
        self.sums = lru_cache(CACHE_SIZE)(self._sums)
        self.column = cache(self._column)

    def decide(self, further: Further, atoms: tuple[range, ...], charge: int, divisor: int) -> bool | None:
        """Return whether further species, at least one, make a header complete; None if this is not quickly seen.

        Parameters
        ----------
        further
            The species that may come.
        atoms
            Numbers of atoms, from 0, that they may add.
        charge, divisor
            Of the header so far: sum of the oxidation states, greatest common divisor of the counts (0 for none).
        """
        missing, elements = further.missing, further.elements
        least = len(missing) + elements.start
        too_few = least > further.most or elements.start > sum(number for _, number in further.new)
        if too_few or not all(missing) or not elements or abs(charge) > self.largest:
            return False
        column, shift = self.column(atoms), self.largest - charge
        numbers = Counter[int]()
        for charges, number in further.new if elements.stop > 1 else ():
            numbers.update(dict.fromkeys(charges, number))
        required = {tuple(sorted(chosen)): self._others(further, chosen) for chosen in product(*map(set, missing))}
        primes, freely = primes_of(divisor) or [1], frozenset(numbers)
        for prime in primes:
            for own, others in required.items():
                optional = tuple(state for state in others if state not in freely)
                if self.sums(optional, own, prime, freely)[1] >> shift & column:
                    break
            else:
                return False
        all_others = max(map(len, required.values())) + len(missing) <= further.most
        if not numbers and all_others and len(primes) == 1 and divisor:
            return True
        chosen_new = product(_new(numbers, elements), required.items())
        for new, (own, others) in islice(chosen_new, MAX_TRIED):
            room = further.most - len(own) - len(new)
            for optional in islice(combinations(others, min(room, len(others))), MAX_TRIED) if room >= 0 else ():
                if self.sums(optional, own + new, divisor)[1] >> shift & column:
                    return True
        return None

    @staticmethod
    def _others(further: Further, chosen: Charges) -> Charges:
        """Charges of species of present and required elements besides one of each required element."""
        left = Counter(state for own in (*further.present, *further.missing) for state in own)
        return tuple(sorted((left - Counter(chosen)).elements()))

    def _sums(
        self, optional: Charges, needed: Charges, divisor: int, freely: frozenset[int] = frozenset()
    ) -> tuple[int, int]:
        """All sums of species, and those where one has a count coprime to the divisor; each needed one occurs.

        Of the charges in `freely` any number of species may come.
        """
        if not (optional or needed):
            every = 1 << self.largest
            for state in freely:
                every = self._repeat(every, self.width + state)
            coprime = 0
            for state in freely:
                coprime |= every << self.width + state & self.full
            return every, coprime
        rest = (optional, needed[:-1]) if needed else (optional[:-1], ())
        every, coprime = self.sums(*rest, divisor, freely)
        step = self.width + (needed or optional)[-1]
        if divisor == 1:
            first = self._repeat(every << step, step)
        else:
            counts = (count for count in range(1, self.atoms + 1) if gcd(count, divisor) == 1)
            first = reduce(or_, (every << count * step for count in counts)) & self.full
        if needed:
            every, coprime = every << step, coprime << step
        return self._repeat(every, step), self._repeat(coprime, step) | first

    def _repeat(self, sums: int, step: int) -> int:
        """The sums with any number of steps more."""
        while step < self.full.bit_length():
            sums |= sums << step & self.full
            step *= 2
        return sums & self.full

    def _column(self, atoms: tuple[range, ...]) -> int:
        """A bit for each number of atoms at the lowest charge."""
        numbers = {number for part in atoms for number in part if number <= self.atoms}
        return sum(1 << number * self.width for number in numbers)


def _new(numbers: Counter[int], elements: range) -> Iterator[Charges]:
    """Yield charges of species of different new elements, few first; `numbers` says how many elements have each."""
    for extra in elements[: MAX_NEW + 1]:
        for new in combinations_with_replacement(sorted(numbers, key=abs), extra):
            if all(number > place for place, number in enumerate(sorted(numbers[state] for state in new))):
                yield new
