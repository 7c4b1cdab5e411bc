"""The one place that says when a measured value meets its target."""

from __future__ import annotations

from functools import lru_cache
from math import gcd
from typing import TYPE_CHECKING

from materium.properties import table

if TYPE_CHECKING:
    from collections.abc import Mapping

RELATIVE = 0.1
"""Numbers within this share of their target meet it."""
AT_ZERO: Mapping[str, float] = {
    "density": 0.1,
    "band_gap": 0.1,
    "mag_density": 0.005,
    "bulk_modulus": 5.0,
    "hhi": 100.0,
    "energy_above_hull": 0.1,  # what the field calls stable
}
"""Numbers whose target is 0 meet it within this much, in the property's unit: a share of 0 leaves no room."""


def tolerance(name: str, target: float) -> float:
    """Return how far a measured number may lie from its target, in the property's unit."""
    return AT_ZERO.get(name, 0.0) if target == 0 else RELATIVE * abs(target)


def meets(name: str, target: float | str, measured: float | str | None) -> bool:
    """Tell whether a measured value meets a target: numbers within `tolerance`, labels and formulas exactly.

    What was not measured (None) meets nothing. A formula is compared as elements with counts, so spelling and
    multiples do not matter; a chemical system as a set of elements.
    """
    kind = table()[name].kind
    if measured is None:
        return False
    if kind == "number":
        allowed = tolerance(name, float(target))
        # The bound belongs to the criterion: 5.5 meets 5 although 5.5 - 5 may round above 0.5.
        return abs(float(measured) - float(target)) <= allowed * (1 + 1e-9)
    if kind == "category":
        return float(measured) == float(target)
    if kind == "formula":
        return _reduced(str(target)) == _reduced(str(measured))
    return _elements(str(target)) == _elements(str(measured))


def wording(name: str, targets: tuple[float | str, ...] = ()) -> str:
    """Say the criterion in words, as the page and the figures print it."""
    entry = table()[name]
    if entry.kind != "number":
        return "exactly"
    shares = f"within ±{100 * RELATIVE:g}\N{NO-BREAK SPACE}%"
    zero = f"within ±{AT_ZERO.get(name, 0.0):g} {entry.unit}".strip()
    if not any(target == 0 for target in targets):
        return shares
    return f"{shares} (target 0: {zero})" if any(target != 0 for target in targets) else zero


@lru_cache(maxsize=65536)
def _reduced(text: str) -> frozenset[tuple[str, float]] | str:
    """Elements with their counts in lowest terms, or the text itself where it is no formula."""
    amounts = _amounts(text)
    if not amounts or any(amount != int(amount) for amount in amounts.values()):
        return text
    divisor = gcd(*(int(amount) for amount in amounts.values()))
    return frozenset((symbol, amount / divisor) for symbol, amount in amounts.items())


@lru_cache(maxsize=65536)
def _elements(text: str) -> frozenset[str] | str:
    return frozenset(_amounts(text.replace("-", ""))) or text


def _amounts(text: str) -> dict[str, float]:
    from pymatgen.core import Composition

    try:
        return dict(Composition(text).get_el_amt_dict())
    except ValueError:
        return {}
