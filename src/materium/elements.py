"""Facts about elements by atomic number: mass, and the concentration of their production."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from materium.crystal import MAX_ATOMIC_NUMBER

if TYPE_CHECKING:
    from numpy.typing import NDArray


@cache
def masses() -> NDArray[np.float64]:
    """Return atomic masses in u, shape (119,): pymatgen's, with which the index of production is defined."""
    from pymatgen.core import Element

    return np.array([0.0, *(float(Element.from_Z(z).atomic_mass) for z in range(1, MAX_ATOMIC_NUMBER + 1))])


@cache
def production() -> NDArray[np.float64]:
    """Return the Herfindahl-Hirschman index of production, shape (119,); NaN where an element has none."""
    from pymatgen.core import Element

    entries = tomllib.loads(files("materium").joinpath("hhi.toml").read_text(encoding="utf-8"))["production"]
    table = np.full(MAX_ATOMIC_NUMBER + 1, np.nan)
    table[[Element(symbol).Z for symbol in entries]] = list(entries.values())
    return table
