"""Search for one way to complete the header of a sequence: composition, space group, formula units.

The search is exact unless it looks at more than `MAX_NODES` partial headers: then the answer is yes, and
`CompletionSearch.undecided` counts it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import product
from math import gcd
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from materium.core.charge_balance import ChargeBalance, Lacking, elements_fit, places_left, primes_of
from materium.core.occupancy import RequiredPosition, occupancy, required_orbits, undominated
from materium.core.open_headers import Further, OpenHeaders
from materium.core.space_groups import NUMBERS
from materium.errors import CrystalError, RequestError

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable, Iterator

    from materium.core.occupancy import Counts, Multiplicities, Required

Header: TypeAlias = tuple[tuple[int, int], ...]
"""Pairs of a species, by its index in the vocabulary, and its count in the reduced composition; each species once."""
Pairs: TypeAlias = frozenset[tuple[int, int]]
"""The same in no order."""
MAX_SPECIES = 10
"""Species in one header."""
MAX_NODES = 200
"""Partial headers that one search may look at."""
CACHE_SIZE = 1 << 16
"""Headers whose answers are remembered."""


@dataclass(frozen=True)
class HeaderConstraints:
    """What a header must keep.

    Parameters
    ----------
    species
        The vocabulary: pairs of atomic number and oxidation state.
    sites
        Least and most atoms in the primitive cell.
    allowed
        Atomic numbers that may occur; None for all of the vocabulary.
    required
        Atomic numbers that must occur.
    num_elements
        Least and most elements.
    formula
        Pairs of atomic number and count: the reduced formula, exactly; None leaves the composition open.
    units
        Least and most formula units in the primitive cell: of `formula`, or, without one, of the header (Z).
    neutral
        Whether the oxidation states must add up to zero.
    groups
        Space groups that are allowed.
    positions
        Wyckoff positions that must be occupied, each entry by an orbit of its own; groups without them are excluded.
    direction
        1 or -1 where species come by rising or falling index in the vocabulary, 0 where in any order.
    """

    species: tuple[tuple[int, int], ...]
    sites: tuple[int, int] = (1, 52)
    allowed: frozenset[int] | None = None
    required: frozenset[int] = frozenset()
    num_elements: tuple[int, int] = (1, MAX_SPECIES)
    formula: tuple[tuple[int, int], ...] | None = None
    units: tuple[int, int] = (1, 1 << 30)
    neutral: bool = False
    groups: frozenset[int] = frozenset(NUMBERS)
    positions: tuple[RequiredPosition, ...] = ()
    direction: int = 0


class Sums(NamedTuple):
    """What a partial header adds up to."""

    atoms: int
    charge: int
    divisor: int
    """Greatest common divisor of the counts, 0 for none."""
    counts: Counts
    """Ascending."""
    elements: dict[int, int]
    """Atoms of each element."""


class CompletionSearch:
    """Decides whether a partial header can become one that keeps the constraints."""

    def __init__(self, constraints: HeaderConstraints) -> None:
        """Read the constraints, and put species into classes whose members can stand for each other."""
        self.constraints = given = constraints
        self.formula = dict(given.formula or ())
        bound = {element for _, element in given.positions if element is not None}
        self.required = given.required | bound
        known = {z for z, _ in given.species} if given.allowed is None else given.allowed
        inside = known & self.formula.keys() if self.formula else known
        self.usable = [index for index, (z, _) in enumerate(given.species) if z in inside][:: given.direction or 1]
        """Species that may occur, in their order."""
        self.rank = {index: rank for rank, index in enumerate(self.usable)}
        self.charge = [state * given.neutral for _, state in given.species]
        self.few_elements = given.num_elements[1] < MAX_SPECIES
        self.count_elements = self.few_elements or given.num_elements[0] > 1
        """Whether species of present elements differ from those of new ones."""
        self.species_of: dict[int, list[int]] = {}
        for index in self.usable:
            self.species_of.setdefault(given.species[index][0], []).append(index)
        states = {z: tuple(sorted(self.charge[i] for i in own)) for z, own in self.species_of.items()}
        self.kind: dict[int, Hashable] = {
            index: (self.charge[index], states[z] if self.few_elements else (), z if z in bound else 0)
            for index in self.usable
            for z in [given.species[index][0]]
        }
        self.members: dict[Hashable, list[int]] = {}
        for rank, index in enumerate(self.usable):
            self.members.setdefault(self.kind[index], []).append(rank)
        self.groups = [group for group in sorted(given.groups) if _has_positions(group, given)]
        solvers: dict[int, Multiplicities] = {id(s): s for s in (occupancy(group).solver for group in self.groups)}
        self.solvers = undominated(list(solvers.values()))
        self.any_counts = not given.positions and any(1 in solver.free for solver in self.solvers)
        """Whether some group takes every composition."""
        self.open = OpenHeaders(given.sites[1], max(map(abs, self.charge), default=0))
        self._states_after = cache(self._states_after_uncached)
        self._further = lru_cache(CACHE_SIZE)(self._further_uncached)
        self._elements_after = cache(lambda last: frozenset(given.species[i][0] for i in self.usable[last + 1 :]))
        self._charges_after = cache(lambda last: frozenset(self.charge[i] for i in self.usable[last + 1 :]))
        split = any(len(own) > 1 for own in self.species_of.values())
        most = given.sites[1] // sum(self.formula.values()) if self.formula and split else 1
        self.factors = [
            factor for factor in range(1, most + 1) if not self.formula or self._units(1, factor, last=True)
        ]
        """How many formula units the header's composition may hold: more where an element has several species."""
        self.undecided = 0
        self._nodes = 0
        self._answers: dict[Hashable, bool] = {}
        self.sums = lru_cache(CACHE_SIZE)(self._sums)
        self._fits = lru_cache(CACHE_SIZE)(self._fits_uncached)
        self._formula_fits = lru_cache(CACHE_SIZE)(self._formula_fits_uncached)
        self._has_room = lru_cache(CACHE_SIZE)(self._has_room_uncached)
        self._balance = cache(ChargeBalance)

    def completable(self, header: Header) -> bool:
        """Return whether a partial header can be completed; True also where the search was cut short."""
        pairs, last = frozenset(header), self.last(header)
        self._nodes = MAX_NODES
        found = any(self._valid(pairs, factor) and self._search(pairs, last, factor) for factor in self.factors)
        self.undecided += self._nodes < 0
        return found

    def may_end(self, header: Header) -> bool:
        """Return whether the composition may stand as it is, and a space group follow."""
        pairs = frozenset(header)
        return any(self._valid(pairs, factor) and self._complete(pairs, factor) for factor in self.factors)

    def units(self, header: Header, group: int) -> list[int]:
        """Return each Z that a complete header can have in a space group."""
        if group not in self.groups or not self.may_end(header):
            return []
        atoms, required = self.sums(frozenset(header)).atoms, self.required_orbits(header, group)
        place, factor = occupancy(group), atoms // (sum(self.formula.values()) or atoms)
        cells = {units: tuple(count * units for _, count in header) for units in self._units(atoms, factor, last=True)}
        return [units for units, cell in cells.items() if place.feasible(cell, 0, required)]

    def required_orbits(self, header: Header, group: int) -> Required:
        """Return the orbits that the required positions leave to be placed, species being numbered as in the header."""
        elements = [self.constraints.species[index][0] for index, _ in header]
        return required_orbits(group, self.constraints.positions, elements, self.constraints.sites[1])

    def last(self, header: Header) -> int:
        """Return the rank of the last species, after which others must come; -1 where they come in any order."""
        return self.rank[header[-1][0]] if header and self.constraints.direction else -1

    def room(self, pairs: Pairs) -> int:
        """Return how many atoms the header may have besides."""
        least = 1 if self.formula else max(1, self.constraints.units[0])
        return self.constraints.sites[1] // least - self.sums(pairs).atoms

    def choices(self, header: Header) -> Iterator[tuple[int, Hashable]]:
        """Yield the species that may come next by their order alone, each with what it shares with its equals."""
        pairs, last = frozenset(header), self.last(header)
        used, present = {index for index, _ in pairs}, self.sums(pairs).elements
        missing = self.required - present.keys()
        final = [self.rank[own[-1]] for own in (self.species_of.get(z) for z in missing) if own]
        # A species after all those of a missing element would leave that out.
        end = min(final) + 1 if final and self.constraints.direction else len(self.usable)
        for index in self.usable[last + 1 : end]:
            z = self.constraints.species[index][0]
            if index not in used:
                # What may follow a species, if they come in order, or of its element besides, differs for each.
                own = self.formula or self.constraints.direction or z in missing or (self.few_elements and z in present)
                yield index, index if own else (self.kind[index], self.count_elements and z in present)

    def _units(self, atoms: int, factor: int, *, last: bool) -> range:
        """Each Z that a header of so many atoms can have; `last` if no more are to come."""
        (low, high), (fewest, most) = self.constraints.units, self.constraints.sites
        if self.formula:
            atoms, last = factor * sum(self.formula.values()), True
            low, high = -(-low // factor), high // factor
        low = max(low, -(-fewest // atoms)) if last else low
        return range(low, min(high, most // atoms) + 1)

    def _sums(self, pairs: Pairs) -> Sums:
        charge, elements = 0, dict[int, int]()
        for index, count in pairs:
            z = self.constraints.species[index][0]
            elements[z] = elements.get(z, 0) + count
            charge += self.charge[index] * count
        counts = tuple(sorted([count for _, count in pairs]))
        return Sums(sum(counts), charge, gcd(*counts), counts, elements)

    def _valid(self, pairs: Pairs, factor: int) -> bool:
        """Whether no upper bound is passed, and the atoms so far can be placed."""
        sums = self.sums(pairs)
        missing = len(self.required - sums.elements.keys())
        if self.formula and any(n > factor * self.formula.get(z, 0) for z, n in sums.elements.items()):
            return False
        few = len(sums.elements) + missing <= self.constraints.num_elements[1] and len(pairs) + missing <= MAX_SPECIES
        if not (few and self._fits(sums.counts, factor, last=False)):
            return False
        return not self.constraints.positions or self._leaves_positions(pairs, factor)

    def _leaves_positions(self, pairs: Pairs, factor: int) -> bool:
        """Whether the required positions can be occupied by these species, or by others in the room that they leave."""
        header, sites = tuple(pairs), self.constraints.sites[1]
        units = self._units(max(1, self.sums(pairs).atoms), factor, last=False)
        for group, n in product(self.groups, units):
            place, cell = occupancy(group), tuple(count * n for _, count in header)
            required = self.required_orbits(header, group)
            for later in product((False, True), repeat=len(required)):
                others = [orbit.position for orbit, other in zip(required, later, strict=True) if other]
                used = sum(1 << position for position in others)
                own = tuple(orbit for orbit, other in zip(required, later, strict=True) if not other)
                room = sites - sum(cell) - sum(place.multiplicities[position] for position in others)
                if room >= 0 and place.feasible(cell, used & place.fixed_mask, own):
                    return True
        return False

    def _complete(self, pairs: Pairs, factor: int) -> bool:
        """Whether a valid header may end here."""
        sums = self.sums(pairs)
        if sums.divisor != 1 or sums.charge or not self.required <= sums.elements.keys():
            return False
        if self.formula and any(sums.elements.get(z, 0) != factor * n for z, n in self.formula.items()):
            return False
        enough = len(sums.elements) >= self.constraints.num_elements[0] and self._fits(sums.counts, factor, last=True)
        if not (enough and self.constraints.positions):
            return enough
        header = tuple(pairs)
        units = self._units(sums.atoms, factor, last=True)
        cells = ((group, tuple(count * n for _, count in header)) for group in self.groups for n in units)
        return any(occupancy(g).feasible(cell, 0, self.required_orbits(header, g)) for g, cell in cells)

    def _fits_uncached(self, counts: Counts, factor: int, *, last: bool) -> bool:
        """Whether some group and Z take species with these counts, required positions aside."""
        if not counts:
            return bool(self.groups)
        units = self._units(sum(counts), factor, last=last)
        if self.any_counts or not units:
            return bool(units)
        cells = (tuple(count * n for count in counts) for n in units)
        return any(solver.feasible(cell, solver.available) for cell in cells for solver in self.solvers)

    def _search(self, pairs: Pairs, last: int, factor: int) -> bool:
        """Whether a valid header may end, here or after further species."""
        key = self._key(pairs, last, factor)
        if key not in self._answers:
            if len(self._answers) >= CACHE_SIZE:
                self._answers.clear()
            self._answers[key] = self._complete(pairs, factor) or self._grows(pairs, last, factor)
        return self._answers[key]

    def _key(self, pairs: Pairs, last: int, factor: int) -> Hashable:
        """What decides the answer: where species of one charge can stand for each other, not which they are."""
        if self.formula or self.constraints.positions:
            return pairs, last, factor
        sums = self.sums(pairs)
        if self.count_elements or self.required:
            counts = (sums.atoms, sums.divisor) if self.any_counts else sums.counts
            return counts, sums.charge, self._further(pairs, last)
        used = Counter(self.charge[index] for index, _ in pairs if self.rank[index] > last)
        left = tuple(
            min(len(ranks) - bisect_right(ranks, last) - used[self.charge[self.usable[ranks[0]]]], MAX_SPECIES)
            for ranks in self.members.values()
        )
        return sums.counts, sums.charge, left

    def _grows(self, pairs: Pairs, last: int, factor: int) -> bool:
        """Whether it may end after further species."""
        if not self._may_grow(pairs, last, factor):
            return False
        if self.formula and not self.constraints.positions and len(primes_of(factor)) <= 1:
            return True  # `_may_grow` has looked at all there is
        if self.any_counts and not self.formula and (answer := self._decide(pairs, last)) is not None:
            return answer
        for pair in self._extensions(pairs, last, factor):
            self._nodes -= 1
            more = pairs | {pair}
            if self._nodes < 0 or (self._valid(more, factor) and self._search(more, last, factor)):
                return True
        return False

    def _decide(self, pairs: Pairs, last: int) -> bool | None:
        """Whether a header whose counts fit in any case can be completed by further species; None if unknown."""
        sums, (fewest, sites) = self.sums(pairs), self.constraints.sites
        atoms = tuple(
            range(max(0, -(-fewest // units) - sums.atoms), sites // units - sums.atoms + 1)
            for units in self._units(max(1, sums.atoms), 1, last=False)
        )
        return self.open.decide(self._further(pairs, last), atoms, sums.charge, sums.divisor)

    def _further_uncached(self, pairs: Pairs, last: int) -> Further:
        """The species that may still come."""
        sums, states = self.sums(pairs), self._states_after(last)
        missing = self.required - sums.elements.keys()
        own: dict[int, list[int]] = {z: list(states.get(z, ())) for z in sums.elements}
        for index, _ in pairs:
            if self.rank[index] > last:
                own[self.constraints.species[index][0]].remove(self.charge[index])
        (least, most), here = self.constraints.num_elements, len(sums.elements) + len(missing)
        new = Counter(charges for z, charges in states.items() if z not in own and z not in missing)
        return Further(
            tuple(sorted(states.get(z, ()) for z in missing)),
            tuple(sorted(tuple(charges) for charges in own.values() if charges)),
            tuple(sorted((charges, min(number, MAX_SPECIES)) for charges, number in new.items())),
            range(max(0, least - here), most - here + 1),
            MAX_SPECIES - len(pairs),
        )

    def _states_after_uncached(self, last: int) -> dict[int, tuple[int, ...]]:
        """Charges of the species of each element that come after one of them."""
        found: dict[int, list[int]] = {}
        for index in self.usable[last + 1 :]:
            found.setdefault(self.constraints.species[index][0], []).append(self.charge[index])
        return {z: tuple(sorted(charges)) for z, charges in found.items()}

    def _may_grow(self, pairs: Pairs, last: int, factor: int) -> bool:
        """Whether nothing that is quickly seen speaks against further species."""
        sums, (least, most) = self.sums(pairs), self.constraints.num_elements
        lacking = max(1, least - len(sums.elements))
        if lacking > min(self.room(pairs), MAX_SPECIES - len(pairs)):
            return False
        if self.formula:
            fits = least <= len(self.formula) <= most and self.required <= self.formula.keys()
            return fits and self._formula_fits(pairs, last, factor)
        if lacking > 1 and lacking > len(self._elements_after(last) - sums.elements.keys()):
            return False
        if not all(self._further(pairs, last).missing):
            return False
        if self.any_counts:
            return True
        charges = self._charges_left(pairs, last)
        return not pairs or self._has_room(sums.counts, sums.charge, sums.divisor, charges)

    def _extensions(self, pairs: Pairs, last: int, factor: int) -> Iterator[tuple[int, int]]:
        """Pairs of which every completion has one, those first that balance the charge."""
        sums, used = self.sums(pairs), {index for index, _ in pairs}
        room = {z: factor * n - sums.elements.get(z, 0) for z, n in self.formula.items()}
        missing = [z for z in room if room[z]] if self.formula else sorted(self.required - sums.elements.keys())
        if self.formula and not missing:
            return
        if missing:
            own = self.species_of.get(missing[0], [])
            species = [index for index in own if index not in used and self.rank[index] > last]
        else:
            species = list(self._representatives(used, sums.elements.keys(), last))
        most = room[missing[0]] if self.formula else self.room(pairs)
        if sums.charge:
            for index in species:
                count, rest = divmod(-sums.charge, self.charge[index]) if self.charge[index] else (0, 1)
                if not rest and 0 < count <= most:
                    yield index, count
        charges = self._charges_left(pairs, last)
        for count in range(most, 0, -1) if self.formula else range(1, most + 1):
            counts = tuple(sorted((*sums.counts, count)))
            divisor = gcd(sums.divisor, count)
            for index in species:
                charge = sums.charge + self.charge[index] * count
                tried = sums.charge and not charge
                if not tried and (self.formula or self._has_room(counts, charge, divisor, charges)):
                    yield index, count

    def _has_room_uncached(self, counts: Counts, charge: int, divisor: int, charges: frozenset[int]) -> bool:
        """Whether some group and Z take further species of these charges that make a header complete."""
        atoms, (fewest, most) = sum(counts), self.constraints.sites
        for units in self._units(max(atoms, 1), 1, last=False):
            further = range(max(0, -(-fewest // units) - atoms), most // units - atoms + 1)
            cell = tuple(count * units for count in counts)
            for solver in self.solvers:
                balance = self._balance(solver, units, charges, most // units)
                if any(balance.holds(left, further, charge, divisor) for left in places_left(solver, cell)):
                    return True
        return False

    def _representatives(self, used: set[int], present: Collection[int], last: int) -> Iterator[int]:
        """Yield one species of each class that may follow; of present elements all, where these differ."""
        own = [index for z in present for index in self.species_of[z]] if self.count_elements else []
        yield from (index for index in own if index not in used and self.rank[index] > last)
        for ranks in self.members.values():
            for rank in ranks[bisect_right(ranks, last) :]:
                index = self.usable[rank]
                if index not in used and not (self.count_elements and self.constraints.species[index][0] in present):
                    yield index
                    break

    def _charges_left(self, pairs: Pairs, last: int) -> frozenset[int]:
        """Charges of the species that may still come."""
        used, present = {index for index, _ in pairs}, self.sums(pairs).elements
        if not (self.few_elements and len(present) == self.constraints.num_elements[1]):
            return self._charges_after(last)
        own = [index for z in present for index in self.species_of[z] if index not in used]
        return frozenset(self.charge[index] for index in own if self.rank[index] > last)

    def _formula_fits_uncached(self, pairs: Pairs, last: int, factor: int) -> bool:
        """Whether what the formula lacks can be divided among species that can be placed and balance the charge.

        Exact but for required positions, the number of species, and more than one prime that divides all counts so far.
        """
        sums, used, lacking = self.sums(pairs), {index for index, _ in pairs}, []
        for z, n in self.formula.items():
            own = [i for i in self.species_of.get(z, []) if i not in used and self.rank[i] > last]
            if atoms := factor * n - sums.elements.get(z, 0):
                lacking.append(Lacking(atoms, tuple(self.charge[index] for index in own)))
        cells = list(product(self.solvers, self._units(1, factor, last=True)))
        return all(
            any(elements_fit(cell, sums.counts, sums.charge, lacking, prime) for cell in cells)
            for prime in primes_of(gcd(sums.divisor, factor)) or [0]
        )


def _has_positions(group: int, constraints: HeaderConstraints) -> bool:
    try:
        required_orbits(group, constraints.positions, (), constraints.sites[1])
    except (CrystalError, RequestError):
        return False
    return True
