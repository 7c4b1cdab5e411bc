"""Hard constraints: which compositions a request allows, and the refusal of requests that none can meet.

What is kept here is kept for every structure: the mask of sampling leaves no token from which the constraints could
no longer be met (`automaton.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from materium.errors import RequestError
from materium.generate.targets import Range, parse_composition, reduced

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from materium.generate.request import Request
    from materium.generate.targets import Target
    from materium.tokens.tokenizer import Order
    from materium.tokens.vocab import Vocabulary

Composition: TypeAlias = tuple[tuple[int, int], ...]
"""Atomic numbers with the atoms of each in the primitive cell, by atomic number."""

SORTED_ORDERS: dict[str, int] = {"high": -1, "low": 1}
"""Orders in which elements stand by atomic number, with the sign of the number; in the others they may mix."""


@dataclass(frozen=True)
class Constraints:
    """What every structure must keep.

    Parameters
    ----------
    allowed
        Atomic numbers that may occur.
    required
        Atomic numbers that must occur.
    compositions
        The contents of the cell of which one must be met exactly; empty leaves the content open.
    sites
        Least and most atoms in the primitive cell.
    neutral
        Whether the oxidation states must add up to zero.
    direction
        -1 or 1 where the elements must stand by falling or rising atomic number, 0 where they may mix.
    """

    allowed: frozenset[int]
    required: frozenset[int]
    compositions: tuple[Composition, ...]
    sites: tuple[int, int]
    neutral: bool
    direction: int
    free: bool = False
    """Whether nothing is asked for, so that no mask is needed."""


def constraints_of(request: Request, cell: Mapping[str, Target], vocab: Vocabulary, max_sites: int) -> Constraints:
    """Return what the structures of one combination of targets must keep.

    Raises
    ------
    RequestError
        If no structure can keep all of it, naming what contradicts what.
    """
    known = frozenset(z for z, _ in vocab.species)
    numbers = {name: frozenset(map(_number, getattr(request, name))) for name in ("elements", "require", "forbid")}
    system = _system(request, cell)
    _refuse(numbers["require"] & numbers["forbid"], "is in --require and in --forbid")
    for name in ("elements", "require"):
        _refuse(numbers[name] - known, "has no token in this model")
    _refuse(system - known, "has no token in this model")
    allowed = ((numbers["elements"] or known) & (system or known)) - numbers["forbid"]
    required = numbers["require"] | system
    _refuse(required - allowed, "must occur and must not: see --chemical-system, --elements, --require, --forbid")
    sites = _sites(request, cell, max_sites)
    compositions = _compositions(request, cell, sites, max_sites)
    for composition in compositions[:1]:
        inside = frozenset(z for z, _ in composition)
        _refuse(inside - known, "has no token in this model")
        _refuse(inside & numbers["forbid"], "is in the formula and in --forbid")
        _refuse(inside - allowed, "is in the formula, and not among the elements that may occur")
        _refuse(required - inside, "must occur, and is not in the formula")
    if not allowed:
        raise RequestError("no element is left that may occur; forbid fewer")
    if len(required) > sites[1]:
        raise RequestError(f"{len(required)} elements must occur in at most {sites[1]} atoms; ask for more atoms")
    if request.neutral and not any(state for _, state in vocab.species):
        raise RequestError("neutral needs a model with oxidation states, and this one has none")
    asked = numbers["elements"] | numbers["require"] | numbers["forbid"] | system
    free = not (asked or compositions or request.neutral or sites != (1, max_sites))
    direction = SORTED_ORDERS.get(request.order, 0)
    return Constraints(allowed, required, compositions, sites, request.neutral, direction, free)


def completed(host: Iterable[int], added: str, order: Order) -> Constraints:
    """Return what a host of the given atomic numbers must become when the formula `added` is put in."""
    counts = dict(parse_composition(added))
    for z in host:
        counts[z] = counts.get(z, 0) + 1
    composition = tuple(sorted(counts.items()))
    inside, atoms = frozenset(counts), sum(counts.values())
    direction = SORTED_ORDERS.get(order, 0)
    return Constraints(inside, inside, (composition,), (atoms, atoms), neutral=False, direction=direction)


def _number(symbol: str) -> int:
    from pymatgen.core import Element

    return int(Element(symbol).Z)


def _refuse(numbers: frozenset[int], fault: str) -> None:
    from pymatgen.core import Element

    if numbers:
        raise RequestError(f"{', '.join(Element.from_Z(z).symbol for z in sorted(numbers))} {fault}")


def _system(request: Request, cell: Mapping[str, Target]) -> frozenset[int]:
    if request.soft or "chemical_system" not in cell:
        return frozenset()
    return frozenset(z for z, _ in parse_composition(str(cell["chemical_system"])))


def _sites(request: Request, cell: Mapping[str, Target], most: int) -> tuple[int, int]:
    """Least and most atoms."""
    asked = cell.get("num_sites")
    if request.soft or asked is None:
        return 1, most
    bounds = (asked.low, asked.high) if isinstance(asked, Range) else (float(asked), float(asked))
    low, high = (int(bounds[0] or 1), int(bounds[1] or most))
    if low > most:
        raise RequestError(f"num_sites = {asked} is more than the {most} atoms that this model writes at most")
    return low, min(high, most)


def _compositions(
    request: Request, cell: Mapping[str, Target], sites: tuple[int, int], most: int
) -> tuple[Composition, ...]:
    """The contents of the cell that a formula leaves."""
    if request.cell_formula is not None:
        exact = tuple(parse_composition(request.cell_formula))
        units = [1]
    elif "reduced_formula" in cell and not request.soft:
        exact = reduced(parse_composition(str(cell["reduced_formula"])))
        low, high = request.z or (1, most)
        units = list(range(low, max(low, min(high, most)) + 1))
    else:
        return ()
    atoms = sum(count for _, count in exact)
    if min(units) * atoms > most:
        raise RequestError(f"{min(units) * atoms} atoms are asked for; this model writes at most {most}")
    fitting = [k for k in units if sites[0] <= k * atoms <= sites[1]]
    if not fitting:
        asked = f"{sites[0]} to {sites[1]}" if sites[0] != sites[1] else f"{sites[0]}"
        possible = ", ".join(str(k * atoms) for k in units if k * atoms <= most)
        raise RequestError(f"{asked} atoms do not go with the formula; it makes cells of {possible} atoms")
    return tuple(tuple((z, k * count) for z, count in exact) for k in fitting)
