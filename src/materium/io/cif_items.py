"""The items of a CIF's data block, and the atom sites that they list."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from materium.errors import ConversionError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import gemmi
    import numpy as np
    from numpy.typing import NDArray

NUMBER = re.compile(r"(?=.{1,40}$)([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,2})?)(?:\((\d*)\))?")
"""A number, with its standard uncertainty in brackets."""


@dataclass(frozen=True)
class Sites:
    """The atom sites of a CIF as they are listed.

    Parameters
    ----------
    labels, numbers, states
        Of the sites, length n; a state is None where it is not known.
    frac_coords
        Shape (n, 3).
    digits
        Half of what the last digit of each coordinate is worth and its standard uncertainty, shape (n, 3).
    multiplicities, orders
        How many atoms of the cell a site stands for, and the order of its site symmetry, None where not given.
    wyckoff
        Letters, None where not given.
    """

    labels: list[str]
    numbers: NDArray[np.int64]
    states: list[float | None]
    frac_coords: NDArray[np.float64]
    digits: NDArray[np.float64]
    multiplicities: list[int | None]
    orders: list[int | None]


class Items:
    """The items of a data block by their names in lower case; unknown (`?`) and inapplicable (`.`) values are None."""

    def __init__(self, block: gemmi.cif.Block) -> None:
        """Collect the items of a block, or raise `ConversionError` on one that is given twice with two values."""
        self.columns: dict[str, list[str | None]] = {}
        for item in block:
            if item.pair is not None:
                tag, value = cast("tuple[str, str]", item.pair)
                self._add(tag, [value])
            elif item.loop is not None:
                width = item.loop.width()
                for index, tag in enumerate(item.loop.tags):
                    self._add(tag, item.loop.values[index::width])

    def _add(self, tag: str, raw: Iterable[str]) -> None:
        name = tag.lower().replace(".", "_")
        values = [_plain(value) for value in raw]
        if self.columns.setdefault(name, values) != values:
            raise ConversionError(f"CIF gives {tag} twice, with different values; one of them is needed")

    def column(self, *names: str) -> list[str | None]:
        """Return the values of the first of these items that has any, or an empty list."""
        return next((self.columns[name] for name in names if any(self.columns.get(name, ()))), [])

    def given(self, *names: str) -> dict[str, str]:
        """Return those of the items that have one value, by their names."""
        found = {name: self.columns.get(name, []) for name in names}
        return {name: values[0] for name, values in found.items() if len(values) == 1 and values[0] is not None}

    def number(self, *names: str) -> float | None:
        """Return the first of these items that is given as a number, None where there is none."""
        for name, text in self.given(*names).items():
            match = NUMBER.fullmatch(text)
            if not match:
                raise ConversionError(f"unreadable CIF: {name} is {text[:40]!r}; a number is needed")
            return float(match[1])
        return None


def _plain(raw: str) -> str | None:
    from gemmi import cif

    return None if cif.is_null(raw) else cif.as_string(raw)
