"""Which rows go into shards: limits on what they are, and no crystal from two tables."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from materium.properties import LOWEST_ABOVE_HULL

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

    from materium.crystal import Crystal
    from materium.data.records import Row, Scalar

HULL = "energy_above_hull"
SOURCE = "energy_above_hull_source"
"""Column that says whose label a row's energy above hull is."""


def on_hull(row: Row) -> Row:
    """Return the row with an energy above hull that is not negative.

    A bit below the hull is on it. More than 0.3 eV/atom below it, where the hull lacks phases, there is no label.
    """
    above = row.properties.get(HULL)
    if not isinstance(above, int | float) or above >= 0:
        return row
    if above >= LOWEST_ABOVE_HULL:
        return replace(row, properties={**row.properties, HULL: 0.0})
    others = {name: value for name, value in row.properties.items() if name not in (HULL, SOURCE)}
    return replace(row, properties=others, left_out={**row.left_out, HULL: f"{above:g}"})


def rejection(
    crystal: Crystal,
    properties: Mapping[str, Scalar],
    *,
    max_energy_above_hull: float,
    keep_unlabelled: bool,
    exclude_elements: Sequence[str],
) -> str | None:
    """Return why a crystal is rejected; the parameters are those of `PrepareConfig`."""
    from pymatgen.core import Element

    above = properties.get(HULL)
    if isinstance(above, int | float) and above > max_energy_above_hull:
        return f"energy above hull over {max_energy_above_hull:g} eV/atom"
    if above is None and not keep_unlabelled:
        return "no energy above hull"
    for symbol in exclude_elements:
        if Element(symbol).Z in crystal.numbers:
            return f"contains {symbol}"
    return None


def split_of(formula: Hashable, wanted: Mapping[str, float]) -> str:
    """Return which split a reduced formula belongs to, of those that are to get a share; `train` gets the rest."""
    position = int(hashlib.sha256(repr(formula).encode()).hexdigest()[:8], 16) / 16**8
    for split, share in wanted.items():
        if position < share:
            return split
        position -= share
    return "train"


@dataclass
class Duplicates:
    """Crystals that were kept, to find those of them that stand in a further table."""

    kept: dict[Hashable, tuple[str, str]] = field(default_factory=dict)

    def add(self, table: str, name: str, formula: Hashable, form: Hashable) -> str | None:
        """Return why a crystal is that of another table; else note it, and return None.

        Parameters
        ----------
        name
            Its id, which says nothing without the formula: tables without ids are numbered.
        form
            Its canonical form, equal for equal crystals.
        """
        for what, other, place in self.matches(name, formula, form):
            if place != table:
                return f"same {what} in another table: {other} in {place}"
        for key in (form, (name, formula)):
            self.kept.setdefault(key, (name, table))
        return None

    def matches(self, name: str, formula: Hashable, form: Hashable) -> list[tuple[str, str, str]]:
        """Return in what a crystal equals one that was kept, with the id and the table of that."""
        keys = {"crystal": form, "id and formula": (name, formula)}
        return [(what, *self.kept[key]) for what, key in keys.items() if key in self.kept]
