"""The one table of properties: names, units, transforms, and the columns that tables in the field use for them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from math import exp, isfinite, log
from typing import Literal

from materium.errors import RequestError

MAX_ENCODED = 1e9
"""The network takes no larger numbers: float32 must hold products and squares of them."""
MAX_LOGARITHMIC = 1e30
"""The same for a value that it takes the logarithm of, in the property's unit."""
LOWEST_ABOVE_HULL = -0.3
"""eV/atom. What lies lower competes with the wrong phases, for the hull lacks some: it is no label of stability."""
Kind = Literal["number", "category", "formula", "elements"]

SHORT_NAMES = {"reduced_formula": "formula"}
"""Properties that people who type call otherwise."""


@dataclass(frozen=True)
class Property:
    """A quantity that a crystal has and a model can be told; the fields are explained in `properties.toml`."""

    name: str
    kind: Kind
    unit: str
    description: str
    transform: Literal["identity", "log"] = "identity"
    offset: float = 0.0
    scale: float = 1.0
    classes: int = 0
    columns: tuple[str, ...] = ()

    def encode(self, value: float) -> float:
        """Return what the network sees for a value in the property's unit.

        Raises
        ------
        RequestError
            If the value is not finite, far beyond what the network can take, below what the logarithm
            allows, or no label of a category.
        """
        if not isfinite(value):
            raise RequestError(f"{self.name} = {value} is not finite; give a number in {self.unit or 'plain units'}")
        if self.kind == "category":
            return float(self._label(value))
        if self.transform == "log" and value < 0:
            raise RequestError(f"{self.name} = {value:g} {self.unit} is negative; it starts at 0")
        most = self.scale * MAX_ENCODED if self.transform == "identity" else MAX_LOGARITHMIC
        if abs(value) > most:
            least = -most if self.transform == "identity" else 0
            line = f"{self.name} = {value:g} {self.unit} is out of all bounds; give one from {least:g} to {most:g}"
            raise RequestError(line)
        return (value if self.transform == "identity" else log(value + self.offset)) / self.scale

    def decode(self, encoded: float) -> float:
        """Return the value in the property's unit; the inverse of `encode`."""
        if self.transform == "log":
            return exp(encoded * self.scale) - self.offset
        return encoded * self.scale

    def _label(self, value: float) -> int:
        if value != round(value) or not 1 <= value <= self.classes:
            raise RequestError(f"{self.name} = {value:g} is no label; it runs from 1 to {self.classes}")
        return round(value)


@cache
def table() -> dict[str, Property]:
    """Return all properties by name, in the order of `properties.toml`."""
    text = files("materium").joinpath("properties.toml").read_text(encoding="utf-8")
    entries = tomllib.loads(text)
    return {name: Property(name=name, **{**e, "columns": tuple(e.get("columns", ()))}) for name, e in entries.items()}


@cache
def by_column() -> dict[str, str]:
    """Return the property's name for every column name by which tables know it."""
    return {column: p.name for p in table().values() for column in (p.name, *p.columns)}


@cache
def scalar_names() -> tuple[str, ...]:
    """Return the names of the properties that are one number or label per crystal."""
    return tuple(p.name for p in table().values() if p.kind in ("number", "category"))


def option_name(name: str) -> str:
    """Return the option's name for a property."""
    return SHORT_NAMES.get(name, name)


def option_flag(name: str) -> str:
    """Return the option for a property as it is typed."""
    return "--" + option_name(name).replace("_", "-")
