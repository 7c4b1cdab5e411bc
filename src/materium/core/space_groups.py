"""The 230 space groups: symbol, crystal system, point group, free lattice parameters; and which groups have a property.

Lattice parameters are those of the conventional cell in moyo's standard setting (unique axis b, hexagonal axes).
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING

import moyopy
import numpy as np

from materium.errors import CrystalError, RequestError, nearest
from materium.io.space_groups import parse_space_group

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import ArrayLike, NDArray

NUMBERS = range(1, 231)
"""International numbers."""
CELLS = {
    "triclinic": ("a", "b", "c", "alpha", "beta", "gamma"),
    "monoclinic": ("a", "b", "c", 90.0, "beta", 90.0),
    "orthorhombic": ("a", "b", "c", 90.0, 90.0, 90.0),
    "tetragonal": ("a", "a", "c", 90.0, 90.0, 90.0),
    "trigonal": ("a", "a", "c", 90.0, 90.0, 120.0),
    "hexagonal": ("a", "a", "c", 90.0, 90.0, 120.0),
    "cubic": ("a", "a", "a", 90.0, 90.0, 90.0),
}
"""a, b, c, α, β, γ of the conventional cell by crystal system: the free parameter that each equals, or degrees."""
POINT_GROUPS = {
    "triclinic": ("1", "-1"),
    "monoclinic": ("2", "m", "2/m"),
    "orthorhombic": ("222", "mm2", "mmm"),
    "tetragonal": ("4", "-4", "4/m", "422", "4mm", "-42m", "4/mmm"),
    "trigonal": ("3", "-3", "32", "3m", "-3m"),
    "hexagonal": ("6", "-6", "6/m", "622", "6mm", "-6m2", "6/mmm"),
    "cubic": ("23", "m-3", "432", "-43m", "m-3m"),
}
"""The 32, by crystal system, in the order of International Tables A."""
POLAR = frozenset({"1", "2", "m", "mm2", "4", "4mm", "3", "3m", "6", "6mm"})
CENTROSYMMETRIC = frozenset({"-1", "2/m", "mmm", "4/m", "4/mmm", "-3", "-3m", "6/m", "6/mmm", "m-3", "m-3m"})
ROTATIONS_ONLY = frozenset({"1", "2", "222", "4", "422", "3", "32", "6", "622", "23", "432"})
"""Point groups without inversion, mirror and rotoinversion."""

PROPERTIES = ("polar", "centrosymmetric", "chiral")
"""Words that a request can have, each a property of `SpaceGroupType`."""


@dataclass(frozen=True)
class SpaceGroupType:
    """What the number of a space group says of it.

    Parameters
    ----------
    number
        International number, 1 to 230.
    symbol
        Short Hermann-Mauguin symbol without blanks, as moyo writes it, such as `I4_1/amd`.
    system
        Crystal system, a key of `CELLS`.
    point_group
        Hermann-Mauguin symbol, one of `POINT_GROUPS`.
    """

    number: int
    symbol: str
    system: str
    point_group: str

    @property
    def polar(self) -> bool:
        """Whether a direction differs from its opposite and no operation changes it: 68 groups."""
        return self.point_group in POLAR

    @property
    def centrosymmetric(self) -> bool:
        """Whether it contains an inversion: 92 groups."""
        return self.point_group in CENTROSYMMETRIC

    @property
    def chiral(self) -> bool:
        """Whether it has rotations and screw rotations alone, so that its crystals have a handedness: 65 groups."""
        return self.point_group in ROTATIONS_ONLY

    @property
    def lattice_parameters(self) -> tuple[str, ...]:
        """Names of the free lattice parameters: those of a, b, c, alpha, beta, gamma that the system leaves open."""
        return tuple(dict.fromkeys(entry for entry in CELLS[self.system] if isinstance(entry, str)))

    def cell(self, free_values: ArrayLike) -> NDArray[np.float64]:
        """Return a, b, c, α, β, γ, shape (..., 6), of the free lattice parameters, shape (..., f); Å and degrees.

        Raises
        ------
        CrystalError
            If their number is another one.
        """
        values, names = np.asarray(free_values, dtype=np.float64), self.lattice_parameters
        if values.shape[-1:] != (len(names),):
            raise CrystalError(f"a {self.system} cell needs {', '.join(names)}; got an array of shape {values.shape}")
        cell = np.empty((*values.shape[:-1], 6))
        for column, entry in enumerate(CELLS[self.system]):
            cell[..., column] = values[..., names.index(entry)] if isinstance(entry, str) else entry
        return cell


@cache
def space_group_type(number: int) -> SpaceGroupType:
    """Return symbol, crystal system and point group of a space group.

    Raises
    ------
    CrystalError
        If the number is not one of 1 to 230.
    """
    if number not in NUMBERS:
        raise CrystalError(f"space group {number!r} does not exist; give an international number from 1 to 230")
    entry = moyopy.SpaceGroupType(int(number))
    symbol = entry.hm_short.replace(" ", "")
    return SpaceGroupType(int(number), symbol, entry.crystal_system.lower(), entry.geometric_crystal_class)


def find_space_groups(
    *,
    system: str | None = None,
    point_group: str | None = None,
    polar: bool | None = None,
    centrosymmetric: bool | None = None,
    chiral: bool | None = None,
) -> tuple[int, ...]:
    """Return the numbers of the space groups that have every property given, in ascending order; maybe none.

    Raises
    ------
    RequestError
        If there is no such crystal system or point group.
    """
    _check("crystal system", system, CELLS)
    _check("point group", point_group, [symbol for symbols in POINT_GROUPS.values() for symbol in symbols])
    wanted = {
        "system": system,
        "point_group": point_group,
        "polar": polar,
        "centrosymmetric": centrosymmetric,
        "chiral": chiral,
    }
    given = {name: value for name, value in wanted.items() if value is not None}
    groups = map(space_group_type, NUMBERS)
    return tuple(group.number for group in groups if all(getattr(group, name) == given[name] for name in given))


def parse_space_groups(text: str) -> tuple[int, ...]:
    """Return the numbers of the space groups that a request names, in ascending order.

    A request has the groups of all its terms, between which there are commas. A term is a number (`225`), a range
    (`62..74`), a Hermann-Mauguin symbol in any usual spelling (`Fm-3m`), a crystal system (`cubic`), `polar`,
    `centrosymmetric`, `chiral` or `point-group:mmm`; terms joined by `+` have the groups that belong to each of them
    (`orthorhombic+polar`).

    Raises
    ------
    RequestError
        If a term is none of these, or joined terms have no group in common.
    """
    found: set[int] = set()
    for term in text.split(","):
        common = set.intersection(*(_term(part.strip()) for part in term.split("+")))
        if not common:
            raise RequestError(f"no space group is {' and '.join(part.strip() for part in term.split('+'))}")
        found |= common
    return tuple(sorted(found))


def _term(text: str) -> set[int]:
    """The groups of one term of a request."""
    word = text.lower()
    if word in CELLS:
        return set(find_space_groups(system=word))
    if word in PROPERTIES:
        return {number for number in NUMBERS if getattr(space_group_type(number), word)}
    kind, colon, symbol = word.partition(":")
    if colon and kind == "point-group":
        return set(find_space_groups(point_group=symbol.strip()))
    low, dots, high = word.partition("..")
    if dots:
        ends = [int(end) if end.strip().isdecimal() else 0 for end in (low, high)]
        if ends[0] in NUMBERS and ends[1] in NUMBERS and ends[0] <= ends[1]:
            return set(range(ends[0], ends[1] + 1))
        raise RequestError(f"no range of space groups: {text[:40]!r}; give two numbers from 1 to 230, such as 62..74")
    if (number := parse_space_group(text)) is not None:
        return {number}
    if word.lstrip("-").isdecimal():
        raise RequestError(f"space group {text[:40]} does not exist; give an international number from 1 to 230")
    words = [*CELLS, *PROPERTIES, "point-group:"]
    known = [space_group_type(number).symbol for number in NUMBERS]
    close = [*get_close_matches(word, words, n=1), *get_close_matches(text, known, n=1)]
    hint = (
        f"did you mean {close[0]}?" if close else f"give a number, a range 62..74, a symbol Fm-3m, {', '.join(words)}"
    )
    raise RequestError(f"unknown space group: {text[:40]!r}; {hint}")


def _check(kind: str, name: str | None, known: Collection[str]) -> None:
    if name is not None and name not in known:
        raise RequestError(f"unknown {kind}: {name[:40]!r}; {nearest(name, known)}")
