"""Targets of conditions as people write them: a value, a range such as `1..2`, `>5` or `<3`, a formula, a system."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from materium.errors import ConversionError, RequestError, nearest
from materium.properties import Property, scalar_names, table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from materium.model.conditions import Conditions
    from materium.model.config import Seen

MAX_ATOMS = 10_000
"""Atoms of one element in a formula; no crystal that the model could write comes near it."""
Pairs: TypeAlias = tuple[tuple[int, int], ...]
"""Atomic numbers with counts, by atomic number."""
Value: TypeAlias = float | str
"""A single target; text for formulas and chemical systems."""


@dataclass(frozen=True)
class Range:
    """Targets between two bounds in the unit of the property; None is the end of what training saw.

    Raises
    ------
    RequestError
        If it is reversed, empty, or has no bound at all.
    """

    low: float | None
    high: float | None

    def __post_init__(self) -> None:
        """Check the bounds."""
        given = [bound for bound in (self.low, self.high) if bound is not None]
        if not given or not all(map(math.isfinite, given)):
            bounds = f"({self.low}, {self.high})"
            raise RequestError(f"range {bounds} has no bound that is a number; write it like 1..2, >5 or <3")
        if len(given) == 2 and given[0] >= given[1]:
            raise RequestError(f"range {self} is empty; write the smaller number first, like 1..2")

    def __str__(self) -> str:
        """Return the range as it is written."""
        if self.low is None:
            return f"<{self.high:g}"
        return f">{self.low:g}" if self.high is None else f"{self.low:g}..{self.high:g}"

    def closed(self, name: str, seen: Seen | None) -> tuple[float, float]:
        """Return both bounds, an open one being the end of what training saw.

        Raises
        ------
        RequestError
            If training saw nothing, or nothing on that side of the bound.
        """
        if seen is None and (self.low is None or self.high is None):
            raise RequestError(f"{name} {self}: training saw no {name}, so the open end is unknown; give both ends")
        low = self.low if self.low is not None or seen is None else seen.low
        high = self.high if self.high is not None or seen is None else seen.high
        if low is None or high is None or low > high:
            raise RequestError(f"{name} {self} holds nothing that training saw ({low:g} to {high:g}); give both ends")
        return low, high


Target: TypeAlias = Value | Range
Bounds: TypeAlias = tuple[float | None, float | None]
"""A range as Python writes it, both ends within it: `(3, 5)` is `"3..5"`, and `(3, None)` is `">=3"`."""
NumberTargets: TypeAlias = float | str | Range | Bounds | list[float] | list[float | str | Range | Bounds]
"""What a numeric condition takes: a value, a range (a pair, or a text such as `"3..5"`), or a list of these."""
TextTargets: TypeAlias = str | list[str]
"""What a formula or a chemical system takes: one, or a list."""


def parse_target(name: str, text: Target | Bounds) -> Target:
    """Return the target of a property, checked: a number, a range, or the text of a formula or system.

    Raises
    ------
    RequestError
        If the property is unknown, or the value none of it can have.
    """
    entry = table().get(name)
    if entry is None:
        raise RequestError(f"unknown condition {name!r}; {nearest(name, table())}")
    if isinstance(text, tuple):
        text = _pair(entry, text)
    if entry.kind == "elements":
        return _system(str(text))
    if entry.kind == "formula":
        parse_composition(str(text))
        return str(text)
    found = text if isinstance(text, Range) else _range(str(text))
    if found is None:
        number = _number(name, text)
        entry.encode(number)
        return number
    if entry.kind == "category" and isinstance(text, str) and text.strip()[:1] in ("<", ">") and "=" not in text:
        found = Range(None if found.low is None else found.low + 1, None if found.high is None else found.high - 1)
    for bound in (found.low, found.high):
        if bound is not None:
            entry.encode(bound)
    return found


def _pair(entry: Property, pair: tuple[object, ...]) -> Range:
    """A range that came as a pair of numbers, one of which may be None."""
    if len(pair) != 2:
        raise RequestError(f"{entry.name} = {pair} is no range (low, high); write several targets as a list: {[*pair]}")
    low, high = (None if bound is None else _number(entry.name, bound) for bound in pair)
    return Range(low, high)


def _system(text: str) -> str:
    """A chemical system in the spelling `Fe-Li-O`."""
    from pymatgen.core import Element

    pairs = parse_composition(text)
    if any(count > 1 for _, count in pairs):
        raise RequestError(f"{text!r} has counts; a chemical system has none, write it like Li-Fe-O")
    return "-".join(sorted(Element.from_Z(z).symbol for z, _ in pairs))


def _range(text: str) -> Range | None:
    """A range as it is written, or None if the text is none."""
    if ".." in text:
        low, _, high = text.partition("..")
        return Range(_bound(text, low), _bound(text, high))
    if text[:1] in ("<", ">"):
        bound = _bound(text, text[1:].removeprefix("="))
        return Range(bound, None) if text[0] == ">" else Range(None, bound)
    return None


def _bound(text: str, part: str) -> float:
    try:
        return _float(part)
    except ValueError as error:
        raise RequestError(f"{text!r} is no range; write it like 1..2, >5 or <3") from error


def _float(text: str) -> float:
    """A number in the digits 0 to 9; Python's `float` reads those of all scripts."""
    if not text.isascii():
        raise ValueError(text)
    return float(text)


