"""What a CIF says about the content of its cell, to hold a crystal against: formula, formula units, masses, sites."""

from __future__ import annotations

import re
from collections import Counter
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from materium.crystal import GRAMS_PER_CM3

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from materium.io.cif_items import Items, Sites

MAX_FORMULA = 1000
"""Characters; a longer text is no formula."""
TOLERANCES = {"density": 0.05, "weight": 0.02, "electrons": 0.25, "measured": 0.3, "formula": 0.01}
"""Relative; `electrons` is loose for the dispersion terms in F(000), `measured` for pores."""


class Content:
    """What a CIF says about the content of its cell."""

    def __init__(self, items: Items, sites: Sites) -> None:
        """Collect formulas, numbers and masses."""
        given = items.given("_chemical_formula_sum", "_chemical_formula_structural")
        self.sites = sites
        self.formulas = [(name, text, counts) for name, text in given.items() if (counts := parse_formula(text))]
        self.units = items.number("_cell_formula_units_z")
        self.density = items.number("_exptl_crystal_density_diffrn")
        self.measured = items.number("_exptl_crystal_density_meas")
        self.weight = items.number("_chemical_formula_weight")
        probe = items.given("_diffrn_radiation_probe").get("_diffrn_radiation_probe", "x-ray")
        self.electrons = items.number("_exptl_crystal_f_000") if probe.lower().startswith("x") else None
        self.in_cell = _numbers_in_cell(items)

    @property
    def is_absolute(self) -> bool:
        """Return whether the number of atoms in the cell follows from the file without its symmetry."""
        counted = any(value is not None for value in (*self.sites.multiplicities, *self.sites.orders))
        stated = (self.density, self.measured, self.electrons, self.in_cell or None)
        with_units = self.units is not None and (self.formulas or self.weight is not None)
        return bool(counted or with_units or any(value is not None for value in stated))

    def contradictions(
        self, owners: NDArray[np.int64], multiplicities: Sequence[int], volume: float, *, order: int, listed: bool
    ) -> Iterator[str]:
        """Yield the statements that the atoms of a cell disagree with.

        Parameters
        ----------
        owners
            The site that each atom is an image of, shape (atoms,).
        multiplicities
            Of each site.
        volume
            Å³.
        order
            Number of operations of the cell.
        listed
            Whether the operations are given, not only named.
        """
        from ase.data import atomic_masses, chemical_symbols

        numbers = self.sites.numbers[owners]
        counts = Counter(chemical_symbols[number] for number in numbers.tolist())
        held = f"the cell holds {' '.join(f'{symbol}{count}' for symbol, count in sorted(counts.items()))}"
        for name, text, formula in self.formulas:
            fault = self._formula_fault(name, formula, counts)
            if fault:
                yield f"its formula: {fault}; {held}, {name} is {text[:60]!r}"
        if self.units is not None and not self.formulas and any(n % max(self.units, 1) for n in counts.values()):
            yield f"_cell_formula_units_Z {self.units:g}: {held}"
        mass = float(atomic_masses[numbers].sum())
        density = mass / volume * GRAMS_PER_CM3
        for name, value in (("density", self.density), ("measured", self.measured)):
            if value is not None and abs(density - value) > TOLERANCES[name] * value:
                yield f"its density: {held}, {density:.2f} g/cm³, and {value:g} is stated"
        if self.weight and not self._weight_fits(mass):
            yield f"_chemical_formula_weight {self.weight:g}: {held}, {mass:.1f} in all"
        if self.electrons and abs(int(numbers.sum()) - self.electrons) > TOLERANCES["electrons"] * self.electrons:
            yield f"_exptl_crystal_F_000 {self.electrons:g}: {held}, {int(numbers.sum())} electrons"
        if self.in_cell and self.in_cell != {s: float(n) for s, n in counts.items()}:
            yield f"_atom_type_number_in_cell: {held}"
        yield from self._miscounted(multiplicities, order, listed=listed)

    def _formula_fault(self, name: str, formula: Mapping[str, float], counts: Mapping[str, int]) -> str:
        differing = formula.keys() ^ counts.keys()
        if differing:
            return f"Missing elements {', '.join(sorted(differing))}"
        ratios = np.array([counts[symbol] / formula[symbol] for symbol in counts])
        tolerance = TOLERANCES["formula"]
        if np.ptp(ratios) > tolerance * ratios.max():
            return "Incorrect stoichiometry"
        whole = all(float(amount).is_integer() for amount in formula.values())
        common = gcd(*(int(amount) for amount in formula.values())) if whole else 1
        units = float(ratios.mean())
        if self.units is not None and name.endswith("_sum"):
            possible = [self.units, self.units / common]  # a formula unit, or the whole cell as pymatgen writes it
            if not any(abs(units - value) <= tolerance * units for value in possible):
                return f"_cell_formula_units_Z is {self.units:g}"
        elif whole and name.endswith("_sum") and (units < 1 - tolerance or abs(units - round(units)) > tolerance):
            return "less than the formula" if units < 1 else "no whole number of formulas"
        return ""

    def _weight_fits(self, mass: float) -> bool:
        units = mass / (self.weight or mass)
        expected = self.units if self.units is not None else max(round(units), 1)
        return abs(units - expected) <= TOLERANCES["weight"] * expected

    def _miscounted(self, made: Sequence[int], size: int, *, listed: bool) -> Iterator[str]:
        """Multiplicities; SHELX once wrote the order of the site symmetry under their name, with operations."""
        stated = self.sites.multiplicities
        shelx = listed and all(n in (None, size // m) for n, m in zip(stated, made, strict=True))
        for label, multiplicity, order, count in zip(self.sites.labels, stated, self.sites.orders, made, strict=True):
            if multiplicity not in (None, count) and not shelx:
                yield f"the multiplicity {multiplicity} of {label}: its place has {count}"
                return
            if order not in (None, size // count):
                yield f"the order {order} of the site symmetry of {label}: it is {size // count}"
                return


def parse_formula(text: str) -> dict[str, float] | None:
    """Return the counts by symbols of a formula without brackets such as `Na4 Cl4`, None for what is none.

    Symbols in capitals alone are read where each stands by itself (`NA4 CL4`). One word of two capitals is none where
    it may be an element or two (`CO`).
    """
    tokens = text.split()
    words = [re.fullmatch(r"([A-Za-z]{1,2})(\d*\.?\d*)", token) for token in tokens]
    pairs = [match.groups() for match in words if match and _is_element(match[1])]
    if len(tokens) == len(pairs) == 1 and re.match(r"[A-Z]{2}", text) and all(map(_is_element, text[:2])):
        return None
    if len(pairs) < len(tokens) or (len(tokens) == 1 and not text.isupper()):
        pairs = re.findall(r"([A-Z][a-z]?)(\d*\.?\d*)", text)
    if "".join(symbol + amount for symbol, amount in pairs) != "".join(tokens) or len(text) > MAX_FORMULA:
        return None
    counts: dict[str, float] = {}
    for symbol, amount in pairs:
        number = float(amount) if amount not in ("", ".") else 1.0
        counts[symbol.capitalize()] = counts.get(symbol.capitalize(), 0.0) + number
    return {symbol: number for symbol, number in counts.items() if number > 0} or None


def _is_element(symbol: str) -> bool:
    from gemmi import Element

    return Element(symbol.capitalize()).atomic_number > 0


def _numbers_in_cell(items: Items) -> dict[str, float]:
    """How many atoms of each element the table of types says that the cell holds."""
    counts: dict[str, float] = {}
    names, values = items.column("_atom_type_symbol"), items.column("_atom_type_number_in_cell")
    for name, value in zip(names, values, strict=False):
        match = re.match(r"[A-Za-z]{1,2}", name or "")
        if not match or not value or not re.fullmatch(r"\d{1,7}", value):
            return {}
        counts[match[0].capitalize()] = counts.get(match[0].capitalize(), 0.0) + int(value)
    return counts
