"""What is asked for: how many crystals, by which seed, told what, kept to what, and sampled how."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass, field
from itertools import product
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from materium.errors import RequestError
from materium.generate import targets
from materium.generate.targets import Range, Target, Value, parse_composition, parse_target
from materium.properties import table
from materium.tokens.tokenizer import ORDERS, Order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from materium.generate.targets import Bounds
    from materium.generate.tuned import Aim
    from materium.model.conditions import Conditions
    from materium.model.config import Seen

LEAST = 1e-6
"""Smallest temperature, and tolerance: float32 holds no logits that are divided by less."""
MAX_REACH = 0.5
"""Part of an axis; farther to one side is nearer to the other."""
MAX_GUIDANCE = 20.0
"""Beyond it the logits are all condition and no crystal comes of it."""
ADDED = MappingProxyType({"geometry_reach": None, "end_odds": 1.0})
"""Fields that the requests of earlier versions lack, with what they meant; a run of theirs goes on."""
BATCH = 512
"""Crystals that are written together, unless told otherwise: fewer cost more time each, more cost more memory."""


@dataclass(frozen=True)
class Request:
    """A request for `n` crystals, or for `n` of each combination where a condition has several targets.

    Parameters
    ----------
    n, seed
        How many, and the seed; structure i of seed s does not depend on `n`.
    conditions
        Property names with their target, in the units of `properties.toml`: a value, a `Range` (or its text, such as
        `1..2` or `>5`, or a pair such as `(1, 2)`) from which every structure draws its own, or a list of these. Lists
        are combined, each target of one with each of the others.
    order
        Site order of the sentences.
    lattice_first
        Whether the lattice is written before the atoms.
    temperature, geometry_temperature
        Of species, and of coordinates and lattice (None: the same); 1 samples what the model believes.
    geometry_reach
        Part of an axis, below a half, within which the geometry temperature holds: a number is drawn as the model
        believes, and then once more, at that temperature, among those that are no farther. None cools the whole axis,
        which makes the likeliest positions likelier, and with them small cells. Only a temperature of 1 without a reach
        samples what the model believes.
    end_odds
        What the odds are multiplied by, before any temperature, that the atoms end where another could follow; below 1
        cells are larger.
    top_p
        Share of the probability that the likeliest tokens must hold; the rest is cut off.
    guidance
        Weight of the conditions: 0 ignores them, 1 takes the model as it is, more presses them.
    aims
        For conditions that the model only leans towards: what it is told in place of the target; see `Aim`.
    hints
        Values of properties that the model is told beside the conditions, without anybody having asked for them.
    elements, require, forbid
        Symbols of the elements that may occur (none named: all), that must, and that must not.
    z
        Least and most formula units in the primitive cell, for a condition `reduced_formula`; None leaves it open.
    cell_formula
        The exact content of the primitive cell, such as `Li4Fe4P4O16`.
    neutral
        Whether the oxidation states must add up to zero.
    soft
        Whether `reduced_formula`, `chemical_system` and `num_sites` are told only. Otherwise the mask keeps them too.
    symmetrize
        Å, tolerance at which the structures are refined, beside the raw ones; None leaves it.

    Raises
    ------
    RequestError
        If a value is out of its range, a condition or element unknown.
    """

    n: int = 64
    seed: int = 0
    conditions: Mapping[str, Target | Bounds | Sequence[Target]] = field(default_factory=dict)
    order: Order = "high"
    lattice_first: bool = False
    temperature: float = 1.0
    geometry_temperature: float | None = None
    geometry_reach: float | None = None
    end_odds: float = 1.0
    top_p: float = 1.0
    guidance: float = 1.0
    aims: Mapping[str, Aim] = field(default_factory=dict)
    hints: Mapping[str, float] = field(default_factory=dict)
    elements: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    forbid: tuple[str, ...] = ()
    z: tuple[int, int] | None = None
    cell_formula: str | None = None
    neutral: bool = False
    soft: bool = False
    symmetrize: float | None = None

    def __post_init__(self) -> None:
        """Check every value, and read what was given as text."""
        _require("n", self.n, self.n >= 1, "at least 1")
        _require("seed", self.seed, 0 <= self.seed < 2**32, "a whole number from 0 to 2^32 - 1")
        for name in ("temperature", "geometry_temperature", "symmetrize"):
            value = getattr(self, name)
            _require(name, value, value is None or LEAST <= value < math.inf, f"a number from {LEAST:g} on")
        reach = self.geometry_reach
        _require(
            "geometry_reach", reach, reach is None or 0 <= reach < MAX_REACH, f"a number from 0 to below {MAX_REACH:g}"
        )
        _require(
            "end_odds", self.end_odds, LEAST <= self.end_odds <= 1 / LEAST, f"a number from {LEAST:g} to {1 / LEAST:g}"
        )
        _require("top_p", self.top_p, 0 < self.top_p <= 1, "a number above 0, and at most 1")
        _require("guidance", self.guidance, 0 <= self.guidance <= MAX_GUIDANCE, f"a number from 0 to {MAX_GUIDANCE:g}")
        if self.order not in ORDERS:
            raise RequestError(f"unknown order {self.order!r}; choose one of {', '.join(ORDERS)}")
        for name in ("elements", "require", "forbid"):
            object.__setattr__(self, name, _symbols(name, getattr(self, name)))
        object.__setattr__(self, "z", _whole_range("z", self.z))
        object.__setattr__(self, "conditions", self._read_conditions())

    def _read_conditions(self) -> dict[str, Target | Sequence[Target]]:
        """The conditions with every target read and checked; a cell formula is told as its reduced formula."""
        given: dict[str, Any] = dict(self.conditions)
        if self.cell_formula is not None:
            if "reduced_formula" in given:
                raise RequestError("give a formula or a cell formula, not both")
            parse_composition(self.cell_formula)
            given["reduced_formula"] = self.cell_formula
        read: dict[str, Target | Sequence[Target]] = {}
        for name, value in given.items():
            plain = value.tolist() if hasattr(value, "tolist") else value  # NumPy's numbers and arrays
            found = [parse_target(name, one) for one in (plain if _is_several(plain) else [plain])]
            if not found:
                raise RequestError(f"{name} has no target; give a value, a range or several values")
            read[name] = found if len(found) > 1 else found[0]
        if self.z is not None and "reduced_formula" not in read:
            raise RequestError("z counts formula units; give a formula too")
        if self.z is not None and self.soft:
            raise RequestError("z is kept by the mask and soft asks for none; leave one of them out")
        return read

    @property
    def cells(self) -> list[dict[str, Target]]:
        """Every combination of the targets; one empty combination where nothing is told."""
        lists: list[list[Any]] = [value if isinstance(value, list) else [value] for value in self.conditions.values()]
        return [dict(zip(self.conditions, values, strict=True)) for values in product(*lists)]

    @property
    def total(self) -> int:
        """How many crystals are written in all."""
        return self.n * len(self.cells)

    def to_dict(self) -> dict[str, Any]:
        """Return the request as JSON types."""
        return json.loads(json.dumps({**asdict(self), "conditions": self.told_as_text}))  # type: ignore[no-any-return]

    @property
    def told_as_text(self) -> dict[str, Any]:
        """The conditions as JSON types."""
        return {name: _text(value) for name, value in self.conditions.items()}

    @property
    def layout(self) -> int:
        """The number of the layout of the sentences."""
        from materium.model.conditions import layout_id

        return layout_id(self.order, lattice_first=self.lattice_first)

    def told(self, batch: int) -> Conditions:
        """Return the conditions of `batch` sentences that are all told the same.

        Raises
        ------
        RequestError
            If there are several targets, or a range.
        """
        cells = self.cells
        if len(cells) > 1 or any(isinstance(value, Range) for value in cells[0].values()):
            raise RequestError("several targets or a range were given where one value of each condition is needed")
        row: dict[str, Value] = {k: v for k, v in cells[0].items() if not isinstance(v, Range)}
        return targets.told([row] * batch, self.layout)

    def untold(self, batch: int) -> Conditions:
        """Return the same layout with nothing told."""
        from materium.model.conditions import Conditions

        return Conditions.none(batch, self.layout)

    def warnings(self, seen: Mapping[str, Seen]) -> list[str]:
        """Return a line for each target outside what training saw."""
        return list(dict.fromkeys(line for cell in self.cells for line in _warnings(cell, seen)))


def _warnings(cell: Mapping[str, Target], seen: Mapping[str, Seen]) -> list[str]:
    lines = []
    for name, value in cell.items():
        entry = seen.get(name)
        unit = f" {table()[name].unit}" if table()[name].unit else ""
        if table()[name].kind == "number" and entry is None:
            lines.append(f"{name}: training saw no label of it")
        elif entry is not None:
            bounds = (value.low, value.high) if isinstance(value, Range) else (float(value),)
            if not all(bound is None or entry.low <= bound <= entry.high for bound in bounds):
                lines.append(f"{name} = {value}{unit} lies outside training: {entry.low:g} to {entry.high:g}{unit}")
    return lines


def _is_several(value: object) -> bool:
    """A list; and a tuple that holds texts or ranges, which cannot be the bounds of one range."""
    texts = isinstance(value, tuple) and any(isinstance(one, str | Range) for one in value)
    return isinstance(value, list) or texts


def _text(value: object) -> object:
    """A target, or several, as JSON types."""
    if isinstance(value, Range):
        return asdict(value)
    return [_text(one) for one in value] if isinstance(value, list) else value


def _require(name: str, value: object, good: bool, needed: str) -> None:  # noqa: FBT001
    if not good:
        raise RequestError(f"{name} = {value} is not possible; give {needed}")


def _symbols(name: str, given: str | Sequence[str]) -> tuple[str, ...]:
    """Element symbols of a text such as `Li,Fe` or `Li-Fe`, or of a sequence."""
    words = given.replace("-", ",").split(",") if isinstance(given, str) else given
    symbols = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    for symbol in symbols:
        from pymatgen.core import Element

        if not Element.is_valid_symbol(symbol):
            raise RequestError(f"{name}: {symbol!r} is no element; write symbols like Li,Fe,P,O")
    return symbols


def _whole_range(name: str, given: object) -> tuple[int, int] | None:
    """Least and most of a text such as `2` or `1..4`, of a number, or of a pair."""
    if given is None:
        return None
    words = str(given).split("..") if isinstance(given, str | int) else [str(one) for one in given]  # type: ignore[attr-defined]
    if not all(re.fullmatch(r"\s*[0-9]{1,6}\s*", word) for word in words) or len(words) > 2:
        raise RequestError(f"{name} = {str(given)[:40]} is no whole number or range; write it like 2 or 1..4")
    low, high = int(words[0]), int(words[-1])
    _require(name, given, 1 <= low <= high, "whole numbers from 1 on, the smaller first, like 1..4")
    return low, high
