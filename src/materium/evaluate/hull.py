"""Energy above the hull of a reference: how far a crystal lies above the best mixture of known phases.

The hull at one composition is a linear program over the phases of the crystal's elements: the cheapest mixture of them
that has its composition (S. P. Ong et al., Chem. Mater. 20, 1798, 2008, equation of the phase diagram). It is exact and
needs no facets, whose number explodes with the number of elements. Nothing here knows how energies come about.
"""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from materium import convert
from materium.errors import MateriumError
from materium.evaluate.corrections import on_hull_scale
from materium.properties import LOWEST_ABOVE_HULL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from materium.crystal import Crystal
    from materium.evaluate.reference import Reference
    from materium.relax.potential import Potential

    System = tuple[str, ...]
    """Symbols of elements in alphabetical order."""

SMALLEST_SHARE = 1e-6
"""Of the atoms; a phase with less is rounding of the linear program."""
CACHED = 65536
"""Formulas whose mixture, or whose composition, is kept."""
DEEPEST = -5.0
"""eV/atom. Not even fluorides lie as far below their elements, let alone below a hull."""
SUPPORTED = LOWEST_ABOVE_HULL
"""eV/atom. What comes out lower competes with the wrong phases: of compounds that are known, none lies as far below all
others of its system, but where the reference lacks these."""
UNSUPPORTED = "unsupported"
"""How the reason begins where a hull says nothing of a crystal."""


class Entry(NamedTuple):
    """A phase: its energy at a composition.

    Attributes
    ----------
    id
        Of the crystal in its table, or `terminal Fe` for an element's energy that was fitted.
    formula
        Reduced formula.
    energy
        eV/atom, on the hull's scale.
    kind
        How the energy is known: `computed`, `implied` or `terminal`; see `reference_build`.
    """

    id: str
    formula: str
    energy: float
    kind: str


class Phase(NamedTuple):
    """A phase in a mixture, with its share of the atoms."""

    entry: Entry
    amount: float


class Mixture(NamedTuple):
    """The cheapest mixture at a composition: its energy in eV/atom and its phases, the largest share first."""

    energy: float
    phases: tuple[Phase, ...]


@lru_cache(CACHED)
def fractions(formula: str) -> dict[str, float]:
    """Return the share of each element in the atoms of a formula, by symbol in alphabetical order."""
    from pymatgen.core import Composition

    amounts = Composition(formula).get_el_amt_dict()
    total = sum(amounts.values())
    return {symbol: amounts[symbol] / total for symbol in sorted(amounts)}


def system_of(formula: str) -> System:
    """Return the elements of a formula, found without the cost of parsing it."""
    return tuple(sorted(set(re.findall(r"[A-Z][a-z]?", formula))))


