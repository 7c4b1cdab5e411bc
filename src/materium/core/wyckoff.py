"""Operations and Wyckoff positions of the 230 space groups in moyo's standard setting, as integers.

Translations and offsets are in 1/24, the coarsest grid that has every special position, so that on any grid whose size
is a multiple of 24 all operations are exact. The positions come from `wyckoff.json` (letter, multiplicity, site
symmetry, coordinates of the representative), which `tools/wyckoff_table.py` reads off moyo; the operations are moyo's.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import moyopy
import numpy as np

from materium.core.space_groups import SpaceGroupType, space_group_type
from materium.errors import CrystalError

if TYPE_CHECKING:
    from numpy.typing import NDArray

GRID = 24
"""Offsets and translations are multiples of 1/24."""
FINE_GRID = 1008
"""Steps along an axis, to which points are rounded unless another grid is given; a multiple of `GRID`."""
POSITIONS = 1731
"""Wyckoff positions of all groups; see `WyckoffPosition.number`."""
TABLE = Path(__file__).with_name("wyckoff.json")
PRIMITIVE = {
    "P": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "A": ((1, 0, 0), (0, 1 / 2, 1 / 2), (0, -1 / 2, 1 / 2)),
    "C": ((1 / 2, -1 / 2, 0), (1 / 2, 1 / 2, 0), (0, 0, 1)),
    "F": ((0, 1 / 2, 1 / 2), (1 / 2, 0, 1 / 2), (1 / 2, 1 / 2, 0)),
    "I": ((-1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (1 / 2, 1 / 2, -1 / 2)),
    "R": ((2 / 3, 1 / 3, 1 / 3), (-1 / 3, 1 / 3, 1 / 3), (-1 / 3, -2 / 3, 1 / 3)),
}
"""Rows are primitive vectors in terms of the conventional ones, by the first letter of the symbol; moyo's choice."""

_TERM = re.compile(r"[+-]?[^+-]+")
_LABEL = re.compile(r"([0-9]*)([a-zA])")


