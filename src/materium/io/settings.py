"""Space groups as files name them: by operations, by symbols in any setting, by number, by Hall symbol.

gemmi holds the table of settings and the grammar of Hall symbols, moyo the short and full symbols and the type of a
group in a setting that no table lists.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property, lru_cache
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from materium.errors import ConversionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import gemmi
    from numpy.typing import NDArray

STEPS = 5040
"""Translations are whole multiples of one part in so many: halves to tenths, 1/12, 1/16, 1/24 and 1/48 are exact."""
METRIC_TOLERANCE = 5e-3
"""Relative change of a scalar product of two axes; about 0.25 % of a length and 0.3° of an angle."""
MAX_TEXT = 100
"""Characters; a longer text is no symbol and no operation."""
DECIMALS = 2e-3
"""A translation written as a decimal is the simple fraction that is nearer than this."""
IDENTITY = (1, 0, 0, 0, 1, 0, 0, 0, 1)
_MULTIPLIERS = np.array([pow(0x9E3779B97F4A7C15, power, 1 << 64) for power in range(1, 13)], dtype=np.uint64).view(
    np.int64
)

_UNIT = (*IDENTITY, 0, 0, 0)

Code = tuple[int, ...]
"""An operation: nine entries of its rotation, three of its translation in steps."""


@dataclass(frozen=True)
class Group:
    """A space group in one setting, by the operations of its cell (centring included)."""

    codes: frozenset[Code]
    number: int
    """International number of its type."""
    name: str
    """Symbol of the setting where a table has it."""

    def __len__(self) -> int:
        """Return the number of operations of the cell."""
        return len(self.codes)

    @cached_property
    def array(self) -> NDArray[np.int64]:
        """The operations as rows, the identity first, shape (m, 12)."""
        return np.array(sorted(self.codes, key=lambda code: (code != _UNIT, code)), dtype=np.int64)

    @property
    def rotations(self) -> NDArray[np.int64]:
        """Rotations, which act on columns of fractional coordinates, shape (m, 3, 3)."""
        return self.array[:, :9].reshape(-1, 3, 3)

    @property
    def translations(self) -> NDArray[np.float64]:
        """Translations in fractions of the cell, shape (m, 3)."""
        return self.array[:, 9:] / STEPS

    @cached_property
    def glides(self) -> dict[Code, frozenset[Code]]:
        """Intrinsic translations (of screw axes and glide planes) by rotation, which no shift of the origin changes."""
        found: dict[Code, frozenset[Code]] = {}
        shifts = np.array(list(product(range(6), repeat=3))) * STEPS
        for code in self.codes:
            rotation = np.array(code[:9]).reshape(3, 3)
            powers = [np.eye(3, dtype=np.int64)]
            while len(powers) < 2 or not np.array_equal(powers[-1], powers[0]):
                powers.append(rotation @ powers[-1])
            order = len(powers) - 1
            along = (np.array(code[9:]) + shifts) @ np.sum(powers[:-1], axis=0).T // order % STEPS
            found[code[:9]] = found.get(code[:9], frozenset()) | frozenset(map(tuple, along.tolist()))
        return found

    def same_up_to_origin(self, other: Group) -> bool:
        """Return whether both are one group, in the same axes, from another origin."""
        return self.number == other.number and self.glides == other.glides

    def fits_cell(self, lattice: NDArray[np.float64]) -> bool:
        """Return whether every rotation keeps the lengths and angles of the cell, rows of `lattice`, shape (3, 3)."""
        metric = lattice @ lattice.T
        lengths = np.sqrt(metric.diagonal())
        turned = np.swapaxes(self.rotations, 1, 2) @ metric @ self.rotations
        change = np.abs(turned - metric) / np.outer(lengths, lengths)
        return bool(change.max() < METRIC_TOLERANCE)


class Setting(NamedTuple):
    """One row of the table of settings."""

    number: int
    symbol: str
    code: str
    """Origin choice 1 or 2, or the axes H or R, where the type has both."""
    qualifier: str
    """Unique axis and cell choice, or permutation of axes."""
    hall: str

    @property
    def group(self) -> Group:
        """The operations of this setting."""
        return hall_group(self.hall)


def operations_group(texts: Iterable[str]) -> Group:
    """Return the group of operations such as `-x, y+1/2, -z`; the identity may be left out.

    Raises
    ------
    ConversionError
        If an operation cannot be read, or if they do not form a group.
    """
    return _group(frozenset([_UNIT, *map(_operation, texts)]))


def product_group(texts: Sequence[str], centrings: Sequence[str]) -> Group:
    """Return the group of operations combined with translations, as magnetic files list them; raises as above."""
    moves = [_operation(text) for text in centrings] or [_UNIT]
    if any(move[:9] != IDENTITY for move in moves):
        raise ConversionError("a magnetic centring turns the axes; translations such as x+1/2,y,z are needed")
    codes = {_moved(_operation(text), move[9:]) for text in texts for move in moves}
    return _group(frozenset([_UNIT, *codes]))


@lru_cache(maxsize=1024)
def hall_group(hall: str) -> Group:
    """Return the group of a Hall symbol; raises `ConversionError` on one that cannot be read.

    moyo writes `=` for the double prime of an axis along a - b, as in `P 3 -2"`.
    """
    import gemmi

    try:
        return _group(_codes(gemmi.symops_from_hall(" ".join(hall.replace("_", " ").replace("=", '"').split()))))
    except (RuntimeError, ValueError) as error:
        raise ConversionError(f"unreadable Hall symbol: {hall!r}; a symbol such as '-P 2ybc' is needed") from error


def settings_of_symbol(symbol: str) -> tuple[Setting, ...]:
    """Return all settings that a Hermann-Mauguin symbol may mean, none for an unknown one.

    Short, full and extended symbols are read, with or without blanks, with the origin choice or the axes after them
    (`:2`, `:R`, and ICSD's S, Z, H and R). A short symbol of a monoclinic type means all of its cell choices.
    """
    key = _key(symbol[:MAX_TEXT])
    if key in _names():
        return _names()[key]
    match = re.fullmatch(r"(.+?)(?:[:(\[]|(?<=[\dmncdabe])(?=[szhr]+$))(?:origin|choice)?=?([^)\]]+)[)\]]?", key)
    if not match or match[1] not in _names():
        return ()
    return with_code(_names()[match[1]], match[2])


def with_code(settings: Sequence[Setting], code: str) -> tuple[Setting, ...]:
    """Return those settings that have a code: an origin choice, axes, unique axis and cell choice, permutation."""
    wanted = {"s": "1", "z": "2", "hr": "h", "rs": "r"}.get(_key(code), _key(code))
    return tuple(
        s
        for s in settings
        if wanted in {s.code.lower(), s.qualifier, s.code.lower() + s.qualifier, s.qualifier or "abc"}
        or (wanted in "abc" and len(wanted) == 1 and s.qualifier.strip("-")[:1] == wanted)
    )


def settings_of_number(number: int) -> tuple[Setting, ...]:
    """Return all settings of an international number; none for what is not between 1 and 230."""
    return tuple(setting for setting in _table() if setting.number == number)


@cache
def _table() -> tuple[Setting, ...]:
    import gemmi

    rows = gemmi.spacegroup_table()
    return tuple(Setting(s.number, s.xhm(), s.ext.strip("\0"), s.qualifier, s.hall) for s in rows)


@cache
def _names() -> dict[str, tuple[Setting, ...]]:
    """Settings by everything that may name them."""
    import moyopy

    halls = {setting.hall: setting for setting in _table()}
    named = [(_short(s.symbol), s) for s in _table()] + [(s.symbol.partition(":")[0], s) for s in _table()]
    for entry in map(moyopy.HallSymbolEntry, range(1, 531)):
        setting = halls.get(entry.hall_symbol.replace("=", '"'))
        if setting:
            named += [(entry.hm_short, setting), (entry.hm_full, setting)]
    found: dict[str, dict[str, Setting]] = {}
    for name, setting in named:
        old = name.replace("-3", "3") if setting.number >= 195 else name  # Fm3m stands for Fm-3m in old files
        for key in {_key(name), _key(old)}:
            found.setdefault(key, {})[setting.hall] = setting
    return {key: tuple(settings.values()) for key, settings in found.items()}


def _short(symbol: str) -> str:
    """A monoclinic symbol without its ones: `P 1 21/c 1` is also written P21/c."""
    words = symbol.partition(":")[0].split()
    return " ".join(words[:1] + [w for w in words[1:] if w != "1"]) if len(words) == 4 else symbol


def _key(text: str) -> str:
    """A symbol in small letters without blanks, and without the brackets that SHELX puts round screw axes."""
    return re.sub(r"(?<=[2346])\(([1-5])\)", r"\1", re.sub(r"[\s_'\"]+", "", text).casefold())


@lru_cache(maxsize=1024)
def _group(codes: frozenset[Code]) -> Group:
    import gemmi

    _check_closed(codes)
    found = None
    if all(entry % (STEPS // 24) == 0 for code in codes for entry in code[9:]):
        found = gemmi.find_spacegroup_by_ops(gemmi.GroupOps(list(map(_gemmi_operation, sorted(codes)))))
    if found is not None:
        return Group(codes, found.number, found.xhm())
    return Group(codes, _type(codes), "")


def _check_closed(codes: frozenset[Code]) -> None:
    array = np.array(sorted(codes), dtype=np.int64)
    rotations, translations = array[:, :9].reshape(-1, 3, 3), array[:, 9:]
    determinants = np.round(np.linalg.det(rotations))
    if len(codes) > 4096 or not np.isin(determinants, (-1, 1)).all():
        raise ConversionError("an operation is no rotation with a translation; write it like -x, y+1/2, -z")
    lookup = _hashes(rotations, translations)
    for rotation, translation in zip(rotations, translations, strict=True):
        moved = (translations @ rotation.T + translation) % STEPS
        if not np.isin(_hashes(rotation @ rotations, moved), lookup).all():
            raise ConversionError("the symmetry operations are no group: products of some are missing; list all")


def _hashes(rotations: NDArray[np.int64], translations: NDArray[np.int64]) -> NDArray[np.int64]:
    """A number for each operation: different ones have different numbers, but for one pair in 10^19."""
    return rotations.reshape(-1, 9) @ _MULTIPLIERS[:9] + translations @ _MULTIPLIERS[9:]


def _type(codes: frozenset[Code]) -> int:
    """The international number of a group in a setting that the table lacks: moyo is given a primitive cell."""
    import moyopy

    centrings = [code[9:] for code in codes if code[:9] == IDENTITY]
    basis = _lattice_basis(np.array([*(np.eye(3, dtype=np.int64) * STEPS).tolist(), *centrings]))
    to_primitive = np.linalg.inv(basis.T / STEPS)
    seen: dict[Code, list[float]] = {}
    for code in sorted(codes):
        rotation = to_primitive @ np.array(code[:9]).reshape(3, 3) @ (basis.T / STEPS)
        key = tuple(np.round(rotation).astype(int).ravel().tolist())
        seen.setdefault(key, (to_primitive @ np.array(code[9:]) / STEPS % 1).tolist())
    rotations = [np.array(key).reshape(3, 3).tolist() for key in seen]
    try:
        return int(moyopy.SpaceGroup(rotations, list(seen.values())).number)
    except ValueError as error:
        raise ConversionError(f"the symmetry operations are those of no space group: {error}") from error


def _lattice_basis(vectors: NDArray[np.int64]) -> NDArray[np.int64]:
    """Three rows that span the same lattice of integers as all rows, by Euclid's algorithm column for column."""
    rows = vectors.copy()
    basis = []
    for column in range(3):
        while True:
            rows = rows[np.any(rows != 0, axis=1)]
            some = np.flatnonzero(rows[:, column])
            pivot = some[np.abs(rows[some, column]).argmin()]
            rest = some[some != pivot]
            if not rest.size:
                break
            rows[rest] -= (rows[rest, column] // rows[pivot, column])[:, None] * rows[pivot]
        basis.append(rows[pivot])
        rows = np.delete(rows, pivot, axis=0)
    found = np.array(basis)
    return found if np.linalg.det(found) > 0 else -found


@lru_cache(maxsize=8192)
def _operation(text: str) -> Code:
    parts = re.sub(r"\s+", "", text).lower().split(",")
    rows = [_row(part) for part in parts] if len(text) <= MAX_TEXT else []
    if len(rows) != 3 or None in rows:
        raise ConversionError(f"unreadable symmetry operation: {text[:40]!r}; write it like -x, y+1/2, -z")
    known = [row for row in rows if row is not None]
    return (*(entry for row in known for entry in row[:3]), *(row[3] for row in known))


def _row(part: str) -> tuple[int, int, int, int] | None:
    """Three entries of a rotation and the translation in steps of `-x+y+1/2`, or None for what is none."""
    terms = re.findall(r"([+-]?)(?:([xyz])|(\d+/\d+|\d+\.\d*|\.\d+|\d+))", part)
    if "".join(sign + axis + number for sign, axis, number in terms) != part or not part:
        return None
    if any(not sign for sign, _, _ in terms[1:]):
        return None
    entries, shift = [0, 0, 0], Fraction(0)
    for sign, axis, number in terms:
        factor = -1 if sign == "-" else 1
        if axis:
            entries["xyz".index(axis)] += factor
        elif re.search(r"/0+$", number):
            return None
        else:
            shift += factor * Fraction(number)
    simple = shift.limit_denominator(24)
    steps = simple * STEPS
    if abs(simple - shift) > DECIMALS or steps.denominator != 1:
        steps = shift * STEPS
    x, y, z = entries
    return (x, y, z, int(steps) % STEPS) if steps.denominator == 1 else None


def _moved(code: Code, translation: Code) -> Code:
    return (*code[:9], *((a + b) % STEPS for a, b in zip(code[9:], translation, strict=True)))


def _codes(operations: Iterable[gemmi.Op]) -> frozenset[Code]:
    scale = STEPS // 24
    return frozenset(
        (*(entry // 24 for row in op.rot for entry in row), *(t * scale % STEPS for t in op.tran)) for op in operations
    )


def _gemmi_operation(code: Code) -> gemmi.Op:
    import gemmi

    operation = gemmi.Op("x,y,z")
    operation.rot = [[entry * 24 for entry in code[i : i + 3]] for i in (0, 3, 6)]
    operation.tran = [entry * 24 // STEPS for entry in code[9:]]
    return operation