class Envelope:
    """The lower convex envelope of phases over all compositions."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        lowest: dict[str, Entry] = {}
        for entry in entries:
            if entry.formula not in lowest or entry.energy < lowest[entry.formula].energy:
                lowest[entry.formula] = entry
        self._systems: dict[System, list[Entry]] = {}
        for entry in lowest.values():
            self._systems.setdefault(system_of(entry.formula), []).append(entry)
        self._found = lru_cache(CACHED)(self._solve)

    def __reduce__(self) -> tuple[type[Envelope], tuple[list[Entry]]]:
        """Go to another process as the phases alone: a cache cannot."""
        return Envelope, (self.entries,)

    @property
    def entries(self) -> list[Entry]:
        """The phases, of several at one composition the lowest, ordered by chemical system."""
        return [entry for system in sorted(self._systems) for entry in self._systems[system]]

    def missing(self, formula: str) -> tuple[str, ...]:
        """Return the elements of a formula of which no pure phase is known: there is no hull over them."""
        return tuple(symbol for symbol in system_of(formula) if (symbol,) not in self._systems)

    def mixture(self, formula: str) -> Mixture | None:
        """Return the cheapest mixture of phases at the composition of a formula, None where an element is missing."""
        return None if self.missing(formula) else self._found(formula)

    def compounds(self, formula: str) -> int:
        """Return how many phases of two or more elements there are, all of them elements of this formula."""
        parts = self._parts(system_of(formula))
        return sum(len(self._systems.get(part, ())) for part in parts if len(part) > 1)

    def vertices(self) -> list[Entry]:
        """Return the phases that no mixture of others undercuts: the rest can never be part of a mixture."""
        return [entry for entry in self.entries if self.is_vertex(entry)]

    def is_vertex(self, entry: Entry) -> bool:
        """Tell whether no mixture of others undercuts a phase."""
        found = self.mixture(entry.formula)
        return found is None or any(phase.entry == entry for phase in found.phases)

    def _gather(self, system: System) -> tuple[list[Entry], NDArray[np.float64], NDArray[np.float64]]:
        """Phases of these elements and of fewer, with their compositions, shape (n, k), and energies, shape (k,)."""
        entries = [entry for part in self._parts(system) for entry in self._systems.get(part, [])]
        shares = [fractions(entry.formula) for entry in entries]
        table = np.array([[share.get(symbol, 0.0) for share in shares] for symbol in system])
        return entries, table, np.array([entry.energy for entry in entries])

    def _parts(self, system: System) -> Iterable[System]:
        """Systems of these elements and of fewer, the smallest first; of many elements only those with phases."""
        if 2 ** len(system) <= len(self._systems):
            return [part for size in range(1, len(system) + 1) for part in combinations(system, size)]
        known = [part for part in self._systems if set(part) <= set(system)]
        return sorted(known, key=lambda part: (len(part), part))

    def _solve(self, formula: str) -> Mixture:
        from scipy.optimize import linprog  # type: ignore[import-untyped] # it ships no types

        entries, table, energies = self._gather(system_of(formula))
        wanted = list(fractions(formula).values())
        result = linprog(energies, A_eq=table, b_eq=wanted, method="highs")
        if result.status != 0:
            raise MateriumError(f"no hull at {formula}: {result.message}")
        phases = [Phase(entries[k], float(result.x[k])) for k in np.flatnonzero(result.x > SMALLEST_SHARE)]
        return Mixture(float(result.fun), tuple(sorted(phases, key=lambda phase: -phase.amount)))


class Hull:
    """The hull of a reference."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        self._envelope = Envelope(reference.entries)

    def require(self, potential: Potential) -> None:
        """Refuse a potential whose energies do not belong on this hull.

        Raises
        ------
        MateriumError
            If its name, version or energy scale is another than the reference's.
        """
        own = (self.reference.potential, self.reference.version, self.reference.scheme)
        theirs = (potential.name, potential.version, potential.scheme)
        if own != theirs:
            raise MateriumError(
                f"reference {self.reference.name} is a hull of {_named(own)} and the energies are of {_named(theirs)}; "
                f"make one that fits: materium reference build TABLE --potential {potential.name} --out FILE"
            )

    def missing(self, crystal: Crystal) -> tuple[str, ...]:
        """Return the symbols of the crystal's elements that the reference lacks."""
        return self._envelope.missing(convert.formula(crystal))

    def energy(self, crystal: Crystal) -> float | None:
        """Return the hull's energy at the crystal's composition in eV/atom, None where an element is missing."""
        mixture = self._envelope.mixture(convert.formula(crystal))
        return None if mixture is None else mixture.energy

    def energy_above_hull(self, crystal: Crystal, energy_per_atom: float) -> float | None:
        """Return the energy above the hull in eV/atom, negative below it.

        Parameters
        ----------
        energy_per_atom
            eV/atom, as the reference's potential gives it: corrections that the hull has are applied here.

        Returns
        -------
        float or None
            None where an element is missing from the reference, or the energy is not finite.
        """
        hull = self.energy(crystal)
        if hull is None or not np.isfinite(energy_per_atom):
            return None
        return on_hull_scale(crystal, energy_per_atom, self.reference.scheme) - hull

    def support(self, crystal: Crystal) -> int:
        """Return how many compounds of the reference's hull compete with a crystal.

        They are the phases on the hull that hold two or more of the crystal's elements and no other. With none, the
        mixture of lowest energy is one of elements, and with one it never is: as a crystal holds all of its elements,
        some of the compound in place of its elements lowers the energy.
        """
        return self._envelope.compounds(convert.formula(crystal))

    def unsupported(self, crystal: Crystal, height: float | None = None) -> str | None:
        """Return why the reference cannot tell whether a crystal is stable; None if it can.

        Either only elements compete with a crystal of several, and its own formula is not known, or it lies more than
        0.3 eV/atom below the hull (`SUPPORTED`): in both cases the reference lacks the compounds of these elements.

        Parameters
        ----------
        height
            Energy above the hull, eV/atom; without it the composition alone decides.
        """
        formula = convert.formula(crystal)
        alone = len(system_of(formula)) > 1 and not self.support(crystal)
        if alone and formula not in self.reference.known_formulas:
            return f"{UNSUPPORTED}: only elements compete, for the reference has no compound of these elements alone"
        if height is not None and height < SUPPORTED:
            lacking = "the reference lacks compounds of these elements, or the potential fails"
            return f"{UNSUPPORTED}: {-height:.3g} eV/atom below the hull, more than {-SUPPORTED:g}: {lacking}"
        return None

    def phases(self, crystal: Crystal) -> list[Phase]:
        """Return the phases that the crystal competes with, the largest share first; empty where an element is missing.

        Where the crystal's own composition is on the hull, they are one: the phase of the same formula.
        """
        mixture = self._envelope.mixture(convert.formula(crystal))
        return [] if mixture is None else list(mixture.phases)

    def decomposition(self, crystal: Crystal) -> list[tuple[str, float]]:
        """Return formula and share of the atoms of the phases that the crystal competes with; see `phases`."""
        return [(phase.entry.formula, phase.amount) for phase in self.phases(crystal)]


def too_deep(height: float) -> str | None:
    """Return why an energy above the hull, eV/atom, cannot be meant; None if it can.

    Potentials have holes that unusual crystals fall into, hundreds of eV deep, and would be the most stable of all.
    """
    if height >= DEEPEST:
        return None
    return f"{-height:.3g} eV/atom below the hull, where no crystal lies: the potential fails on it"


def _named(facts: Sequence[str]) -> str:
    name, version, scheme = facts
    return f"{name} {version} (energies {scheme})"