def _number(name: str, value: object) -> float:
    if name == "space_group" and str(value).strip()[:1].isalpha():
        return float(_space_group(str(value).strip()))
    try:
        return _float(str(value))
    except ValueError as error:
        raise RequestError(f"{name} = {value!r} is no number; write it like 3.5, or a range like 1..2") from error


def _space_group(symbol: str) -> int:
    from materium.convert import space_group_number

    try:
        return space_group_number(symbol)
    except ConversionError as error:
        raise RequestError(f"space_group = {symbol!r} is neither a symbol such as Fm-3m nor a number") from error


def parse_composition(text: str) -> list[tuple[int, int]]:
    """Return atomic numbers with counts, sorted, of a formula such as `LiFePO4` or a system such as `Li-Fe-O`.

    Raises
    ------
    RequestError
        If it is no formula with whole numbers.
    """
    return list(_pairs(text))


@lru_cache(maxsize=4096)
def _pairs(text: str) -> Pairs:
    from pymatgen.core import Composition, Element

    if not text.isascii():
        raise RequestError(f"{text!r} is no formula; write it in plain letters and digits, like LiFePO4")
    try:
        amounts = Composition(text.replace("-", "")).get_el_amt_dict()
        pairs = sorted((Element(symbol).Z, amount) for symbol, amount in amounts.items())
    except (ValueError, KeyError) as error:
        raise RequestError(f"{text!r} is no formula; write it like LiFePO4") from error
    if any(amount > MAX_ATOMS for _, amount in pairs):
        raise RequestError(f"{text!r} counts too many atoms; at most {MAX_ATOMS} of an element are taken")
    if not pairs or any(amount != int(amount) for _, amount in pairs) or re.search(r"[A-Za-z]0+(?!\d)", text):
        raise RequestError(f"{text!r} needs whole numbers of atoms; write it like LiFePO4")
    return tuple((z, int(amount)) for z, amount in pairs)


def reduced(pairs: Sequence[tuple[int, int]]) -> Pairs:
    """Return a formula without a common divisor."""
    divisor = int(np.gcd.reduce([count for _, count in pairs]))
    return tuple((z, count // divisor) for z, count in pairs)


def composition_slots(targets: Mapping[str, Target]) -> list[tuple[int, int]]:
    """Return elements with counts as the network is told them: of a formula, else of a chemical system, else none."""
    from materium.model.conditions import ANY_COUNT

    if "reduced_formula" in targets:
        return list(reduced(parse_composition(str(targets["reduced_formula"]))))
    if "chemical_system" in targets:
        return [(z, ANY_COUNT) for z, _ in parse_composition(str(targets["chemical_system"]))]
    return []


def told(rows: Sequence[Mapping[str, Value]], layout: int) -> Conditions:
    """Return the conditions of sentences that are told `rows`, all with equally many elements."""
    import torch  # so that a request can be read and checked without it

    from materium.model.conditions import Conditions

    scalars = torch.full((len(rows), len(scalar_names())), float("nan"))
    for column, name in enumerate(scalar_names()):
        for row, targets in enumerate(rows):
            if name in targets:
                scalars[row, column] = table()[name].encode(float(targets[name]))
    slots = torch.tensor([composition_slots(targets) for targets in rows], dtype=torch.long)
    slots = slots.reshape(len(rows), -1, 2)
    return Conditions(scalars, slots[..., 0], slots[..., 1], torch.full((len(rows),), layout))
