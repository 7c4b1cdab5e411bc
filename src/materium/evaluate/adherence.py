"""How well crystals meet what was asked for: shares of all that were asked for, with failures counted as misses."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import gcd, isfinite, sqrt
from statistics import median
from typing import TYPE_CHECKING

from materium.errors import MateriumError
from materium.properties import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from materium.evaluate.measure import Value

RELATIVE = 0.1
"""A number meets its target within this share of it."""
AT_ZERO: Mapping[str, float] = {
    "density": 0.1,
    "band_gap": 0.1,
    "mag_density": 0.005,
    "bulk_modulus": 5.0,
    "hhi": 100.0,
    "energy_above_hull": 0.1,  # what the field calls stable
}
"""A number meets the target 0 within this much, in the property's unit: a share of 0 leaves no room."""
ROUNDING = 1e-9
"""Relative; the bound belongs to the criterion, and 5.5 - 5 may round above 0.5."""
Z95 = 1.959963984540054
"""Standard deviations on either side of the mean that hold 95 % of a normal distribution."""


@dataclass(frozen=True)
class Share:
    """How many of all; `of` counts the failures too."""

    met: int
    of: int

    def __post_init__(self) -> None:
        """Refuse what is no share."""
        if not 0 <= self.met <= self.of or self.of == 0:
            raise MateriumError(f"{self.met} of {self.of} is no share; at least one row is needed")

    @property
    def value(self) -> float:
        """The share, 0 to 1."""
        return self.met / self.of

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of Wilson (J. Am. Stat. Assoc. 22, 209, 1927), which holds at 0 and 1 too."""
        squared = Z95**2 / self.of
        centre = (self.value + squared / 2) / (1 + squared)
        half = Z95 * sqrt(self.value * (1 - self.value) / self.of + squared / (4 * self.of)) / (1 + squared)
        return max(0.0, centre - half), min(1.0, centre + half)


@dataclass(frozen=True)
class Adherence:
    """What became of one target of one property.

    Attributes
    ----------
    share
        Rows that meet the target, of all that were asked for.
    known
        Rows of which the property is known at all.
    median
        Of the known values, in the property's unit; None where none is known, and for what is no number.
    error
        Of the predictor, in the property's unit; 0 for what follows from the structure.
    """

    name: str
    target: Value
    share: Share
    known: int
    median: float | None
    error: float

    @property
    def offset(self) -> float | None:
        """Distance of the median from the target, in the property's unit."""
        return None if self.median is None else abs(self.median - float(self.target))

    @property
    def within_error(self) -> bool | None:
        """Whether the median lies within the predictor's error of the target; None where there is no median."""
        return None if self.offset is None else self.offset <= self.error * (1 + ROUNDING)


def tolerance(name: str, target: float) -> float:
    """Return how far a number may lie from its target and meet it, in the property's unit."""
    return AT_ZERO.get(name, 0.0) if target == 0 else RELATIVE * abs(target)


def meets(name: str, target: Value, value: Value | None) -> bool:
    """Tell whether a value meets its target: numbers within `tolerance`, anything else exactly; None meets nothing.

    Formulas are compared as counts of elements in lowest terms, chemical systems as sets of elements.
    """
    kind = table()[name].kind
    if value is None:
        return False
    if kind == "formula":
        return _proportions(str(target)) == _proportions(str(value))
    if kind == "elements":
        return {*str(target).split("-")} == {*str(value).split("-")}
    if kind == "category":
        return float(target) == float(value)
    allowed = tolerance(name, float(target)) * (1 + ROUNDING)
    return isfinite(float(value)) and abs(float(value) - float(target)) <= allowed


def adherence(
    name: str, targets: Sequence[Value], values: Sequence[Value | None], error: float = 0.0
) -> list[Adherence]:
    """Return what became of each target of a property, ascending.

    Parameters
    ----------
    targets, values
        What was asked for and what was measured, one entry for each crystal that was asked for, shape (n,). A crystal
        that failed has the value None and stays in the denominator.
    error
        Of the predictor, in the property's unit.

    Raises
    ------
    MateriumError
        If the two differ in length.
    """
    if len(targets) != len(values):
        raise MateriumError(
            f"{len(targets)} targets came with {len(values)} values; one value each, or None, is needed"
        )
    groups: dict[Value, list[Value | None]] = {}
    for target, value in zip(targets, values, strict=True):
        groups.setdefault(target, []).append(value)
    return [_adherence(name, target, groups[target], error) for target in sorted(groups, key=_ascending)]


def overall(name: str, targets: Sequence[Value], values: Sequence[Value | None]) -> Share:
    """Return the share of crystals that meet their target of a property, over all targets."""
    met = sum(meets(name, target, value) for target, value in zip(targets, values, strict=True))
    return Share(met, len(targets))


def together(
    targets: Sequence[Mapping[str, Value]], rows: Sequence[Mapping[str, Value | None]]
) -> tuple[Share, dict[str, Share]]:
    """Return the share of crystals that meet all their targets at once, and the share for each property alone.

    Parameters
    ----------
    targets, rows
        Targets and values by the property's name, one entry for each crystal, shape (n,); a value that is missing
        counts as a miss.
    """
    pairs = list(zip(targets, rows, strict=True))
    names = sorted({name for asked in targets for name in asked})
    verdicts = [{name: meets(name, target, row.get(name)) for name, target in asked.items()} for asked, row in pairs]
    each = {name: [verdict[name] for verdict in verdicts if name in verdict] for name in names}
    both = Share(sum(all(verdict.values()) for verdict in verdicts), len(verdicts))
    return both, {name: Share(sum(column), len(column)) for name, column in each.items()}


def rises(results: Sequence[Adherence]) -> bool:
    """Tell whether the medians rise from target to target; False where one is missing."""
    medians = [result.median for result in results]
    known = [value for value in medians if value is not None]
    return len(known) == len(medians) and all(low < high for low, high in pairwise(known))


def _adherence(name: str, target: Value, values: Sequence[Value | None], error: float) -> Adherence:
    known = [value for value in values if value is not None]
    middle = median(float(value) for value in known) if known and table()[name].kind == "number" else None
    share = Share(sum(meets(name, target, value) for value in values), len(values))
    return Adherence(name, target, share, len(known), middle, error)


def _ascending(target: Value) -> tuple[bool, float, str]:
    return (True, 0.0, target) if isinstance(target, str) else (False, float(target), "")


@lru_cache(maxsize=65536)
def _proportions(text: str) -> frozenset[tuple[str, int]]:
    """Elements with their counts in lowest terms; text that is no formula is like itself only."""
    from pymatgen.core import Composition

    try:
        amounts = {symbol: round(amount) for symbol, amount in Composition(text).get_el_amt_dict().items()}
    except ValueError:
        return frozenset({(text, 0)})
    divisor = gcd(*amounts.values())
    return frozenset((symbol, amount // divisor) for symbol, amount in amounts.items())