@dataclass(frozen=True)
class WyckoffPosition:
    """One Wyckoff position: its representative is `(matrix @ free + offset / 24) mod 1`, in conventional axes.

    Parameters
    ----------
    group, index
        International number, and the place among the group's positions: 0 is `a`, the last is the general position.
    letter, multiplicity
        As in International Tables; the multiplicity is that in the conventional cell.
    site_symmetry
        As moyo writes it, such as `-43m` or `.2/m.`.
    coordinates
        Of the representative, such as `0,y,1/4`.
    matrix, offset
        Integers of shape (3, f) and (3,), the offset in 1/24.
    free
        Names of the f free variables, some of x, y, z in that order.
    coset
        Indices into `SpaceGroup.rotations` of those operations that take the representative to its k images, which are
        distinct modulo all lattice translations; k is the multiplicity in the primitive cell, and 0, the identity,
        stands first. Shape (k,).
    rotations, translations
        These operations, integers of shape (k, 3, 3) and (k, 3), the translations in 1/24.
    number
        Of all positions of all groups, 0 to 1730, ordered by group and index.
    """

    group: int
    index: int
    letter: str
    multiplicity: int
    site_symmetry: str
    coordinates: str
    matrix: NDArray[np.int64] = field(repr=False, compare=False)
    offset: NDArray[np.int64] = field(repr=False, compare=False)
    free: tuple[str, ...]
    coset: NDArray[np.int64] = field(repr=False, compare=False)
    rotations: NDArray[np.int64] = field(repr=False, compare=False)
    translations: NDArray[np.int64] = field(repr=False, compare=False)
    number: int

    @property
    def freedom(self) -> int:
        """Return the number of free variables, 0 to 3."""
        return len(self.free)

    @property
    def label(self) -> str:
        """Return multiplicity and letter, such as `8a`."""
        return f"{self.multiplicity}{self.letter}"

    @cached_property
    def free_rows(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return for each free variable the axis that has it alone, and its sign there; shape (f,) both."""
        alone = (np.abs(self.matrix).sum(1, keepdims=True) == 1) & (self.matrix != 0)
        rows = alone.argmax(0)
        return rows, self.matrix[rows, np.arange(self.freedom)]

    def point(self, free: NDArray[np.int64], grid: int = FINE_GRID) -> NDArray[np.int64]:
        """Return representatives on the grid, shape (..., 3), of the free variables in its steps, shape (..., f)."""
        return (free @ self.matrix.T + self.offset * _step(grid)) % grid

    def free_values(self, points: NDArray[np.int64], grid: int = FINE_GRID) -> NDArray[np.int64]:
        """Return the free variables, shape (..., f), of representatives on the grid, shape (..., 3).

        The inverse of `point` where a point has the form of the representative, which is not looked at.
        """
        rows, signs = self.free_rows
        values: NDArray[np.int64] = (points[..., rows] - self.offset[rows] * _step(grid)) * signs
        return values % grid

    def images(self, points: NDArray[np.int64], grid: int = FINE_GRID) -> NDArray[np.int64]:
        """Return the orbits in the primitive cell, shape (..., k, 3), of representatives on the grid, shape (..., 3).

        In conventional axes, one of each set that differs by centring vectors, the representative first.
        """
        turned: NDArray[np.int64] = np.einsum("kij,...j->...ki", self.rotations, points)
        return (turned + self.translations * _step(grid)) % grid


@dataclass(frozen=True)
class SpaceGroup(SpaceGroupType):
    """A space group with its operations and Wyckoff positions, in conventional axes.

    Parameters
    ----------
    rotations, translations
        Integers of shape (m, 3, 3) and (m, 3), the translations in 1/24: one operation for each of the point group,
        the identity first.
    centring
        Lattice points in the conventional cell, in 1/24, shape (c, 3), the origin first.
    primitive
        Rows are primitive lattice vectors in terms of the conventional ones, shape (3, 3).
    positions
        All Wyckoff positions, `a` first, the general one last.
    """

    rotations: NDArray[np.int64] = field(repr=False, compare=False)
    translations: NDArray[np.int64] = field(repr=False, compare=False)
    centring: NDArray[np.int64] = field(repr=False, compare=False)
    primitive: NDArray[np.float64] = field(repr=False, compare=False)
    positions: tuple[WyckoffPosition, ...] = field(repr=False, compare=False)

    def position(self, label: str) -> WyckoffPosition:
        """Return a position by its letter, or by multiplicity and letter, such as `a` or `8a`.

        Raises
        ------
        CrystalError
            If the group has no such position.
        """
        parts = _LABEL.fullmatch(label)
        for position in self.positions:
            if parts and parts[2] == position.letter and parts[1] in {"", str(position.multiplicity)}:
                return position
        known = ", ".join(position.label for position in self.positions)
        raise CrystalError(f"space group {self.number} has no Wyckoff position {label[:40]!r}; it has {known}")


@cache
def space_group(number: int) -> SpaceGroup:
    """Return a space group in moyo's standard setting: unique axis b, hexagonal axes, origin choice 2.

    The answer is shared; its arrays are read-only.

    Raises
    ------
    CrystalError
        If the number is not one of 1 to 230.
    """
    kind = space_group_type(number)
    found = moyopy.operations_from_number(kind.number, setting=moyopy.Setting.standard(), primitive=False)
    rotations = np.array(found.rotations, dtype=np.int64)
    translations = np.rint(np.array(found.translations) * GRID).astype(np.int64) % GRID
    centring = translations[(rotations == np.eye(3)).all((1, 2))]
    order = len(rotations) // len(centring)
    operations = (rotations[:order], translations[:order], centring)
    start = _starts()[kind.number - 1]
    rows = enumerate(_table()[kind.number - 1])
    positions = tuple(_position(kind.number, index, start + index, row, operations) for index, row in rows)
    primitive = np.array(PRIMITIVE[kind.symbol[0]], dtype=np.float64)
    for array in (*operations, primitive):
        array.flags.writeable = False
    return SpaceGroup(kind.number, kind.symbol, kind.system, kind.point_group, *operations, primitive, positions)


def wyckoff_position(number: int) -> WyckoffPosition:
    """Return a Wyckoff position by its number among those of all groups.

    Raises
    ------
    CrystalError
        If the number is not one of 0 to 1730.
    """
    if number not in range(POSITIONS):
        raise CrystalError(f"Wyckoff position {number!r} does not exist; give a number from 0 to {POSITIONS - 1}")
    group = int(np.searchsorted(_starts(), number, side="right"))
    return space_group(group).positions[number - _starts()[group - 1]]


def parse_coordinates(text: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the matrix, shape (3, 3), and the offset in 1/24, shape (3,), of coordinates such as `x,-x+1/4,1/8`."""
    matrix, offset = np.zeros((3, 3), dtype=np.int64), np.zeros(3, dtype=np.int64)
    for axis, entry in enumerate(text.split(",")):
        for term in _TERM.findall(entry):
            if term[-1] in "xyz":
                factor = term[:-1]
                matrix[axis, "xyz".index(term[-1])] += int(factor if factor.strip("+-") else f"{factor}1")
            else:
                offset[axis] += int(Fraction(term) * GRID)
    return matrix, offset


def _position(
    group: int, index: int, number: int, row: list[Any], operations: tuple[NDArray[np.int64], ...]
) -> WyckoffPosition:
    letter, multiplicity, site_symmetry, coordinates = row
    rotations, translations, centring = operations
    matrix, offset = parse_coordinates(coordinates)
    used = np.flatnonzero(matrix.any(0))
    matrix = np.ascontiguousarray(matrix[:, used])
    # Operations take a generic representative to one image if their matrices agree, and their offsets but for centring.
    moved = (rotations @ offset + translations)[:, None] + centring
    places = ((moved % GRID) @ np.array([GRID**2, GRID, 1])).min(1)
    turned = (rotations @ matrix).reshape(len(rotations), -1)  # entries from -2 to 2: digits of base 8
    codes = turned @ 8 ** np.arange(turned.shape[1]) * GRID**3 + places
    coset = np.sort(np.unique(codes, return_index=True)[1])
    free = tuple("xyz"[column] for column in used)
    arrays = (matrix, offset, coset, rotations[coset], translations[coset])
    for array in arrays:
        array.flags.writeable = False
    return WyckoffPosition(
        group, index, letter, multiplicity, site_symmetry, coordinates, *arrays[:2], free, *arrays[2:], number
    )


def _step(grid: int) -> int:
    """1/24 in steps of a grid."""
    if grid <= 0 or grid % GRID:
        raise CrystalError(f"a grid of {grid} steps has not every special position; give a multiple of {GRID}")
    return grid // GRID


@cache
def _table() -> list[list[list[Any]]]:
    """Letter, multiplicity, site symmetry and coordinates of each position of each group."""
    return list(json.loads(TABLE.read_text(encoding="utf-8")).values())


@cache
def _starts() -> list[int]:
    """The number of position `a` of each group."""
    return [0, *np.cumsum([len(rows) for rows in _table()]).tolist()[:-1]]
