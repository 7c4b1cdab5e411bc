"""Why hard constraints cannot be kept, in one line, before anything is sampled."""

from __future__ import annotations

from math import gcd
from typing import TYPE_CHECKING

from materium.core.completion import CompletionSearch
from materium.core.occupancy import occupancy, required_orbits
from materium.errors import CrystalError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from materium.core.completion import HeaderConstraints
    from materium.core.occupancy import Occupancy, RequiredPosition

MAX_SITES = 52
"""Atoms in the primitive cell, unless another limit is given."""
MAX_LISTED = 8
"""Numbers that a message lists before it leaves some out."""


def explain(
    formula: tuple[tuple[int, int], ...],
    group: int,
    z: int | None = None,
    *,
    positions: tuple[RequiredPosition, ...] = (),
    max_sites: int = MAX_SITES,
) -> str | None:
    """Return why a formula cannot be placed in a space group, or None if it can; each element is one species.

    Parameters
    ----------
    formula
        Pairs of atomic number and count.
    group
        International number.
    z
        Formula units in the primitive cell; None for any number.
    positions
        Wyckoff positions that must be occupied.
    max_sites
        Most atoms in the primitive cell.
    """
    try:
        required = required_orbits(group, positions, [number for number, _ in formula], max_sites)
    except (CrystalError, RequestError) as error:
        return str(error)
    place, atoms = occupancy(group), sum(count for _, count in formula)
    # With more units than this, whatever is left beside the required orbits fills general positions.
    largest = max(max_sites // atoms, max(place.multiplicities) * (2 + len(required)))
    cells = ((units, tuple(count * units for _, count in formula)) for units in range(1, largest + 1))
    possible = [units for units, cell in cells if place.feasible(cell, 0, required)]
    within = [units for units in possible if units * atoms <= max_sites]
    if z in within or (z is None and within):
        return None
    where, limit = f"{_name(formula)} in space group {group}", f"{max_sites} is the limit; raise it"
    if z in possible:
        return f"{where}: Z = {z} has {z * atoms} atoms in the primitive cell, and {limit} or choose another Z"
    if within:
        must = f"Z must be {_listed(within)} (formula units in the primitive cell)"
        return f"{where}: {must}; Z = {z} {_cannot(place, positions)}"
    if possible:
        least = f"Z = {possible[0]}, {possible[0] * atoms} atoms in the primitive cell"
        return f"{where} needs at least {least}, and {limit} or choose another space group"
    return f"{where}: its elements, in any number, {_cannot(place, positions)}"


def refuse_contradictions(constraints: HeaderConstraints) -> None:
    """Refuse constraints that no header can keep.

    Raises
    ------
    RequestError
        Naming what contradicts what.
    """
    search, formula = CompletionSearch(constraints), constraints.formula
    if search.completable(()):
        return
    if formula and (missing := search.required - search.formula.keys()):
        raise RequestError(f"{_name(formula)} has no {_symbols(missing)}, which must occur")
    if formula and (foreign := search.formula.keys() - search.species_of.keys()):
        raise RequestError(f"{_name(formula)} has {_symbols(foreign)}, which may not occur or has no token")
    if fault := _fault_of_groups(search):
        raise RequestError(fault)
    raise RequestError(_fault_of_formula(constraints) if formula else _fault_of_composition(constraints))


def _fault_of_groups(search: CompletionSearch) -> str | None:
    """What is wrong with the space groups whatever the composition is."""
    groups, positions, most = search.constraints.groups, search.constraints.positions, search.constraints.sites[1]
    if len(groups) != 1:
        labels = ", ".join(position.label for position in positions)
        lacking = f"none of {len(groups)} space groups has the Wyckoff positions {labels} within {most} atoms"
        return None if search.groups else lacking
    (group,) = groups
    least = min(occupancy(group).multiplicities)
    if least > most:
        return (
            f"space group {group} needs at least {least} atoms in the primitive cell, and {most} is the limit; raise it"
        )
    try:
        required_orbits(group, positions, (), most)
    except (CrystalError, RequestError) as error:
        return str(error)
    return None


def _fault_of_formula(constraints: HeaderConstraints) -> str:
    """Why a formula has no cell."""
    formula, (low, high), (fewest, most) = constraints.formula or (), constraints.units, constraints.sites
    atoms, name = sum(count for _, count in formula), _name(formula)
    units = range(max(low, -(-fewest // atoms)), min(high, most // atoms) + 1)
    if not units:
        least = f"{name} has {low * atoms} atoms in the primitive cell with Z = {low}"
        return f"{least}; {fewest} to {most} atoms are allowed{f', and at most Z = {high}' if high < most else ''}"
    if len(constraints.groups) > 1:
        balance = " with oxidation states that balance" if constraints.neutral else ""
        groups = f"none of {len(constraints.groups)} space groups"
        return f"{name} with Z = {_listed(units)} can be placed in {groups}{balance}; allow other Z or groups"
    (group,) = constraints.groups
    faults = [explain(formula, group, z, positions=constraints.positions, max_sites=most) for z in (None, *units)]
    if faults[0] or all(faults[1:]):
        return faults[0] or str(faults[1])
    return f"{name} in space group {group} has no oxidation states that balance and can be placed; leave out neutral"


def _fault_of_composition(constraints: HeaderConstraints) -> str:
    """Why no composition keeps the constraints; which of them is at fault is not searched for."""
    groups, (few, many), (low, high) = constraints.groups, constraints.sites, constraints.num_elements
    where = f"space group {min(groups)}" if len(groups) == 1 else f"any of {len(groups)} space groups"
    what = f"{low if low == high else f'{low} to {high}'} elements{' and no charge' if constraints.neutral else ''}"
    with_ = f", with {_symbols(constraints.required)}" if constraints.required else ""
    return f"no composition of {what}{with_} can be placed in {where} with {few} to {many} atoms in the primitive cell"


def _cannot(place: Occupancy, positions: tuple[RequiredPosition, ...]) -> str:
    """Say that atoms have no place, and which places there are."""
    pairs = list(zip(place.multiplicities, place.is_fixed, strict=True))
    fixed, free = [size for size, single in pairs if single], {size for size, single in pairs if not single}
    once = f"multiplicity {', '.join(map(str, fixed))} (once each) and " if fixed else "multiplicity "
    repeated = f"{', '.join(map(str, sorted(free)))} (repeatedly)"
    occupied = f" with {' and '.join(_required(entry) for entry in positions)}" if positions else ""
    return f"cannot be placed on positions of {once}{repeated}{occupied}"


def _required(entry: RequiredPosition) -> str:
    return f"{entry.label} occupied" if entry.element is None else f"{_symbols({entry.element})} on {entry.label}"


def _name(formula: tuple[tuple[int, int], ...]) -> str:
    """The formula in the usual order of its elements."""
    from pymatgen.core import Composition, Element

    counts = {Element.from_Z(z).symbol: count for z, count in formula}
    composition = Composition(counts)
    if len(counts) > 1 and gcd(*counts.values()) == 1:
        return str(composition.reduced_formula)
    return "".join(f"{symbol}{count if count > 1 else ''}" for symbol, count in counts.items())


def _symbols(numbers: Iterable[int]) -> str:
    from pymatgen.core import Element

    return ", ".join(Element.from_Z(z).symbol for z in sorted(numbers))


def _listed(numbers: Iterable[int]) -> str:
    """Numbers to choose from, those in the middle left out where they are many."""
    texts = [str(number) for number in numbers]
    if len(texts) > MAX_LISTED:
        return ", ".join([*texts[: MAX_LISTED - 2], "…", texts[-1]])
    return " or ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
