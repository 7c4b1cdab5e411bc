"""What is asked for: how many crystals, by which seed, told what, and sampled how."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from materium.errors import RequestError
from materium.properties import scalar_names, table
from materium.tokens.tokenizer import ORDERS, Order

if TYPE_CHECKING:
    from collections.abc import Mapping

    from materium.model.conditions import Conditions
    from materium.model.config import Seen

BATCH = 128
"""Crystals that are written together, unless told otherwise."""


@dataclass(frozen=True)
class Request:
    """A request for `n` crystals.

    Parameters
    ----------
    n, seed
        How many, and the seed; structure i of seed s does not depend on `n`.
    conditions
        Property names with their target, in the units of `properties.toml`; a formula or chemical system as text.
    order
        Site order of the sentences.
    lattice_first
        Whether the lattice is written before the atoms.
    temperature, geometry_temperature
        Of species, and of coordinates and lattice (None: the same); 1 samples what the model believes.
    top_p
        Share of the probability that the likeliest tokens must hold; the rest is cut off.
    guidance
        Weight of the conditions: 0 ignores them, 1 takes the model as it is, more presses them.

    Raises
    ------
    RequestError
        If a value is out of its range, or a condition is unknown.
    """

    n: int = 64
    seed: int = 0
    conditions: Mapping[str, float | str] = field(default_factory=dict)
    order: Order = "high"
    lattice_first: bool = False
    temperature: float = 1.0
    geometry_temperature: float | None = None
    top_p: float = 1.0
    guidance: float = 1.0

    def __post_init__(self) -> None:
        """Check every value."""
        _require("n", self.n, self.n >= 1, "at least 1")
        _require("seed", self.seed, 0 <= self.seed < 2**32, "a whole number from 0 to 2^32 - 1")
        _require("temperature", self.temperature, 0 < self.temperature < math.inf, "a number above 0")
        cold = self.geometry_temperature
        _require("geometry_temperature", cold, cold is None or 0 < cold < math.inf, "a number above 0")
        _require("top_p", self.top_p, 0 < self.top_p <= 1, "a number above 0, and at most 1")
        _require("guidance", self.guidance, 0 <= self.guidance < math.inf, "a number from 0 on")
        if self.order not in ORDERS:
            raise RequestError(f"unknown order {self.order!r}; choose one of {', '.join(ORDERS)}")
        for name, value in self.conditions.items():
            _check_condition(name, value)

    def to_dict(self) -> dict[str, Any]:
        """Return the request as JSON types."""
        return json.loads(json.dumps({**asdict(self), "conditions": dict(self.conditions)}))  # type: ignore[no-any-return]

    def told(self, batch: int) -> Conditions:
        """Return the conditions for `batch` sentences."""
        import torch  # so that a request can be read and checked without it

        from materium.model.conditions import Conditions, layout_id

        layout = layout_id(self.order, lattice_first=self.lattice_first)
        scalars = torch.full((batch, len(scalar_names())), float("nan"))
        for name in scalar_names():
            if name in self.conditions:
                scalars[:, scalar_names().index(name)] = table()[name].encode(float(self.conditions[name]))
        pairs = _composition(self.conditions)
        elements = torch.tensor([[z for z, _ in pairs]], dtype=torch.long).expand(batch, -1)
        counts = torch.tensor([[c for _, c in pairs]], dtype=torch.long).expand(batch, -1)
        return Conditions(scalars, elements, counts, torch.full((batch,), layout))

    def untold(self, batch: int) -> Conditions:
        """Return the same layout with nothing told."""
        from materium.model.conditions import Conditions, layout_id

        return Conditions.none(batch, layout_id(self.order, lattice_first=self.lattice_first))

    def warnings(self, seen: Mapping[str, Seen]) -> list[str]:
        """Return a line for each target outside what training saw."""
        lines = []
        for name, value in self.conditions.items():
            entry = seen.get(name)
            unit = f" {table()[name].unit}" if table()[name].unit else ""
            if table()[name].kind == "number" and entry is None:
                lines.append(f"{name}: training saw no label of it")
            elif entry is not None and not entry.low <= float(value) <= entry.high:
                lines.append(f"{name} = {value}{unit} lies outside training: {entry.low:g} to {entry.high:g}{unit}")
        return lines


def _require(name: str, value: object, good: bool, needed: str) -> None:  # noqa: FBT001
    if not good:
        raise RequestError(f"{name} = {value} is not possible; give {needed}")


def _check_condition(name: str, value: float | str) -> None:
    if name not in table():
        close = get_close_matches(name, table(), n=1)
        hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(table())}"
        raise RequestError(f"unknown condition {name!r}; {hint}")
    if table()[name].kind in ("number", "category"):
        table()[name].encode(_number(name, value))
    else:
        parse_composition(str(value))


def _number(name: str, value: float | str) -> float:
    try:
        return float(value)
    except ValueError as error:
        raise RequestError(f"{name} = {value!r} is no number") from error


def _composition(conditions: Mapping[str, float | str]) -> list[tuple[int, int]]:
    from materium.model.conditions import ANY_COUNT

    if "reduced_formula" in conditions:
        pairs = parse_composition(str(conditions["reduced_formula"]))
        divisor = int(np.gcd.reduce([count for _, count in pairs]))
        return [(z, count // divisor) for z, count in pairs]
    if "chemical_system" in conditions:
        return [(z, ANY_COUNT) for z, _ in parse_composition(str(conditions["chemical_system"]).replace("-", ""))]
    return []


def parse_composition(text: str) -> list[tuple[int, int]]:
    """Return atomic numbers with counts, sorted, of a formula such as `LiFePO4` or a system such as `Li-Fe-O`.

    Raises
    ------
    RequestError
        If it is no formula with whole numbers.
    """
    from pymatgen.core import Composition

    try:
        amounts = Composition(text.replace("-", "")).get_el_amt_dict()
        from pymatgen.core import Element

        pairs = sorted((Element(symbol).Z, amount) for symbol, amount in amounts.items())
    except (ValueError, KeyError) as error:
        raise RequestError(f"{text!r} is no formula; write it like LiFePO4") from error
    if not pairs or any(amount != int(amount) for _, amount in pairs):
        raise RequestError(f"{text!r} needs whole numbers of atoms; write it like LiFePO4")
    return [(z, int(amount)) for z, amount in pairs]
